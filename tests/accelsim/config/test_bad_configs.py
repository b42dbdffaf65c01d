"""Every bad input by name: a code, a position, our words, all at once, never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.config.load import load_study
from accelsim.config.yamlpos import parse
from accelsim.errors import AccelsimError, Location, Mistake

Write = Callable[..., Path]


def mistakes_of(path: Path, *args: Any, **kwargs: Any) -> tuple[Mistake, ...]:
    with pytest.raises(AccelsimError) as caught:
        load_study(path, *args, **kwargs)
    return caught.value.mistakes


def edited(study: Write, old: str, new: str, file: str = "run.yaml") -> Path:
    """The valid study with one place edited."""
    path = study()
    target = path.parent / file
    text = target.read_text()
    assert old in text
    target.write_text(text.replace(old, new, 1))
    return path


EDITS = [
    # old, new, file, code, text of the line pointed at ("" any), part of message, part of hint
    ("batch: 1", "btach: 1", "run", "C001", "btach: 1", "unknown key 'btach'", "'batch'"),
    ("accelerator: npu.yaml", "acelerator: npu.yaml", "run", "C001", "acelerator: npu.yaml",
     "'acelerator'", "'accelerator'"),
    ("  model: net.onnx\n", "", "run", "C002", "workload:", "'model' is missing in workload",
     "ONNX"),
    ("batch: 1", "batch: one", "run", "C003", "batch: one",
     "must be a whole number, not text 'one'", "images"),
    ("batch: 1", "batch: 1.5", "run", "C003", "batch: 1.5", "must be a whole number", ""),
    ("batch: 1", "batch: 0", "run", "C004", "batch: 0", "at least 1, is 0", ""),
    ("batch: 1", "batch: true", "run", "C003", "batch: true", "whole number, not true", ""),
    ("batch: 1", "unsupported: no", "run", "C005", "unsupported: no", "unknown treatment 'no'",
     "refuse"),
    ("net.onnx", "nett.onnx", "run", "C007", "model: nett.onnx", "'nett.onnx' does not exist",
     "looked for"),
    ("images.npz", ".", "run", "C007", "file: .", "is a directory", ""),
    ("objective: latency", "objective: latencey", "run", "C005", "objective: latencey",
     "'latencey'", "'latency'"),
    ("effort: 5", "effort: .nan", "run", "C003", "effort: .nan", "finite number, not nan", ""),
    ("effort: 5", "effort: -1", "run", "C004", "effort: -1", "greater than 0", ""),
    ("mean: [0.5, 0.5, 0.5]", "mean: 0.5", "run", "C003", "mean: 0.5", "a list", ""),
    ("mean: [0.5, 0.5, 0.5]", "mean: [0.5, 0.5]", "run", "C009", "std: [0.25, 0.25, 0.25]",
     "mean has 2", ""),
    ("std: [0.25, 0.25, 0.25]", "std: [0.25, 0, 0.25]", "run", "C004", "std: [0.25, 0, 0.25]",
     "greater than 0", ""),
    ("mode: exposure", "mode: rate", "run", "C002", "mode: rate", "needs rates", "rates:"),
    ("mode: exposure", "mode: sampling", "run", "C005", "mode: sampling", "unknown mode", ""),
    ("mode: exposure", "mode: exposure\n  clip: zero", "run", "C009", "clip: zero", "mode exposure",
     ""),
    ("mode: exposure", "mode: rate\n  rates: [1e-5, 1e-5]", "run", "C009", "rates: [1e-5, 1e-5]",
     "twice", ""),
    ("mode: exposure", "mode: rate\n  rates: [2]", "run", "C004", "rates: [2]", "less than 1", ""),
    ("seed: 7", "seed: -7", "run", "C004", "seed: -7", "at least 0", ""),
    ("name: small", "name: ../up", "run", "C004", "name: ../up", "cannot be a name", "folder"),
    ("name: small", "simulate: false", "run", "C009", "mode: exposure", "simulate is false", ""),
    ("  os:\n", "  base:\n", "run", "C013", "base:", "cannot be called 'base'", ""),
    ("  os:\n", "  a/b:\n", "run", "C013", "a/b:", "cannot be called", ""),
    ("dataflow: os", "dataflow: os, overlap: preload", "run", "C009",
     "array: {dataflow: os, overlap: preload}",
     "dataflow 'os' has no overlap 'preload' (in variant 'os')", "none, full, column"),
    ("accelerator.array.rows", "accelerator.array.rowz", "run", "C001",
     "accelerator.array.rowz: 64", "'rowz'", "'rows'"),
    ("accelerator.array.rows", "acc.array.rows", "run", "C001", "acc.array.rows: 64",
     "unknown key 'acc'", ""),
    ("accelerator.array.cols",
     "accelerator.array.cols: 32\n    accelerator: {array: {cols: 1}}\n    faults.count",
     "run", "C011", "accelerator.array.cols: 32", "'accelerator.array.cols' is given twice", ""),
    ("    accelerator.array.cols: 64", "    targets: []", "run", "C013", "targets: []", "'targets'",
     ""),
    ("latency.seconds", "latency.secs", "run", "C005", "- metric: latency.secs", "'latency.secs'",
     "latency.seconds"),
    ("latency.seconds", "bound.resource", "run", "C005", "- metric: bound.resource", "not a number",
     ""),
    ("latency.seconds", "sdc.p@much", "run", "C005", "- metric: sdc.p@much", "not a fault rate",
     ""),
    ("latency.seconds\n", "sdc.p@1e-05\n", "run", "C014", "- metric: sdc.p@1e-05",
     "no fault rate 1e-05", ""),
    ("at_most: 20 ms", "at_most: 20 MiB", "run", "C006", "at_most: 20 MiB", "is a size, not a time",
     "20 ms"),
    ("at_most: 20 ms", "at_most: 20 ms\n    between: [1, 2]", "run", "C009",
     "- metric: latency.seconds", "at_most and between", "exactly one"),
    ("    at_most: 20 ms\n", "", "run", "C009", "- metric: latency.seconds", "none of them", ""),
    ("at_most: 20 ms", "between: [2, 1]", "run", "C009", "between: [2, 1]", "contains nothing", ""),
    ("at_most: 20 ms", "between: [2]", "run", "C004", "between: [2]",
     "1 items, must have at least 2", ""),
    ("latency.seconds\n    at_most: 20 ms", "sdc.p\n    at_least: 90", "run", "C004",
     "at_least: 90", "is at most 1", "0.9"),
    ("variant: big", "variant: bigg", "run", "C013", "variant: bigg", "unknown variant 'bigg'",
     "'big'"),
    ("relative_to: base", "relative_to: bse", "run", "C013", "relative_to: bse", "'bse'", "'base'"),
    ("relative_to: base", "relative_to: big", "run", "C009", "relative_to: big",
     "compared with itself", ""),
    ("relative_to: base", "relative_to: x/metrics.json", "run", "C007",
     "relative_to: x/metrics.json", "does not exist", ""),
    ("    budget_share: 0.1\n", "", "run", "C002", "- asil: B", "'budget_share' is missing", "0.1"),
    ("budget_share: 0.1", "budget_share: 1.5", "run", "C004", "budget_share: 1.5", "at most 1", ""),
    ("asil: B", "asil: A", "run", "C005", "- asil: A", "unknown ASIL 'A'", "B, C or D"),
    ("asil: B", "metric: latency.cycles\n    asil: B", "run", "C009", "- metric: latency.cycles",
     "either", ""),
    ("asil: B", "metric: sram.peak_bytes\n    at_most: 1", "run", "C009",
     "- metric: sram.peak_bytes", "budget_share", ""),
    ("targets:\n", "targets: &t\n  - latency\n", "run", "C003", "- latency", "must be a mapping",
     ""),
    ("safety: rates.yaml", "safety: rats.yaml", "run", "C007", "safety: rats.yaml", "cannot read",
     ""),
    ("safety: rates.yaml\n", "", "run", "C014", "- asil: B", "needs safety", ""),
    ("accelerator: npu.yaml", "accelerator: run.yaml", "run", "C008", "accelerator: run.yaml",
     "run.yaml -> ", ""),
    ("accelerator: npu.yaml", "accelerator: rates.yaml", "run", "C015", "", "a safety file", ""),
    ("accelerator: npu.yaml\n", "", "run", "C002", "schema: accelsim/run/v1",
     "'accelerator' is missing", "simulate"),
    ("schema: accelsim/run/v1\n", "", "run", "C015", "name: small", "'schema' is missing",
     "run/v1"),
    ("accelsim/run/v1", "accelsim/run/v2", "run", "C015", "schema: accelsim/run/v2",
     "unknown schema", "run/v1"),
    ("accelerator: npu.yaml", "accelerator: 3", "run", "C003", "accelerator: 3",
     "must be a mapping", ""),
    ("clock: 500 MHz", "clock: 500 MB", "npu", "C006", "clock: 500 MB",
     "is a size, not a frequency", "MHz"),
    ("technology: 45 nm", "technology: 28 nm", "npu", "C009", "technology: 28 nm", "is for 45 nm",
     "45 nm"),
    ("rows: 16", "rows: 16 PEs", "npu", "C003", "array: {rows: 16 PEs, cols: 16, dataflow",
     "whole number", ""),
    ("overlap: full", "overlap: fulll", "npu", "C005", "array: {rows: 16, cols: 16, dataflow: ws",
     "'fulll'", "'full'"),
    ("softmax: 4", "softmx: 4", "npu", "C005", "vector: {lanes: 16, startup_cycles: 8, c",
     "'softmx'", "'softmax'"),
    ("size: 128 KiB", "size: 128 KB", "npu", "C006", "scratchpad: {size: 128 KB, alignment: 16",
     "unknown unit 'KB'", "ambiguous"),
    ("alignment: 16", "alignment: 24", "npu", "C004", "scratchpad: {size: 128 KiB, alignment: 2",
     "power of two", ""),
    ("kind: LPDDR4", "kind: LPDDR44", "npu", "C005", "dram: {kind: LPDDR44, bandwidth: 3.2 GB/",
     "'LPDDR44'", "'LPDDR4'"),
    ("table: horowitz_45nm", "table: horowitz", "npu", "C005",
     "energy: {table: horowitz, leakage_mw_per", "energy table", "horowitz_45nm"),
    ("scratchpad: secded", "scratchpad: secdec", "npu", "C005",
     "protection: {scratchpad: secdec, dram: s", "'secdec'", "'secded'"),
    ("scratchpad: secded", "array: parity", "npu", "C009",
     "protection: {array: parity, dram: secded", "does not apply to array", "dmr"),
    ("scratchpad: secded", "scratchpad: secded+secded", "npu", "C009",
     "protection: {scratchpad: secded+secded, ", "secded+secded", ""),
    ("unit: FIT/Mbit", "unit: FIT", "rates", "C006", "sram_soft: {value: 1000, unit: FIT, sour",
     "must be 'FIT/Mbit'", ""),
    ("value: 0.5", "value: 1.5", "rates", "C004", "safe_fraction_unmeasured: {value: 1.5, u",
     "at most 1", ""),
    ("mark: E", "mark: X", "rates", "C005", "sram_soft: {value: 1000, unit: FIT/Mbit,",
     "unknown mark 'X'", ""),
    ("unit: FIT/mm2", "unit: FIT", "rates", "C006", "die_permanent: {value: 1, unit: FIT, sour",
     "must be 'FIT/mm2'", ""),
    ("scratchpad: secded", "vector: secded", "npu", "C009",
     "protection: {vector: secded, dram: secded", "does not apply to vector", "dmr"),
    ("scratchpad: secded", "array: self_test", "npu", "C002", "",
     "'fault_tolerant_time_interval' is missing in safety", "array: self_test"),
    ("scratchpad: secded", "array: self_test", "npu", "C002", "",
     "'self_test_interval' is missing in safety", "array: self_test"),
    ("mark: E}\n", "mark: E}\nself_test_interval: 20\n", "rates", "C006", "", "", ""),
][:-1]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=[f"{e[3]}-{e[5][:30]}" for e in EDITS])
def test_one_mistake(study: Write, edit: tuple[str, str, str, str, str, str, str]) -> None:
    old, new, file, code, line, message, hint = edit
    found = mistakes_of(edited(study, old, new, f"{file}.yaml"))
    fitting = [m for m in found if m.code == code and message in m.message]
    assert fitting, [str(m) for m in found]
    mistake = fitting[0]
    assert hint in mistake.hint
    assert mistake.location is not None
    if line:
        assert mistake.location.file.endswith(f"{file}.yaml")
        lines = Path(mistake.location.file).read_text().splitlines()
        assert mistake.location.line is not None
        assert line in lines[mistake.location.line - 1]
    assert len(found) <= 5, "one mistake must not cause a flood"


def late_test(study: Write, ftti: str, interval: str) -> Path:
    path = edited(study, "scratchpad: secded", "control: hardened+self_test", "npu.yaml")
    rates = path.parent / "rates.yaml"
    text = f"fault_tolerant_time_interval: {ftti}\nself_test_interval: {interval}\n"
    rates.write_text(rates.read_text() + text)
    return path


def test_a_self_test_must_find_faults_in_time(study: Write) -> None:
    [mistake] = mistakes_of(late_test(study, "100 ms", "101 ms"))
    assert mistake.code == "C009"
    assert "0.101 s exceeds the fault_tolerant_time_interval of 0.1 s" in mistake.message
    assert "control: hardened+self_test" in mistake.hint
    assert str(mistake.location).split("/")[-1].startswith("rates.yaml:9:")


def test_a_self_test_in_time_is_fine(study: Write) -> None:
    safety = load_study(late_test(study, "100 ms", "100 ms")).base.safety
    assert safety is not None
    assert (safety.fault_tolerant_time_interval_s, safety.self_test_interval_s) == (0.1, 0.1)


def test_without_a_self_test_no_interval_is_needed(study: Write) -> None:
    safety = load_study(study()).base.safety
    assert safety is not None
    assert safety.fault_tolerant_time_interval_s is None
    # A variant that adds one needs them, and the message says which variant.
    found = mistakes_of(
        edited(study, "  os:\n", "  os:\n    accelerator.protection.vector: self_test\n")
    )
    assert {m.code for m in found} == {"C002"}
    assert any("in variant 'os'" in m.message for m in found)


def test_all_mistakes_at_once_in_order(study: Write) -> None:
    path = edited(study, "batch: 1", "batch: one\n  bogus: 1")
    path.write_text(
        path.read_text()
        .replace("effort: 5", "effort: never")
        .replace("latency.seconds", "latency.second")
        .replace("net.onnx", "gone.onnx")
        .replace("variant: big", "variant: huge")
    )
    npu = path.parent / "npu.yaml"
    npu.write_text(npu.read_text().replace("500 MHz", "500 MB").replace("secded", "secdad"))
    found = mistakes_of(path)
    assert [m.code for m in found] == [
        "C007", "C003", "C001", "C003", "C005", "C013", "C006", "C005", "C005",
    ]  # fmt: skip
    places = [(m.location.file, m.location.line) for m in found if m.location]
    assert places == sorted(places, key=lambda p: (p[0].endswith("npu.yaml"), p[1]))


def test_the_base_mistake_is_not_repeated_by_every_variant(study: Write) -> None:
    found = mistakes_of(edited(study, "effort: 5", "effort: 0"))
    assert len(found) == 1


def test_self_include_in_a_circle(study: Write) -> None:
    path = edited(study, "name: small", "extends: a.yaml")
    (path.parent / "a.yaml").write_text("schema: accelsim/run/v1\nextends: b.yaml\n")
    (path.parent / "b.yaml").write_text("schema: accelsim/run/v1\nextends: run.yaml\n")
    circle = next(m for m in mistakes_of(path) if m.code == "C008")
    assert circle.message.count("->") == 3
    assert circle.location is not None
    assert circle.location.file.endswith("b.yaml")


def test_an_include_that_is_missing_names_the_place(study: Write) -> None:
    [mistake] = mistakes_of(edited(study, "npu.yaml", "gone/npu.yaml"))
    assert mistake.code == "C007"
    assert str(mistake.location).endswith("run.yaml:6:14")
    assert "counts from the file that names it" in mistake.hint


def test_alias_bomb_and_syntax_stop_early(study: Write) -> None:
    levels = "".join(f"k{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
    [mistake] = mistakes_of(study(run__yaml="k0: &a0 [x]\n" + levels))
    assert mistake.code == "C012"
    [mistake] = mistakes_of(study(run__yaml="a: [\n"))
    assert mistake.code == "C010"
    [mistake] = mistakes_of(study(npu__yaml="a: 'x\n"))
    assert mistake.location is not None
    assert mistake.location.file.endswith("npu.yaml")
    for text in ("", "[]\n", "just text\n"):
        assert mistakes_of(study(run__yaml=text))[0].code == "C003"


SETS = [
    ("accelerator.array.rowz", "64", "C001", "'rowz'"),
    ("accelerator.array.rows", "many", "C003", "whole number"),
    ("accelerator.array.rows", "[1", "C010", "not valid YAML"),
    ("accelerator.array.rows", object(), "C003", "type object"),
    ("accelerator..rows", "1", "C001", "not a dotted key"),
    ("accelerator", "gone.yaml", "C007", "cannot read"),
    ("workload.model", "gone.onnx", "C007", "does not exist"),
    ("schema", "x", "C001", "cannot be overridden"),
    ("extends", "x.yaml", "C001", "cannot be overridden"),
    ("variants.nope.faults.count", "3", "C013", "unknown variant 'nope'"),
    ("variants.big.faults.count", "x", "C003", "in variant 'big'"),
    ("safety.sram_soft.value", "-1", "C004", "at least 0"),
]


@pytest.mark.parametrize(("key", "value", "code", "part"), SETS)
def test_bad_overrides(study: Write, key: str, value: object, code: str, part: str) -> None:
    found = mistakes_of(study(), {key: value})
    assert len(found) == 1
    assert found[0].code == code
    assert part in found[0].message
    assert str(found[0].location) == f"--set {key}"


def test_targets_need_what_produces_their_metric(study: Write) -> None:
    metrics = ["sdc.p", "accuracy.fault_free", "asil.spfm", "fit.raw", "latency.cycles"]
    targets = "".join(f"  - {{metric: {m}, variant: off, at_most: 1}}\n" for m in metrics)
    off = "  off: {simulate: false, faults: null, safety: null}\n"
    path = edited(study, "targets:\n", f"{off}targets:\n{targets}")
    found = mistakes_of(path)
    assert [m.code for m in found] == ["C014"] * 5
    assert all("the run 'off'" in m.message for m in found)


def test_a_negative_seed(study: Write) -> None:
    [mistake] = mistakes_of(study(), seed=-1)
    assert str(mistake.location) == "--seed"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all keys of nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(item, dict | list):
            yield from _paths(item, (*path, key))


def _broken(value: Any, path: tuple[Any, ...], how: str, junk: Any) -> Any:
    """A copy with the key at ``path`` renamed, or its value replaced."""
    key, *rest = path
    if isinstance(value, list):
        return [_broken(v, tuple(rest), how, junk) if i == key else v for i, v in enumerate(value)]
    if rest:
        return {k: _broken(v, tuple(rest), how, junk) if k == key else v for k, v in value.items()}
    if how == "rename":
        return {f"{k}_x" if k == key else k: v for k, v in value.items()}
    return {k: junk if k == key else v for k, v in value.items()}


FREE_TEXT = {"name", "description", "source"}


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_broken_key_is_an_error_with_a_position(study: Write, data: st.DataObject) -> None:
    """Rename any key, or put nonsense in its place: an AccelsimError that says where."""
    import json

    path = study()
    file = data.draw(st.sampled_from(["run.yaml", "npu.yaml", "rates.yaml"]))
    text = (path.parent / file).read_text()
    tree = parse(text, Location(file), ".").plain
    how = data.draw(st.sampled_from(["rename", "replace"]))
    keys = [key for key in _paths(tree) if key[-1] not in FREE_TEXT or how == "rename"]
    if how == "rename":  # a variant may have any name
        keys = [key for key in keys if key not in (("variants", "os"), ("variants", "big"))]
    where = data.draw(st.sampled_from(keys))
    nonsense = [[[]], "\u2603 nonsense", {"a": {"b": 1}}, [None]]
    if where[-1] not in ("at_most", "at_least"):  # any number is a limit
        nonsense.append(-1e300)
    junk = data.draw(st.sampled_from(nonsense))
    broken = _broken(tree, where, how, junk)
    (path.parent / file).write_text(json.dumps(broken, indent=1), encoding="utf-8")
    for mistake in mistakes_of(path):
        assert mistake.code
        assert mistake.location is not None
        assert mistake.location.line is not None
