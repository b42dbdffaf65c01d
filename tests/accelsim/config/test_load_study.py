"""What a valid config means: includes, variants, overrides, canonical form."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.config.load import load_study
from accelsim.config.merge import expand, merge
from accelsim.config.problems import Problems
from accelsim.config.yamlpos import parse
from accelsim.errors import AccelsimError, Location

Write = Callable[..., Path]


def test_everything_resolved(study: Write) -> None:
    path = study()
    loaded = load_study(path)
    run = loaded.base
    assert (loaded.name, run.name, list(loaded.variants)) == ("small", "base", ["os", "big"])
    machine = run.accelerator
    assert machine is not None
    assert machine.clock_hz == 500_000_000
    assert machine.technology_nm == 45
    assert machine.scratchpad.bytes == 131072
    assert machine.dram_bytes_per_cycle == Fraction(32, 5)
    assert machine.leakage_mw_per_mm2 == Fraction(1, 10)
    assert machine.protection["scratchpad"] == "secded"
    assert machine.protection["array"] == "none"
    assert machine.vector.cycles_per_op == {"softmax": 4}
    assert run.workload.model == str(path.parent / "net.onnx")
    assert run.data is not None
    assert run.data.std == (0.25, 0.25, 0.25)
    assert run.data.divide_by == 255.0
    assert run.faults is not None
    assert (run.faults.count, run.faults.seed, run.faults.rates) == (100, 7, ())
    assert run.safety is not None
    assert run.safety.sram_soft.value == 1000.0
    assert run.safety.mission_hours == 10_000.0
    assert run.schedule.effort == 5.0
    latency, ratio, asil = loaded.targets
    assert (latency.metric, latency.at_most) == ("latency.seconds", 0.02)
    assert (ratio.relative_to, ratio.variant, ratio.at_most) == ("base", "big", 1.0)
    assert (asil.asil, asil.budget_share) == ("B", 0.1)


def test_locations_point_to_the_file_that_holds_the_value(study: Write) -> None:
    loaded = load_study(study())
    where = loaded.base.locations
    assert where["workload.model"].file.endswith("run.yaml")
    assert where["workload.model"].line == 4
    assert where["accelerator.array.rows"].file.endswith("npu.yaml")
    assert loaded.variants["big"].locations["accelerator.array.rows"].file.endswith("run.yaml")


def test_variants_override_an_included_part(study: Write) -> None:
    variants = load_study(study()).variants
    os_machine, big = variants["os"].accelerator, variants["big"].accelerator
    assert os_machine is not None
    assert big is not None
    assert (os_machine.array.dataflow, os_machine.array.rows) == ("os", 16)
    assert (big.array.dataflow, big.array.rows, big.array.cols) == ("ws", 64, 64)


def test_parts_are_optional(study: Write) -> None:
    text = "schema: accelsim/run/v1\nworkload: {model: net.onnx}\nsimulate: false\n"
    loaded = load_study(study(run__yaml=text))
    run = loaded.base
    assert loaded.name == "run"
    assert (run.accelerator, run.data, run.faults, run.safety) == (None, None, None, None)
    assert loaded.targets == ()


def test_extends_overrides_and_removes(study: Write, tmp_path: Path) -> None:
    study()
    child = tmp_path / "sub"
    child.mkdir()
    (child / "child.yaml").write_text(
        "schema: accelsim/run/v1\nextends: ../run.yaml\nname: child\n"
        "accelerator.array.rows: 8\nfaults: {count: 5}\nsafety: null\n"
        "variants:\n  os: null\n  big: {faults: null}\n  extra: {batch_of: {}}\ntargets: []\n"
    )
    with pytest.raises(AccelsimError) as caught:
        load_study(child / "child.yaml")
    [mistake] = caught.value.mistakes
    assert "unknown key 'batch_of'" in mistake.message
    assert mistake.location is not None
    assert mistake.location.line == 10
    text = (child / "child.yaml").read_text().replace("batch_of: {}", "workload: {batch: 4}")
    (child / "child.yaml").write_text(text)
    loaded = load_study(child / "child.yaml")
    assert (loaded.name, list(loaded.variants), loaded.targets) == ("child", ["big", "extra"], ())
    assert loaded.base.accelerator is not None
    assert loaded.base.accelerator.array.rows == 8
    assert loaded.base.accelerator.array.cols == 16
    assert loaded.base.faults is not None
    assert (loaded.base.faults.count, loaded.base.faults.images_per_fault) == (5, 8)
    assert loaded.base.safety is None
    assert loaded.base.workload.model == str(tmp_path / "net.onnx")
    assert loaded.variants["big"].faults is None
    assert loaded.variants["extra"].workload.batch == 4


def test_a_variant_may_name_another_accelerator(study: Write, tmp_path: Path) -> None:
    npu = Path(study()).parent.joinpath("npu.yaml").read_text()
    (tmp_path / "other.yaml").write_text(npu.replace("name: npu", "name: other"))
    path = tmp_path / "run.yaml"
    text = path.read_text().replace(
        "  os:\n", "  swap: {accelerator: other.yaml, accelerator.array.rows: 2}\n  os:\n"
    )
    path.write_text(text)
    machine = load_study(path).variants["swap"].accelerator
    assert machine is not None
    assert (machine.name, machine.array.rows) == ("other", 2)
    single = load_study(path, {"accelerator": "other.yaml", "accelerator.clock": "1 GHz"})
    assert single.base.accelerator is not None
    assert single.base.accelerator.name == "other"
    for run in (single.base, *single.variants.values()):
        assert run.accelerator is not None
        assert run.accelerator.clock_hz == 10**9
    assert single.variants["big"].accelerator is not None
    assert single.variants["big"].accelerator.array.rows == 64


def test_set_applies_to_the_base_and_all_variants(study: Write) -> None:
    path = study()
    values = {"accelerator.array.rows": "8", "faults.count": 9, "targets": "[]", "name": "x"}
    loaded = load_study(path, values)
    for run in (loaded.base, *loaded.variants.values()):
        assert run.accelerator is not None
        assert run.accelerator.array.rows == 8
        assert run.faults is not None
        assert run.faults.count == 9
    assert (loaded.name, loaded.targets) == ("x", ())
    one = load_study(path, {"variants.big.faults.count": 3})
    assert one.base.faults is not None
    assert one.base.faults.count == 100
    assert one.variants["big"].faults is not None
    assert one.variants["big"].faults.count == 3
    with_list = load_study(path, {"data.mean": [0.0], "data.std": "[1, 1, 1]"})
    assert with_list.base.data is not None
    assert with_list.base.data.mean == (0.0,)


def test_set_does_not_revive_what_a_variant_took_out(study: Write, tmp_path: Path) -> None:
    study()
    path = tmp_path / "run.yaml"
    path.write_text(path.read_text().replace("  os:\n", "  bare: {faults: null}\n  os:\n"))
    loaded = load_study(path, {"faults.count": 3}, seed=0)
    assert loaded.variants["bare"].faults is None
    assert loaded.base.faults is not None
    assert (loaded.base.faults.count, loaded.base.faults.seed) == (3, 0)


def test_seed_zero_is_a_seed(study: Write) -> None:
    path = study()
    seeds = []
    for seed in (None, 0, 12):
        loaded = load_study(path, seed=seed)
        runs = (loaded.base, *loaded.variants.values())
        seeds.append({run.faults.seed for run in runs if run.faults is not None})
    assert seeds == [{7}, {0}, {12}]


def test_canonical_is_portable_and_exact(study: Write, tmp_path: Path) -> None:
    first = load_study(study())
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in tmp_path.glob("*.*"):
        shutil.copy(file, moved / file.name)
    second = load_study(moved / "run.yaml")
    assert second.canonical == first.canonical
    assert second.sha256 == first.sha256
    value = json.loads(first.canonical)
    assert value["base"]["workload"]["model"] == "net.onnx"
    assert value["base"]["accelerator"]["scratchpad"]["bytes"] == 131072
    assert str(tmp_path) not in first.canonical
    spelled = {"accelerator.scratchpad.size": "131072", "faults.seed": 7}
    assert load_study(moved / "run.yaml", spelled).sha256 == first.sha256
    assert load_study(moved / "run.yaml", {"faults.seed": 8}).sha256 != first.sha256


def test_relative_to_an_earlier_run(study: Write, tmp_path: Path) -> None:
    study()
    (tmp_path / "metrics.json").write_text("{}")
    path = tmp_path / "run.yaml"
    path.write_text(path.read_text().replace("relative_to: base", "relative_to: metrics.json"))
    assert load_study(path).targets[1].relative_to == str(tmp_path / "metrics.json")


def test_a_rate_campaign(study: Write, tmp_path: Path) -> None:
    study()
    path = tmp_path / "run.yaml"
    text = path.read_text().replace(
        "targets:\n", "targets:\n  - {metric: sdc.p@0.00001, variant: rate, at_most: 5 %}\n"
    )
    faults = "{mode: rate, rates: [1e-5], clip: zero, bounds: bounds.json}"
    variant = f"  rate: {{simulate: false, safety: null, faults: {faults}}}\n"
    path.write_text(text.replace("  os:\n", variant + "  os:\n"))
    loaded = load_study(path)
    found = loaded.variants["rate"].faults
    assert found is not None
    assert (found.rates, found.bounds) == ((1e-5,), str(tmp_path / "bounds.json"))
    assert (loaded.targets[0].metric, loaded.targets[0].at_most) == ("sdc.p@1e-05", 0.05)


_TREES = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def _plain_merge(base: object, over: object) -> object:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    keys = [*base, *(key for key in over if key not in base)]
    return {
        key: _plain_merge(base[key], over[key])
        if key in base and key in over
        else over.get(key, base.get(key))
        for key in keys
    }


@given(_TREES, _TREES)
def test_merge_agrees_with_plain_dicts(base: object, over: object) -> None:
    nodes = [parse(json.dumps(value), Location("x"), ".") for value in (base, over)]
    assert merge(*nodes).plain == _plain_merge(base, over)


@given(st.dictionaries(st.sampled_from("abc"), _TREES, max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_dotted_spelling_means_the_same(tree: dict[str, object]) -> None:
    def flat(value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict) or not value:
            return {path: value}
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}").items()}

    dotted = {k: v for key, item in tree.items() for k, v in flat(item, key).items()}
    problems = Problems()
    node = expand(parse(json.dumps(dotted), Location("x"), "."), problems)
    assert node.plain == tree
    assert not len(problems)
