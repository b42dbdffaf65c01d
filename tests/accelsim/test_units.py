"""Quantities: exact both ways, and clear about what is wrong."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import units
from accelsim.errors import AccelsimError, Location


@pytest.mark.parametrize(
    ("text", "dimension", "expected"),
    [
        ("128 KiB", units.SIZE, 131072),
        ("128KiB", units.SIZE, 131072),
        (131072, units.SIZE, 131072),
        ("1 MB", units.SIZE, 10**6),
        ("16 B", units.SIZE, 16),
        ("512 Kibit", units.SIZE, 65536),
        ("500 MHz", units.FREQUENCY, 500_000_000),
        ("3.2 GB/s", units.RATE, 3_200_000_000),
        ("25.6 Gbit/s", units.RATE, 3_200_000_000),
        ("20 ms", units.TIME, Fraction(1, 50)),
        (0.1, units.TIME, Fraction(1, 10)),
        ("3 µs", units.TIME, Fraction(3, 10**6)),
        ("28 nm", units.LENGTH, 28),
        ("90 %", units.SHARE, Fraction(9, 10)),
        ("1e-3 s", units.TIME, Fraction(1, 1000)),
        ("1e+003 s", units.TIME, 1000),
        ("2e120 Hz", units.FREQUENCY, 2 * 10**120),
    ],
)
def test_known_quantities(text: object, dimension: units.Dimension, expected: Fraction) -> None:
    assert units.parse(text, dimension) == expected


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("128 MHz", "is a frequency, not a size"),
        ("12 parsecs", "unknown unit 'parsecs'"),
        ("many", "is not a size"),
        ("", "is not a size"),
        (True, "is not a size"),
        (None, "is not a size"),
        (float("nan"), "is not a size"),
        ("1" * 100, "is not a size"),
        ("0.3 B", "not a whole number"),
        ("1e999 B", "'1e999 B' is out of range"),
        ("1e300", "is out of range"),
        ("1e-999999999 B", "is out of range"),
        ("9" * 50 + "e299", "is out of range"),
        ("1e99999 parsecs", "unknown unit 'parsecs'"),
        (1e306, "1e+306 is out of range"),
        (10**301, "out of range"),
        (5e-324, "not a whole number"),
    ],
)
def test_bad_sizes(value: object, part: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        units.parse_bytes(value, Location("x.yaml", 3, 4))
    mistake = caught.value.mistakes[0]
    assert mistake.code == "C006"
    assert part in mistake.message
    assert "128 KiB" in mistake.hint
    assert str(mistake.location) == "x.yaml:3:4"


def test_a_number_too_long_to_print_is_refused() -> None:
    with pytest.raises(AccelsimError, match="out of range"):
        units.parse_bytes(10**5000)


def test_ambiguous_prefix_is_refused() -> None:
    with pytest.raises(AccelsimError, match="1024"):
        units.parse_bytes("64 KB")


@given(st.integers(0, 2**60))
def test_sizes_print_back(amount: int) -> None:
    assert units.parse_bytes(units.show(amount, units.SIZE)) == amount


@given(st.fractions(0, 10**6, max_denominator=10**6).filter(lambda f: 10**9 % f.denominator == 0))
def test_times_print_back(amount: Fraction) -> None:
    assert units.parse_seconds(units.show(amount, units.TIME)) == amount


def test_printing_is_short() -> None:
    assert units.show(131072, units.SIZE) == "128 KiB"
    assert units.show(10**6, units.SIZE) == "1 MB"
    assert units.show(3_200_000_000, units.RATE) == "3.2 GB/s"
    assert units.show(500_000_000, units.FREQUENCY) == "500 MHz"
    assert units.show(0, units.SIZE) == "0 B"
    assert units.show(Fraction(1, 50), units.TIME) == "20 ms"
    assert units.human(0.000_434_3, units.TIME) == "434.3 us"
    assert units.human(100_000, units.SIZE) == "97.66 KiB"
    assert units.human(0, units.ENERGY) == "0 J"
    assert units.human(0.875, units.SHARE) == "87.5 %"
