"""Several cores side by side: laws on every trace, what sharing costs, and what it gains."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import Accelerator, AccumulatorSram, Dma, Dram, Scratchpad, SystolicArray
from accelsim.arch.system import Link, System, system_of
from accelsim.config.types import ScheduleConfig
from accelsim.cost.kinds import kinds_energy
from accelsim.design_point import evaluate
from accelsim.errors import AccelsimError
from accelsim.multicore import Assignment, Part, SystemRun, run_system
from accelsim.multicore.check import check_system
from accelsim.multicore.kinds import core_kinds
from accelsim.multicore.parts import CoreNetwork
from accelsim.multicore.run import expected_macs, planned_bytes, run_assignment
from accelsim.multicore.strategies import STRATEGIES, Situation
from accelsim.multicore.text import assignment_text
from accelsim.parallel.regions import Grid, everything
from accelsim.plan import MemoryPlan
from accelsim.sim.check import TraceError
from accelsim.sim.engine import simulate
from accelsim.sim.expand import expand, unfold
from accelsim.sim.trace import Trace
from accelsim.stages.memory import plan_memory
from accelsim.workload.graph import Workload

sys.path.insert(0, str(Path(__file__).parents[1] / "mapping"))
from hardware_samples import add_op, conv_op, edge_npu, image, random_network, workload_of

NPU = edge_npu()
SMALL = edge_npu(
    name="small", array=SystolicArray(8, 4, "os"), scratchpad=Scratchpad(64 * 1024),
    accumulators=AccumulatorSram(16 * 1024),
)  # fmt: skip
LINK = Link(16 * NPU.clock_hz, 1 << 16, 10)

SYSTEMS = {
    "two": system_of(edge_npu(cores=2)),
    "three with a link": system_of(edge_npu(cores=3), link=LINK, sync_cycles=7),
    "mixed": System("mixed", (NPU, SMALL, SMALL), replace(LINK, buffer_bytes=3000), 20),
    "one channel": system_of(edge_npu(cores=2, dma=Dma(1, 5))),
    "own weights": system_of(edge_npu(cores=2, weight_memory=Dram("flash", 10**9, 9))),
}


def chain(*channels: int, size: int = 8, kernel: int = 1) -> Workload:
    names = "xabcdefgh"
    parts = [
        conv_op(f"c{i}", names[i], names[i + 1], n_in, size, n_out, kernel=kernel)
        for i, (n_in, n_out) in enumerate(pairwise(channels))
    ]
    return workload_of("chain", image(channels[0], size), parts)


def checked(run: SystemRun) -> Trace:
    """The trace of the reference engine, which the fast one equals, with all laws checked."""
    trace = simulate(expand(run.program))
    assert unfold(run.trace()).rows == trace.rows
    assert trace.cycles == run.cycles
    check_system(trace, run.system, traffic_bytes=planned_bytes(run), macs=expected_macs(run))
    return trace


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_obeys_the_laws(system: str, strategy: str) -> None:
    for seed in range(3):
        net = random_network(seed)
        try:
            run = run_system(net, SYSTEMS[system], strategy=strategy, images=2)
        except AccelsimError as error:
            assert error.mistakes[0].code == "M360"  # noqa: PT017
            continue
        checked(run)
        assert run.cycles >= max(run.bounds_cycles.values())
        assert sum(network.workload.macs for network in run.networks) == 2 * net.macs


@given(st.integers(0, 200), st.sampled_from(sorted(SYSTEMS)), st.integers(1, 3), st.data())
@settings(max_examples=30)
def test_any_assignment_of_parts_obeys_the_laws(
    seed: int, name: str, images: int, data: st.DataObject
) -> None:
    """Every operator of every image whole or split at random, on cores drawn at random."""
    net, system = random_network(seed), SYSTEMS[name]
    here = Situation(net, system, images, "layer")
    parts: list[Part] = []
    for op in net.ops:
        for number in range(images):
            way = data.draw(st.sampled_from(["whole", "rows", "cols"]))
            cut = None if way == "whole" else here.split(op, way)
            if cut is None:
                cut = ((data.draw(st.integers(0, here.cores - 1)), here.whole(op)),)
            parts += [Part(op.name, number, core, region) for core, region in cut]
    run = run_assignment(net, system, Assignment("drawn", images, tuple(parts)))
    checked(run)


@given(st.integers(0, 50), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_times_do_not_depend_on_the_order_in_which_cores_are_written_down(
    seed: int, shuffle: random.Random
) -> None:
    """Any interleaving of the cores that keeps each core's own order is the same program."""
    net, system = random_network(seed), SYSTEMS["three with a link"]
    first = STRATEGIES["images"](Situation(net, system, 3, "layer"))
    assert first is not None
    lists = [list(first.of(core)) for core in range(3)]
    mixed = []
    while any(lists):
        mixed.append(shuffle.choice([mine for mine in lists if mine]).pop(0))
    one = run_assignment(net, system, first)
    other = run_assignment(net, system, replace(first, parts=tuple(mixed)))
    assert one.summary.queue_busy == other.summary.queue_busy
    assert one.cycles == other.cycles
    ends = [
        sorted((e.queue, e.index, e.start, e.end) for e in run.trace().events())
        for run in (one, other)
    ]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("cores", [1, 2, 3, 4])
def test_images_side_by_side_are_bounded_by_cores_and_by_the_shared_port(cores: int) -> None:
    net = chain(16, 32, 32, 16, kernel=3, size=16)
    one = run_system(net, system_of(NPU), strategy="single")
    run = run_system(net, system_of(replace(NPU, cores=cores)), images=4)
    assert run.speedup <= cores
    assert run.cycles >= one.cycles
    assert run.cycles >= run.busy["dram"] >= one.busy["dram"] * 4
    if cores == 4:
        assert run.speedup > 2.5


def test_contention_for_the_shared_memory_is_visible() -> None:
    """Copies of one image on four cores: as fast as one core where the memory is fast, as slow as
    their traffic where it is not."""
    net = chain(32, 64, 32, kernel=3, size=16)
    for rate, low, high in ((10**12, 1.0, 1.1), (10**8, 3.5, 4.0)):
        core = replace(NPU, dram=Dram("LPDDR4", rate))
        alone = run_system(net, system_of(core), strategy="single").cycles
        four = run_system(net, system_of(replace(core, cores=4)), strategy="images", images=4)
        assert low <= four.cycles / alone <= high
        if rate == 10**8:
            assert four.busy["dram"] > 0.95 * four.cycles


def two_stages(system: System) -> SystemRun:
    """A convolution on core 0, the next on core 1."""
    net = chain(16, 16, 16)
    whole = everything(Grid(8, 16))
    parts = (Part("c0", 0, 0, whole), Part("c1", 0, 1, whole))
    return run_assignment(net, system, Assignment("by hand", 1, parts))


def test_waiting_for_another_core_costs_what_the_system_says() -> None:
    slow, slower = (
        two_stages(system_of(edge_npu(cores=2), sync_cycles=cycles)) for cycles in (1000, 3500)
    )
    assert slower.cycles - slow.cycles == 2500
    trace = checked(slow)
    made = max(row.end for task, row in trace.on("core0.dma.1"))
    (_, sync), *_ = trace.on("core1.sync")
    assert (sync.start, sync.end) == (made, made + 1000)
    first = min(row.start for task, row in trace.on("core1.array"))
    assert first > made + 1000
    weights = [row for task, row in trace.on("core1.dma.0") if task.dram_read_bytes > 256 * 4]
    assert all(row.start >= made + 1000 for row in weights)


def test_the_link_carries_what_crosses_and_spares_the_memory() -> None:
    without = two_stages(system_of(edge_npu(cores=2)))
    with_link = two_stages(system_of(edge_npu(cores=2), link=LINK))
    half = two_stages(
        system_of(
            edge_npu(cores=2), link=replace(LINK, bytes_per_second=LINK.bytes_per_second // 2)
        )
    )
    size = 16 * 64
    assert with_link.joined.linked == (("a", 0),)
    assert with_link.busy["link"] == 2 * size // 16  # written once, read once, 16 bytes per cycle
    assert half.busy["link"] == 2 * with_link.busy["link"]
    assert half.cycles > with_link.cycles
    assert without.busy["dram"] > with_link.busy["dram"]
    small = two_stages(system_of(edge_npu(cores=2), link=replace(LINK, buffer_bytes=size - 1)))
    assert small.joined.linked == ()
    assert small.cycles == without.cycles


def test_a_transfer_over_the_link_pays_for_the_protection_of_the_scratchpad() -> None:
    bare = edge_npu(cores=2)
    guarded = replace(bare, protection={"scratchpad": "secded"})
    plain, checks = (two_stages(system_of(core, link=LINK)) for core in (bare, guarded))
    assert plain.joined.linked

    def setups(run: SystemRun) -> list[int]:
        """Cycles of the set-up before each transfer over the link."""
        rows = checked(run)
        dma = ("core0.dma.1", "core1.dma.0")
        tasks = [[task for task, _ in rows.on(queue)] for queue in dma]
        return [
            before.cycles
            for queue in tasks
            for before, task in pairwise(queue)
            if "link" in task.resources
        ]

    assert len(setups(plain)) >= 2
    assert setups(checks) == [cycles + 1 for cycles in setups(plain)]


def test_parallel_branches_run_side_by_side() -> None:
    parts = [
        conv_op("stem", "x", "s", 16, 8, 16),
        conv_op("left", "s", "l", 16, 8, 16),
        conv_op("right", "s", "r", 16, 8, 16),
        add_op("join", "l", "r", "y", (1, 16, 8, 8)),
    ]
    net = workload_of("branches", image(16, 8), parts)
    system = system_of(edge_npu(cores=2, dram=Dram("HBM2", 10**12)))
    run = run_system(net, system, strategy="layers")
    cores = {part.op: part.core for part in run.assignment.parts}
    assert cores["left"] != cores["right"]
    assert run.speedup > 1.2
    trace = checked(run)
    starts = {
        op: min(r.start for t, r in trace.on(f"core{cores[op]}.array") if t.op == op)
        for op in ("left", "right")
    }
    ends = {
        op: max(r.end for t, r in trace.on(f"core{cores[op]}.array") if t.op == op)
        for op in ("left", "right")
    }
    assert starts["left"] < ends["right"]
    assert starts["right"] < ends["left"]


def test_a_pipeline_balances_its_stages() -> None:
    net = chain(*[32] * 7, kernel=3)
    system = system_of(edge_npu(cores=3, dram=Dram("HBM2", 10**12)))
    run = run_system(net, system, strategy="pipeline", images=8)
    owners = [part.core for part in run.assignment.parts[:6]]
    assert owners == [0, 0, 1, 1, 2, 2]
    assert 2.0 < run.speedup <= 3.0


def test_shares_follow_the_speed_of_the_cores() -> None:
    net = chain(64, 64, size=16)
    slow = replace(NPU, name="slow", array=SystolicArray(8, 8))
    system = System("mixed", (NPU, slow, slow))
    cut = Situation(net, system, 1, "layer").split(net.ops[0], "rows")
    assert cut is not None
    rows = [region.rows[1] for _, region in cut]
    assert sum(rows) == 16
    assert rows[0] > rows[1] >= rows[2] - 1 > 0


def test_bounds_are_those_of_the_core_that_is_best_at_it() -> None:
    """Whichever core comes first: a narrow scratchpad, and weights that are stored sparsely."""
    net = chain(64, 256, 64, size=2)
    narrow = replace(NPU, scratchpad=replace(NPU.scratchpad, width_bytes=1))
    sparse = replace(NPU, array=replace(NPU.array, sparsity=(1, 4)))
    for other in (narrow, sparse):
        found = [run_system(net, System("s", cores)) for cores in ((NPU, other), (other, NPU))]
        bounds = [run.bounds_cycles for run in found]
        assert bounds[0] == bounds[1]
        assert all(run.cycles >= max(run.bounds_cycles.values()) for run in found)
    both = run_system(net, System("s", (sparse, sparse)))
    assert both.bounds_cycles["compute"] == net.macs // 4 // (2 * NPU.array.rows * NPU.array.cols)


def test_bounds_count_constants_once_and_activations_for_every_image() -> None:
    net = chain(16, 32, kernel=3)
    moved = [
        run_system(net, system_of(NPU), images=images).bounds_cycles["dram"] for images in (1, 3)
    ]
    activations = 64 * (16 + 32)
    rate = NPU.dram_bytes_per_cycle
    constants = net.weight_bytes
    assert moved == [-(-(constants + n * activations) // rate) for n in (1, 3)]


def test_auto_keeps_the_fastest_and_tells_all_that_it_tried() -> None:
    net, system = random_network(3), SYSTEMS["three with a link"]
    run = run_system(net, system, images=2)
    assert run.cycles == min(cycles for _, cycles in run.tried)
    assert run.single_cycles == dict(run.tried)["single"]
    text = assignment_text(run)
    assert f"{run.assignment.strategy:<10}" in text
    assert text.count("<- chosen") == 1
    for op in net.ops:
        assert f"{op.name} (image 1): core " in text
    again = run_system(net, system, images=2, strategy=run.assignment.strategy)
    assert again.cycles == run.cycles
    assert again.single_cycles == run.single_cycles
    assert kinds_energy(core_kinds(run)).total_j > 0


def test_a_design_point_of_several_cores_has_all_of_them() -> None:
    net = chain(16, 32, 32, 16, kernel=3, size=16)
    one, four = (evaluate(net, edge_npu(cores=cores)) for cores in (1, 4))
    assert one.cycles / 4 <= four.cycles < one.cycles
    assert four.area_mm2 == pytest.approx(4 * one.area_mm2)
    assert four.cycles == run_system(net, system_of(edge_npu(cores=4))).cycles
    assert 0 < four.utilisation <= 1


def test_a_batch_is_split_into_whole_images() -> None:
    conv = conv_op("c", "x", "y", 16, 9, 16, stride=2, batch=4)
    net = workload_of("batch", image(16, 9, batch=4), [conv])
    system = system_of(edge_npu(cores=3))
    run = run_system(net, system, strategy="rows")
    assert [part.region.rows[1] for part in run.assignment.parts] == [5, 10, 5]
    checked(run)
    half = Part("c", 0, 0, replace(run.assignment.parts[0].region, rows=(0, 3)))
    rest = Part("c", 0, 1, replace(half.region, rows=(3, 17)))
    with pytest.raises(AccelsimError, match="cannot be cut so"):
        run_assignment(net, system, Assignment("none", 1, (half, rest)))


def test_solvers_can_plan_the_cores() -> None:
    """Plans that keep results on the chip write what other cores need in time all the same."""

    def solved(network: CoreNetwork, machine: Accelerator) -> MemoryPlan:
        given = ScheduleConfig(order="given", effort=1.0)
        return plan_memory(network.workload, machine, objective="latency", schedule=given)

    net, system = random_network(1), SYSTEMS["two"]
    for strategy in ("rows", "mixed", "layers"):
        quick = run_system(net, system, strategy=strategy)
        run = run_assignment(net, system, quick.assignment, planner=solved)
        checked(run)
        assert run.cycles < 1.2 * quick.cycles


def test_a_banked_memory_is_shared_too() -> None:
    core = edge_npu(cores=2, dram=Dram("LPDDR4", 3_200_000_000, 50, "banked"))
    run = run_system(chain(16, 32, 16, kernel=3), system_of(core), strategy="rows")
    plain = run_system(chain(16, 32, 16, kernel=3), SYSTEMS["two"], strategy="rows")
    assert plain.cycles < run.cycles < 1.5 * plain.cycles
    trace = unfold(run.trace())
    check_system(trace, run.system, traffic_bytes=planned_bytes(run), macs=expected_macs(run))


def test_the_checker_finds_what_is_wrong() -> None:
    run = run_system(chain(16, 16, 16), SYSTEMS["two"], strategy="rows")
    trace = checked(run)
    macs, moved = expected_macs(run), planned_bytes(run)
    tasks = list(trace.graph.tasks)
    at = next(task.id for task in tasks if task.macs)
    for change, words in (
        ({"macs": 10**9}, "MACs in"),
        ({"macs": tasks[at].macs - 1}, "executed"),
        ({"dram_read_bytes": 5}, "without holding dram"),
        ({"resources": ("core1.array",)}, "another core"),
        ({"resources": ("array",)}, "no core's"),
    ):
        broken = [*tasks[:at], replace(tasks[at], **change), *tasks[at + 1 :]]  # type: ignore[arg-type]
        resources = (*trace.graph.resources, "array")
        wrong = replace(trace, graph=replace(trace.graph, tasks=tuple(broken), resources=resources))
        with pytest.raises(TraceError, match=words):
            check_system(wrong, run.system, traffic_bytes=moved, macs=macs)


def core(**changes: object) -> Accelerator:
    return edge_npu(**changes)


@pytest.mark.parametrize(
    ("cores", "link", "words"),
    [
        ((), None, "a system of 0 cores"),
        ((core(), core(clock_hz=10**9)), None, "clock of core 1 differs"),
        ((core(), core(dram=Dram("DDR4", 10**9))), None, "dram of core 1 differs"),
        ((core(cores=2),), None, "is itself 2 cores"),
        ((core(),), Link(0, 1), "bytes_per_second of the link is 0"),
    ],
)
def test_cores_that_cannot_be_a_system_are_refused(
    cores: tuple[Accelerator, ...], link: Link | None, words: str
) -> None:
    with pytest.raises(AccelsimError, match=words) as error:
        System("none", cores, link)
    assert error.value.mistakes[0].code == "A150"


def test_what_does_not_apply_is_refused() -> None:
    net, system = chain(4, 4), SYSTEMS["two"]
    for strategy, images, words in (
        ("rowz", 1, "did you mean 'rows'"),
        ("pipeline", 1, "does not apply"),
        ("single", 0, "0 images"),
    ):
        with pytest.raises(AccelsimError, match=words) as error:
            run_system(net, system, strategy=strategy, images=images)
        assert error.value.mistakes[0].code == "M360"
    with pytest.raises(AccelsimError, match="not its output") as error:
        run_assignment(net, system, Assignment("none", 1, ()))
    assert error.value.mistakes[0].code == "M361"
