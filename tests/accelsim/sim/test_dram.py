"""The banked DRAM model: what one transfer costs, and that nothing gets lost on the way."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.dram_kinds import KINDS
from accelsim.arch.parts import Dram
from accelsim.errors import AccelsimError
from accelsim.program import Work
from accelsim.sim.dram import BankedDram
from accelsim.taskgraph import TaskKind

GHZ = 10**9
SIZES = {"w": 1_000_000, "x": 40_000}


def device(kind: str = "HBM2") -> BankedDram:
    """At 1 GHz one cycle is one nanosecond."""
    return BankedDram(Dram(kind, 16 * GHZ), GHZ, SIZES)


def read(size: int, region: str = "w") -> Work:
    return Work(TaskKind.LOAD_WEIGHT, dram_read_bytes=size, region=region)


def write(size: int, region: str = "x") -> Work:
    return Work(TaskKind.STORE_OUTPUT, dram_write_bytes=size, region=region)


def test_first_access_opens_a_row() -> None:
    # HBM2: tRCD 14 ns; nothing to precharge.
    assert device().serve(read(64), 4, now=100) == 14 + 4


def test_sequential_access_hits_the_open_row() -> None:
    memory = device()
    memory.serve(read(64), 4, now=100)
    assert memory.serve(read(64), 4, now=200) == 4


def test_another_row_of_the_same_bank_is_precharged_first() -> None:
    memory = device()
    row, banks = KINDS["HBM2"].row_bytes, KINDS["HBM2"].banks
    memory.serve(read(64), 4, now=100)
    memory._offset["w"] = row * banks  # the next row of bank 0
    assert memory.serve(read(64), 4, now=200) == 14 + 14 + 4


def test_turning_the_bus_around_costs_its_idle_time() -> None:
    memory = device()
    memory.serve(read(64), 4, now=100)
    first = memory.serve(write(64), 4, now=200)
    assert first == 6 + 14 + 4  # turn-around, and the row of another region
    assert memory.serve(write(64), 4, now=300) == 4


def test_many_rows_are_limited_by_activations() -> None:
    # 64 rows in no time: four activations per tFAW of 30 ns are 7.5 ns each.
    memory = device()
    assert memory.serve(read(64 * 1024), 1, now=100) == 14 + (63 * 15 + 1) // 2


def test_a_transfer_waits_for_a_refresh_under_way() -> None:
    memory = device()
    memory.serve(read(64), 4, now=100)
    # The refresh began at 3900 and lasts 260 ns; it closed the row.
    assert memory.serve(read(64), 4, now=3950) == 210 + 14 + 4


def test_a_refresh_interrupts_a_transfer() -> None:
    assert device().serve(read(64), 1000, now=3500) == 14 + 1000 + 260 + 14


def test_kinds_without_rows_are_refused() -> None:
    with pytest.raises(AccelsimError, match="no row timing"):
        BankedDram(Dram("flash", GHZ), GHZ, SIZES)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_tables_are_plausible(name: str) -> None:
    kind = KINDS[name]
    assert kind.t_ras >= kind.t_rcd
    assert kind.t_refi > 10 * kind.t_rfc
    assert kind.source


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(
        st.tuples(
            st.booleans(), st.integers(1, 50_000), st.integers(1, 5_000), st.integers(0, 9_000)
        ),
        max_size=30,
    ),
)
def test_costs_at_least_the_bytes_and_at_most_every_delay(
    kind: str, transfers: list[tuple[bool, int, int, int]]
) -> None:
    """Never faster than the bandwidth model, never slower than every row missing and every
    refresh interval interrupting."""
    memory, timing, now = device(kind), KINDS[kind], 0
    for writes, size, cycles, gap in transfers:
        now += gap
        took = memory.serve(write(size) if writes else read(size), cycles, now)
        rows = size // timing.row_bytes + 2
        row = timing.t_rcd + timing.t_rp + max(timing.t_faw / 4, timing.t_rc / timing.banks)
        bound = cycles + rows * (row + 3) + timing.t_turn + 1 + timing.t_rfc + 1
        share = (timing.t_rfc + timing.t_rcd + 2) / timing.t_refi
        assert cycles <= took
        assert took <= (bound + timing.t_rfc + timing.t_rcd + 2) / (Fraction(1) - share) + 1
        now += took


@given(st.lists(st.integers(0, 500), min_size=1, max_size=40))
def test_same_requests_same_times(gaps: list[int]) -> None:
    first, second, now = device(), device(), 0
    for gap in gaps:
        now += gap
        took = first.serve(read(777), 50, now)
        assert second.serve(read(777), 50, now) == took
        now += took


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=20))
def test_a_snapshot_continues_as_the_original(sizes: list[int]) -> None:
    memory, now = device("LPDDR4"), 0
    for size in sizes:
        now += memory.serve(read(size), size, now)
    saved = memory.snapshot()
    twin = device("LPDDR4")
    twin.restore(saved, 0)
    for size in sizes:
        took = memory.serve(write(size), size, now)
        assert twin.serve(write(size), size, now) == took
        now += took
