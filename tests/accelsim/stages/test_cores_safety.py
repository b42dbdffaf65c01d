"""Exposure and failure rates of several cores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
import faults
from accelsim.config.init import write_init
from accelsim.config.load import load_study
from accelsim.config.types import FaultsConfig, RunConfig
from accelsim.cost.area import area
from accelsim.errors import AccelsimError
from accelsim.figures import Simulated, layer_table
from accelsim.sim.exposure import occupancy
from accelsim.stages.cores import simulate_cores
from accelsim.stages.design import read_workload, simulate_design
from accelsim.stages.failure_rows import failure_rows
from accelsim.stages.pools import pooled, pooled_targets
from accelsim.stages.safety import assess, safety_inputs

ROOT = Path(__file__).resolve().parents[3]
EDGE = ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml"
RATES = ROOT / "configs" / "safety" / "example_rates.yaml"

RUN = f"""\
schema: accelsim/run/v1
workload: {{model: net.yaml}}
mapping: {{rule: layer}}
schedule: {{order: given}}
safety: {RATES}
accelerator: {EDGE}
"""

SMALL = {"accelerator": str(EDGE), "overrides": {"name": "small", "array.rows": 8}}

SDC = faults.Estimate(0.02, 0.01, 0.04, 0.95, 100)
PARTS = ("scratchpad.weight", "scratchpad.bias", "scratchpad.activation", "accumulators")


def network(sizes: list[int]) -> str:
    layers = "".join(
        f"  - {{name: c{at}, kind: conv, filters: {size}, kernel: 3, pad: same}}\n"
        for at, size in enumerate(sizes)
    )
    return f"schema: accelsim/layers/v1\ninputs: {{image: [1, 8, 12, 12]}}\nlayers:\n{layers}"


def loaded(folder: Path, sizes: list[int], overrides: dict[str, object]) -> RunConfig:
    (folder / "net.yaml").write_text(network(sizes))
    (folder / "run.yaml").write_text(RUN)
    base = load_study(folder / "run.yaml", overrides).base
    return replace(base, faults=FaultsConfig("exposure"))


def system(*cores: object, **more: object) -> dict[str, object]:
    return {"accelerator": None, "system": {"name": "s", "cores": list(cores), **more}}


def campaign(*labels: str) -> faults.CampaignResult:
    """The same outcome for every structure of every kind."""
    found = tuple(
        faults.StructureResult(label + part, 0.1, SDC, 0.0) for label in labels for part in PARTS
    )
    return faults.CampaignResult("net", "int8", 10, 1.0, 100, SDC, None, None, structures=found)


def rows(done: Simulated, config: RunConfig, *labels: str) -> list[faults.FmedaRow]:
    inputs = safety_inputs(done, config, campaign(*labels or ("",)))
    return [replace(c.row) for c in assess(*inputs).bound.rows]


@settings(max_examples=12)
@given(sizes=st.lists(st.sampled_from([4, 8, 16, 40]), min_size=1, max_size=4))
def test_a_system_of_one_core_has_the_rows_of_that_core(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("one")
    alone = loaded(folder, sizes, {})
    joined = loaded(folder, sizes, system(str(EDGE)))
    one = simulate_design(alone, read_workload(alone))
    same = simulate_cores(joined, read_workload(joined))
    assert one.cycles == same.cycles
    assert pooled(same.exposures or (), same.kinds[0]) == one.exposures
    assert rows(same, joined) == rows(one, alone)
    assert one.area == same.area
    assert one.energy == same.energy


def test_two_cores_have_twice_the_rows_of_one(tmp_path: Path) -> None:
    """By hand: two equal cores that each do what one does have twice its bits at every place, and
    one memory in common."""
    config = loaded(tmp_path, [8, 16], {})
    done = simulate_design(config, read_workload(config))
    (single,) = safety_inputs(done, config, campaign(""))
    two = replace(single.accelerator, cores=2)
    both = replace(
        single,
        accelerator=two,
        area=area(two),
        exposures=(*single.exposures, *single.exposures),
        scratchpad_bytes=2 * single.scratchpad_bytes,
        accumulator_bytes=2 * single.accumulator_bytes,
    )
    for one, more in zip(failure_rows(single), failure_rows(both), strict=True):
        times = 1 if one.element == "DRAM" else 2
        assert (one.block, one.exposure, one.p_dangerous) == (
            more.block, more.exposure, more.p_dangerous,
        )  # fmt: skip
        assert more.base_fit == pytest.approx(times * one.base_fit, rel=1e-12)
        assert more.bits in range(times * one.bits - 1, times * one.bits + 2)


HALVES = """\
schema: accelsim/layers/v1
inputs: {one: [1, 16, 16, 16], other: [1, 8, 20, 20]}
layers:
  - {name: a, kind: conv, filters: 32, kernel: 3, pad: same, inputs: [one]}
  - {name: b, kind: conv, filters: 24, kernel: 3, pad: same, inputs: [other]}
"""


def half(text: str, inputs: str, layer: str) -> str:
    """One of the two layers by itself, with its input."""
    kept = [line for line in text.splitlines() if "name:" not in line or f"name: {layer}," in line]
    return "\n".join(kept).replace(text.splitlines()[1], f"inputs: {{{inputs}}}") + "\n"


def test_failure_rates_of_independent_halves_add_up(tmp_path: Path) -> None:
    """Two layers that share nothing, one on each core: allocated bits are those of both, and so is
    the live time of every bit, but for the cycles in which both want the memory."""
    config = loaded(tmp_path, [8], {"accelerator.cores": 2, "parallel.strategy": "layers",
                                    "accelerator.dram.bandwidth": "500 GB/s"})  # fmt: skip

    def simulated(network: str, run: RunConfig) -> Simulated:
        (tmp_path / "net.yaml").write_text(network)
        workload = read_workload(run)
        return (simulate_cores if run.several else simulate_design)(run, workload)

    both = simulated(HALVES, config)
    assert config.accelerator is not None
    alone = replace(config, accelerator=replace(config.accelerator, cores=1), parallel=None)
    parts = [
        simulated(half(HALVES, "one: [1, 16, 16, 16]", "a"), alone),
        simulated(half(HALVES, "other: [1, 8, 20, 20]", "b"), alone),
    ]
    assert {row["mapping"].split(":")[0] for row in layer_table(both)} == {"core 0", "core 1"}

    def rates(done: Simulated, run: RunConfig) -> dict[tuple[str, str], tuple[float, float]]:
        """(block, class) -> base rate, and live bit-cycles in its unit."""
        (made,) = safety_inputs(done, run, campaign(""))
        return {
            (row.block, row.fault_class): (row.base_fit, row.base_fit * row.exposure * done.cycles)
            for row in failure_rows(replace(made, period_cycles=done.cycles))
            if row.element != "DRAM"
        }

    joined, first, second = rates(both, config), *(rates(part, alone) for part in parts)
    assert joined.keys() == first.keys() | second.keys()
    none = (0.0, 0.0)
    for block, (base, live) in joined.items():
        one, other = first.get(block, none), second.get(block, none)
        if "scratchpad." not in block[0]:  # its contents share the bits by their live time
            assert base == pytest.approx(one[0] + other[0], rel=1e-12)
        if block[0].startswith(("scratchpad.", "accumulators")) and block[1] == faults.TRANSIENT:
            assert live == pytest.approx(one[1] + other[1], rel=0.02)


def test_unequal_cores_keep_their_rows_and_share_the_memory(tmp_path: Path) -> None:
    config = loaded(tmp_path, [16, 32], system(str(EDGE), SMALL))
    config = replace(config, parallel=None)
    done = simulate_cores(config, read_workload(config))
    found = rows(done, config, "edge_npu_16x16.", "small.")
    blocks = Counter((row.block, row.fault_class) for row in found)
    assert max(blocks.values()) == 1
    assert blocks["edge_npu_16x16.array.registers", faults.TRANSIENT] == 1
    assert blocks["small.array.registers", faults.TRANSIENT] == 1
    assert sum(row.element == "DRAM" for row in found) == 2  # once transient, once permanent
    bits = {row.block: row.bits for row in found if row.fault_class == faults.TRANSIENT}
    assert bits["edge_npu_16x16.array.registers"] == 2 * bits["small.array.registers"]
    partners = {row.partner for row in found if row.partner}
    assert all(name.startswith(("edge_npu_16x16.", "small.")) for name in partners)


@pytest.mark.parametrize("strategy", ["rows", "channels", "layers"])
def test_exposures_are_those_of_all_cores(tmp_path: Path, strategy: str) -> None:
    """Every live bit-cycle of every core is in one target, under the network's own name."""
    config = loaded(
        tmp_path, [16, 32, 16], {**system(str(EDGE), SMALL), "parallel.strategy": strategy}
    )
    workload = read_workload(config)
    done = simulate_cores(config, workload)
    assert done.exposures is not None
    for core in (0, 1):
        for memory in ("scratchpad", "accumulators"):
            name = f"core{core}.{memory}"
            points = occupancy(done.trace, name)
            curve = sum(8 * size * (after - at) for (at, size), (after, _) in pairwise(points))
            assert curve == sum(e.bit_cycles for e in done.exposures if e.structure == name)
    targets = pooled_targets(done.exposures, done.kinds)
    assert sum(t.exposure for t in targets) == sum(e.bit_cycles for e in done.exposures)
    assert {t.tensor for t in targets} <= set(workload.tensors)
    if strategy == "channels":  # the input of a convolution is needed whole by both cores
        copies = {e.structure for e in done.exposures if e.tensor == "image" and e.bit_cycles}
        assert copies == {"core0.scratchpad", "core1.scratchpad"}


def test_a_campaign_and_an_assessment_on_two_cores(tmp_path: Path) -> None:
    write_init(tmp_path)
    less = {"faults.count": 60, "faults.images_per_fault": 4, "variants": {}, "targets": []}
    one = accelsim.run(tmp_path / "run.yaml", overrides=less)
    two = accelsim.run(tmp_path / "run.yaml", overrides={**less, "accelerator.cores": 2})
    for name in ("fit.raw", "asil.spfm", "asil.pmhf_fit", "sdc.p"):
        assert name in two.metrics
    blocks = {row["block"]: row["bits"] for row in two.record.base.fmeda["rows"]}  # type: ignore[index]
    alone = {row["block"]: row["bits"] for row in one.record.base.fmeda["rows"]}  # type: ignore[index]
    assert blocks["array.registers"] == 2 * alone["array.registers"]
    assert {row["structure"] for row in two.record.base.exposure} >= {"core0.scratchpad"}
    rows = {(r["kind"], r["tensor"]) for r in two.record.base.exposure if r["bit_cycles"]}
    assert {(r["kind"], r["tensor"]) for r in two.record.base.faults} <= rows


def test_a_link_has_no_failure_rates(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(network([8]))
    (tmp_path / "run.yaml").write_text(RUN)
    link = {"bandwidth": "8 GB/s", "buffer": "64 KiB"}
    with pytest.raises(AccelsimError, match="its buffer has no area and no failure rates") as error:
        accelsim.validate(tmp_path / "run.yaml", system(str(EDGE), SMALL, link=link))
    assert [mistake.code for mistake in error.value.mistakes] == ["M362"]
    assert error.value.mistakes[0].location is not None
