"""Fixed time slots of a scratchpad: what is guaranteed is what a stepped arbiter grants."""

from __future__ import annotations

from fractions import Fraction

import pytest
from bank_model import Arbiter
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import Scratchpad
from accelsim.dataflow.counts import ceil_div
from accelsim.mapping.slots import Share, array_share, gather_cycles, most_bytes, stream_share

LINE = 32


def memory(banks: int, bank_ports: int) -> Scratchpad:
    return Scratchpad(1 << 15, LINE, LINE, banks=banks, bank_ports=bank_ports)


def guaranteed(share: Share, lines: int) -> int:
    return share.wait + ceil_div(lines * LINE * share.rate.denominator, share.rate.numerator)


@pytest.mark.parametrize("bank_ports", [1, 2])
def test_no_bank_is_asked_for_more_than_it_has(bank_ports: int) -> None:
    arbiter = Arbiter(5, bank_ports)
    for cycle in range(40):
        for bank in range(5):
            users = arbiter.grants(cycle, bank)
            assert len(users) == bank_ports
            assert len(set(users)) == bank_ports


@pytest.mark.parametrize(
    ("banks", "bank_ports", "rate", "wait"),
    [
        (1, 1, Fraction(1, 4), 6),
        (2, 1, Fraction(1, 2), 5),
        (4, 1, Fraction(1), 3),
        (5, 1, Fraction(5, 8), 6),
        (16, 1, Fraction(1), 3),
        (1, 2, Fraction(1, 2), 2),
        (2, 2, Fraction(1), 1),
        (3, 2, Fraction(3, 4), 2),
        (8, 2, Fraction(1), 1),
    ],
)
def test_streams_by_hand(banks: int, bank_ports: int, rate: Fraction, wait: int) -> None:
    """In lines per cycle; with as many banks as slots a stream never waits after its first line."""
    share = stream_share(memory(banks, bank_ports))
    assert (share.rate / LINE, share.wait) == (rate, wait)
    arbiter = Arbiter(banks, bank_ports)
    long = 60 * banks
    for user in ("vector", "dma"):
        took = [arbiter.stream(user, first, long, start) for first in range(banks)
                for start in range(8)]  # fmt: skip
        # No slower and, but for the wait, no faster than the rate.
        assert max(took) <= guaranteed(share, long)
        assert min(took) >= long / rate - share.wait - 4


@given(
    st.integers(1, 20), st.integers(1, 2), st.integers(0, 40), st.integers(1, 90),
    st.integers(0, 30), st.sampled_from(["vector", "dma"]),
)  # fmt: skip
def test_a_stream_is_never_later_than_guaranteed(
    banks: int, bank_ports: int, first: int, lines: int, start: int, user: str
) -> None:
    took = Arbiter(banks, bank_ports).stream(user, first, lines, start)
    assert lines <= took <= guaranteed(stream_share(memory(banks, bank_ports)), lines)


@pytest.mark.parametrize(("banks", "bank_ports"), [(4, 1), (8, 1), (16, 1), (2, 2), (8, 2)])
def test_the_guarantee_is_met_exactly_in_the_worst_slot(banks: int, bank_ports: int) -> None:
    share, arbiter = stream_share(memory(banks, bank_ports)), Arbiter(banks, bank_ports)
    for lines in (1, banks, 3 * banks + 1):
        took = max(arbiter.stream("dma", 0, lines, start) for start in range(8))
        assert took == guaranteed(share, lines)


VECTORS = st.lists(st.sets(st.integers(0, 99), min_size=1, max_size=12), min_size=1, max_size=12)


@given(st.integers(1, 12), st.integers(1, 2), VECTORS, st.integers(0, 9))
def test_the_array_waits_for_the_bank_with_most_lines(
    banks: int, bank_ports: int, vectors: list[set[int]], start: int
) -> None:
    most = 0
    for lines in vectors:
        found = [line % banks for line in lines]
        most += max(found.count(bank) for bank in found)
    took = Arbiter(banks, bank_ports).gather(vectors, start)
    assert took <= most * gather_cycles(memory(banks, bank_ports))
    if bank_ports == 2:
        assert took == most


@given(st.integers(1, 12), st.integers(1, 2), st.integers(1, 80), st.integers(0, 9))
def test_the_array_reads_consecutive_lines_all_banks_at_once(
    banks: int, bank_ports: int, lines: int, start: int
) -> None:
    vectors = [range(at, min(at + banks, lines)) for at in range(0, lines, banks)]
    took = Arbiter(banks, bank_ports).gather(vectors, start)
    assert took <= guaranteed(array_share(memory(banks, bank_ports)), lines)


def test_without_bank_ports_ports_of_the_whole_decide() -> None:
    for ports, third in ((1, 1), (2, 2), (3, 3)):
        plain = Scratchpad(1 << 15, 16, LINE, ports=ports, banks=4)
        assert stream_share(plain) == array_share(plain) == Share(Fraction(LINE * third, 3))
        assert most_bytes(plain) == LINE
    assert most_bytes(memory(4, 2)) == 4 * LINE
    assert most_bytes(memory(4, 1)) == 2 * LINE
