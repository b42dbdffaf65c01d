"""Loop orders: what they fetch and keep, against the loops walked; which are worth a look."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import pytest
from hardware_samples import edge_npu, one_conv, random_network
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arch.parts import (
    AccumulatorSram,
    Dma,
    DotUnits,
    Scratchpad,
    SystolicArray,
    VectorUnit,
)
from accelsim.errors import AccelsimError, Location
from accelsim.mapping import Objective, candidates
from accelsim.mapping import array as nests_of_array
from accelsim.mapping.array import Work, overlapped
from accelsim.mapping.fixed import FixedMapping, fixed_candidates
from accelsim.mapping.orders import (
    ORDERS,
    Fills,
    count_fills,
    live_sums,
    live_tiles,
    loops_of,
    sensible_orders,
)
from accelsim.mapping.search import exhaustive
from accelsim.workload.graph import Gemm

COUNTS = st.integers(1, 4)


def _walked(runs: int, per_run: int, pixels: int, reductions: int, order: str) -> Fills:
    """Fills of a loop nest, walked: a buffer is filled when its tile is another one."""
    ranges = {"n": range(per_run), "m": range(pixels), "k": range(reductions)}
    held: dict[str, object] = {}
    fills = dict.fromkeys(("weights", "inputs", "biases"), 0)
    outputs = set()
    for group in range(runs):
        for at in product(*(ranges[loop] for loop in order)):
            n, m, k = (at[order.index(loop)] for loop in "nmk")
            outputs.add((group, n, m))
            wanted = {"weights": (group, n, k), "inputs": (group, m, k)}
            if k == 0:
                wanted["biases"] = (group, n)
            for role, tile in wanted.items():
                fills[role] += held.get(role) != tile
                held[role] = tile
    blocks = runs * per_run
    return Fills(
        **fills,
        outputs=len(outputs),
        weight_refetch=fills["weights"] // (blocks * reductions),
        input_refetch=fills["inputs"] // (runs * pixels * reductions),
        bias_refetch=fills["biases"] // blocks,
    )


def test_the_orders_are_all_there_are():
    assert set(ORDERS) == {"".join(order) for order in permutations("nmk")}


@given(st.integers(1, 3), COUNTS, COUNTS, COUNTS, st.sampled_from(ORDERS))
def test_fills_are_those_of_the_loops_walked(runs, per_run, pixels, reductions, order):
    counted = count_fills(runs * per_run, runs, pixels, reductions, order)
    assert counted == _walked(runs, per_run, pixels, reductions, order)


@pytest.mark.parametrize(
    ("order", "weights", "inputs", "biases", "kept"),
    [
        ("nmk", 24, 24, 3, 1),
        ("mnk", 24, 24, 12, 1),
        ("nkm", 6, 24, 3, 4),
        ("mkn", 24, 8, 12, 3),
        ("knm", 6, 24, 3, 12),
        ("kmn", 24, 8, 12, 12),
    ],
)
def test_three_channel_blocks_four_pixel_tiles_and_two_reductions(
    order, weights, inputs, biases, kept
):
    """6 weight tiles and 8 input tiles: the tile of the operand without the index of the innermost
    loop stays; the other one is fetched once per tile that does not have its missing index."""
    fills = count_fills(3, 1, 4, 2, order)
    assert (fills.weights, fills.inputs, fills.biases) == (weights, inputs, biases)
    assert live_tiles(order, 3, 4, 2) == kept


def test_sums_that_are_kept_by_hand():
    """100 pixels in tiles of 30, 3 groups of 8 channels in blocks of 4; k cut or whole."""
    gemm = Gemm(100, 64, 8, 3)
    kept = {order: live_sums(gemm, 30, 4, order, 2) for order in ORDERS}
    assert kept == {"nmk": 120, "mnk": 120, "nkm": 400, "mkn": 240, "knm": 800, "kmn": 800}
    assert {live_sums(gemm, 30, 4, order, 1) for order in ORDERS} == {120}
    assert live_sums(gemm, 30, 16, "mkn", 2) == 30 * 16  # a block of two groups has all of theirs


@given(COUNTS, COUNTS, COUNTS, st.sampled_from(ORDERS))
def test_the_loops_that_are_emitted_visit_the_same_tiles_in_the_same_order(
    per_run, pixels, reductions, order
):
    counts = {"n": per_run, "m": pixels, "k": reductions}

    def visits(loops: str) -> list[tuple[int, ...]]:
        found = product(*(range(counts[loop]) for loop in loops))
        return [tuple(at[loops.index(loop)] for loop in "nmk") for at in found]

    emitted = loops_of(order, per_run, pixels, reductions)
    assert visits(emitted) == visits(order)
    if live_tiles(order, per_run, pixels, reductions) == 1:
        assert emitted[-1] == "k"


@given(COUNTS, COUNTS, COUNTS, st.booleans())
def test_every_order_is_matched_by_one_that_is_looked_at(per_run, pixels, reductions, reuse):
    """At most as many fills of every buffer, and at most as many sums."""

    def figures(order: str) -> tuple[int, ...]:
        fills = count_fills(per_run, 1, pixels, reductions, order, reuse=reuse)
        kept = live_tiles(order, per_run, pixels, reductions)
        return fills.weights, fills.inputs, fills.biases, kept

    offered = [figures(o) for o in sensible_orders(per_run, pixels, reductions, reuse=reuse)]
    for order in ORDERS:
        mine = figures(order)
        assert any(all(a <= b for a, b in zip(f, mine, strict=True)) for f in offered)
    for one in offered:  # and none is listed for nothing
        rest = [f for f in offered if f is not one]
        assert not any(all(a <= b for a, b in zip(f, one, strict=True)) for f in rest)


def _stepped(array: int, vector: int, sets: int, reductions: int, kept: int) -> int:
    """Tiles of equal length one by one: every last reduction tile is drained; a set waits for the
    drains of the set before the previous one."""
    array_free = vector_free = 0
    drained: list[int] = []
    for number in range(sets):
        array_free = max(array_free, drained[number - 2] if number > 1 else 0)
        for k, _ in product(range(reductions), range(kept)):
            array_free += array
            if k == reductions - 1:
                vector_free = max(vector_free, array_free) + vector
        drained.append(vector_free)
    return vector_free


TILES = st.integers(1, 6)


@given(st.integers(1, 50), st.integers(1, 200), TILES, TILES, TILES)
def test_compute_cycles_are_those_of_the_tiles_one_by_one(array, vector, sets, reductions, kept):
    """Exactly for one set; a little less where sets wait for one another's drains."""
    outputs = sets * kept
    work = Work(array * reductions * outputs, vector * outputs, 0, 0)
    estimated = overlapped(work, outputs, kept, reductions)
    stepped = _stepped(array, vector, sets, reductions, kept)
    assert estimated <= stepped <= estimated * 1.1
    if sets == 1:
        assert estimated == stepped


def test_compute_cycles_of_a_set_by_hand():
    """Four outputs at once, two reduction tiles of 100 cycles each, drains of 300: the first drain
    begins after five tiles, then the vector unit works all the time."""
    assert overlapped(Work(8 * 100, 4 * 300, 0, 0), 4, 4, 2) == 500 + 1200
    # Drains of 80 keep pace with the last pass; of 120 they are 80 late in the end.
    assert overlapped(Work(8 * 100, 4 * 80, 0, 0), 4, 4, 2) == 800 + 80
    assert overlapped(Work(8 * 100, 4 * 120, 0, 0), 4, 4, 2) == 500 + 480


MACHINES = st.builds(
    edge_npu,
    array=st.sampled_from([SystolicArray(16, 16), SystolicArray(4, 8, "os")]),
    vector=st.sampled_from([VectorUnit(16, 8), VectorUnit(2, 1)]),
    scratchpad=st.builds(
        Scratchpad, st.sampled_from([3_000, 9_000, 60_000]), buffering=st.integers(1, 3)
    ),
    accumulators=st.sampled_from([AccumulatorSram(4_096), AccumulatorSram(65_536)]),
    dma=st.builds(Dma, st.integers(1, 3), st.just(16)),
)


@given(st.integers(0, 200), MACHINES, st.sampled_from(["latency", "energy", "traffic"]))
@settings(max_examples=10, deadline=None)
def test_orders_that_are_left_out_would_never_have_been_chosen(seed, machine, objective):
    """With all six orders of every tiling the search keeps what costs and takes the same."""
    workload = random_network(seed)
    goal, all_nests = Objective(machine, objective), nests_of_array.nests

    def all_orders(*args, **kwargs):
        return all_nests(*args, **{"orders": ORDERS, **kwargs})

    for op in workload.ops:
        if op.gemm is None:
            continue
        pruned = exhaustive(op, workload, machine, goal)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("accelsim.mapping.search.nests", all_orders)
            complete = exhaustive(op, workload, machine, goal)
        assert [(c.streamed, goal.merit(c)) for c in pruned] == [
            (c.streamed, goal.merit(c)) for c in complete
        ]


HERE = Location("run.yaml", 7, 3)


@pytest.mark.parametrize("order", ORDERS)
def test_a_fixed_order_is_obeyed(order):
    workload, machine = one_conv(c_in=32), edge_npu(accumulators=AccumulatorSram(1 << 16))
    op = workload.ops[0]
    fixed = FixedMapping(op.name, m=24, n=16, k=48, order=order)
    found = fixed_candidates(op, fixed, workload, machine, "latency")
    assert {c.tiling.order for c in found} == {order}
    assert all(c.name.endswith(order) or order == "nmk" for c in found if c.prefetch_bytes)
    assert len({c.streamed for c in found}) == 4


@pytest.mark.parametrize(
    ("order", "sums"), [("nkm", 144 * 8), ("mkn", 36 * 24), ("knm", 144 * 24), ("kmn", 144 * 24)]
)
def test_sums_that_do_not_fit_are_refused_with_their_number_and_place(order, sums):
    """12 x 12 pixels in tiles of 36, 24 channels in blocks of 8."""
    workload = one_conv(c_in=32)
    op = workload.ops[0]
    tight = edge_npu(accumulators=AccumulatorSram(2 * 4 * (sums - 1)))
    enough = edge_npu(accumulators=AccumulatorSram(2 * 4 * sums))
    fixed = FixedMapping(op.name, m=36, n=8, k=48, order=order, location=HERE)
    assert fixed_candidates(op, fixed, workload, enough, "latency")
    with pytest.raises(AccelsimError, match=f"{sums} sums of 4 bytes do not fit half") as caught:
        fixed_candidates(op, fixed, workload, tight, "latency")
    assert [(m.code, m.location) for m in caught.value.mistakes] == [("M340", HERE)]
    whole = replace(fixed, k=None)
    found = fixed_candidates(op, whole, workload, tight, "latency")
    assert {c.tiling.k for c in found} == {32 * 9}  # with a whole k one tile at a time


def test_open_sizes_that_cannot_be_chosen_are_refused_too():
    workload, machine = one_conv(c_in=32), edge_npu(accumulators=AccumulatorSram(2 * 4 * 144))
    op = workload.ops[0]
    fixed = FixedMapping(op.name, k=48, order="nkm", location=HERE)
    with pytest.raises(AccelsimError, match="no tile of open sizes") as caught:
        fixed_candidates(op, fixed, workload, machine, "latency")
    assert caught.value.mistakes[0].location == HERE


def test_a_kernel_that_may_not_be_cut_is_no_obstacle_to_a_fixed_order():
    machine = edge_npu(array=SystolicArray(8, 8, "dot", dot=DotUnits()))
    workload = one_conv(c_in=32)
    fixed = FixedMapping("conv", order="nkm")
    found = fixed_candidates(workload.ops[0], fixed, workload, machine, "latency")
    assert {c.tiling.order for c in found} == {"nkm"}


@pytest.mark.parametrize("objective", ["latency", "energy", "traffic"])
def test_the_search_finds_orders_with_sums_kept_where_they_save_transfers(objective):
    """14 x 14 x 256 inputs stream through 24 KiB, beside 147,456 B of weights; 64 KiB of sums in
    each half hold those of all 196 pixels and 64 channels."""
    workload = one_conv(c_in=256, size=14, c_out=64)
    machine = edge_npu(scratchpad=Scratchpad(24 * 1024), accumulators=AccumulatorSram(128 * 1024))
    op, streamed = workload.ops[0], frozenset(("x", "y"))

    def best(orders: tuple[str, ...]) -> tuple[int, int]:
        found = [
            c
            for order in orders
            for c in fixed_candidates(
                op, FixedMapping("conv", order=order, stream=("x", "y")), workload, machine,
                objective,
            )
            if c.buffer_bytes <= machine.scratchpad.bytes
        ]  # fmt: skip
        return min(c.cycles for c in found), min(c.dram_read_bytes for c in found)

    searched = [c for c in candidates(op, workload, machine, objective) if c.streamed == streamed]
    chosen = min(searched, key=Objective(machine, objective).merit)
    assert chosen.tiling.order in ("nkm", "mkn")
    cycles, moved = best(("nmk", "mnk"))
    assert (chosen.cycles, chosen.dram_read_bytes) < (cycles, moved)
    assert chosen.dram_read_bytes < moved
