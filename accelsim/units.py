"""Quantities such as ``128 KiB`` or ``3.2 GB/s``: parsed exactly, printed exactly.

Everything is an ``int`` or a :class:`~fractions.Fraction`; no float takes part, so ``0.1 s`` is one
tenth of a second. A decimal prefix means powers of 1000 (kB, MB, GB), a binary one powers of 1024
(KiB, MiB, GiB). ``KB`` is refused: half of its readers mean 1000, the other half 1024.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from accelsim.errors import AccelsimError, Location, Mistake

_DECIMAL = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4}
_SMALL = {"": 0, "m": 1, "u": 2, "µ": 2, "n": 3, "p": 4}
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d+))?)\s*(.*)", re.ASCII)
_LONGEST = 60
_EXPONENT = 330
"""Largest power of ten that is read, either way (that of the smallest float is 324)."""
_FURTHEST = 10**300
"""What is read stays below, so that it is a float too."""


def _decimal(unit: str, scale: Fraction = Fraction(1)) -> dict[str, Fraction]:
    return {prefix + unit: scale * 1000**power for prefix, power in _DECIMAL.items()}


def _binary(unit: str, scale: Fraction = Fraction(1)) -> dict[str, Fraction]:
    return {prefix + unit: scale * 1024**power for prefix, power in _BINARY.items()}


def _small(unit: str) -> dict[str, Fraction]:
    return {prefix + unit: Fraction(1, 1000**power) for prefix, power in _SMALL.items()}


@dataclass(frozen=True)
class Dimension:
    """A kind of quantity: its name in messages, its base unit, and the factor of every unit."""

    name: str
    base: str
    units: Mapping[str, Fraction]
    example: str


_BYTES = _decimal("B") | _binary("B") | _decimal("bit", Fraction(1, 8))
_BYTES |= _binary("bit", Fraction(1, 8))

SIZE = Dimension("size", "B", _BYTES, "128 KiB")
FREQUENCY = Dimension("frequency", "Hz", _decimal("Hz"), "500 MHz")
RATE = Dimension("data rate", "B/s", {f"{u}/s": f for u, f in _BYTES.items()}, "3.2 GB/s")
TIME = Dimension("time", "s", _small("s") | {"min": Fraction(60), "h": Fraction(3600)}, "20 ms")
LENGTH = Dimension("technology node", "nm", {"nm": Fraction(1), "um": Fraction(1000)}, "28 nm")
ENERGY = Dimension("energy", "J", _small("J"), "1.5 mJ")
CYCLES = Dimension(
    "number of cycles", "cycles", {"cycles": Fraction(1), "cycle": Fraction(1)}, "50"
)
SHARE = Dimension("share", "1", {"": Fraction(1), "%": Fraction(1, 100)}, "90 %")

DIMENSIONS: tuple[Dimension, ...] = (SIZE, FREQUENCY, RATE, TIME, LENGTH, ENERGY, CYCLES, SHARE)


def parse(value: object, dimension: Dimension, location: Location | None = None) -> Fraction:
    """The quantity in base units of ``dimension``, exactly.

    A plain number is taken in the base unit (bytes, cycles, ...). Floats are read as they print,
    so the number 0.1 is exactly one tenth.

    Raises:
        AccelsimError: C006, not a quantity, an unknown unit, a unit of another dimension, or
            beyond 1e300.
    """
    match = None
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < _FURTHEST:
            return Fraction(value)
        raise _bad("a number out of range", dimension, location)
    if isinstance(value, float):
        match = _NUMBER.fullmatch(repr(value))
    elif isinstance(value, str) and len(value) <= _LONGEST:
        match = _NUMBER.fullmatch(value.strip())
    if match is None:
        raise _bad(f"{_shown(value)} is not a {dimension.name}", dimension, location)
    unit = match[3].strip()
    if unit and unit not in dimension.units:
        raise _bad(_why_not(unit, value, dimension), dimension, location)
    exponent = int(match[2] or 0)
    exact = Fraction(match[1] if abs(exponent) <= _EXPONENT else _FURTHEST)
    exact *= dimension.units.get(unit, 1)
    if abs(exact) >= _FURTHEST:
        raise _bad(f"{_shown(value)} is out of range", dimension, location)
    return exact


def parse_int(value: object, dimension: Dimension, location: Location | None = None) -> int:
    """As :func:`parse`, and the result must be a whole number of base units.

    Raises:
        AccelsimError: C006, also for ``0.3 B``.
    """
    exact = parse(value, dimension, location)
    if exact.denominator != 1:
        message = f"{_shown(value)} is not a whole number of {dimension.base}"
        raise _bad(message, dimension, location)
    return exact.numerator


def parse_bytes(value: object, location: Location | None = None) -> int:
    """A size in bytes: ``131072``, ``"128 KiB"``, ``"1 MB"``, ``"512 Kibit"``."""
    return parse_int(value, SIZE, location)


def parse_hertz(value: object, location: Location | None = None) -> int:
    """A frequency in Hz: ``"500 MHz"``."""
    return parse_int(value, FREQUENCY, location)


def parse_rate(value: object, location: Location | None = None) -> int:
    """A data rate in bytes per second: ``"3.2 GB/s"``, ``"25.6 Gbit/s"``."""
    return parse_int(value, RATE, location)


def parse_seconds(value: object, location: Location | None = None) -> Fraction:
    """A time in seconds: ``"20 ms"``, ``0.02``."""
    return parse(value, TIME, location)


def show(amount: int | Fraction, dimension: Dimension) -> str:
    """Print ``amount`` (in base units) exactly: the shortest text that parses back to it.

    (A value without a finite decimal, such as 1/3, prints as a fraction and does not parse.)
    """
    exact = Fraction(amount)
    texts = [f"{_plain(exact)} {dimension.base}".strip()]
    for unit, factor in dimension.units.items():
        if unit.startswith("µ") or "bit" in unit:
            continue
        scaled = _plain(exact / factor)
        if abs(exact) >= factor and "/" not in scaled:
            texts.append(f"{scaled} {unit}".strip())
    return min(texts, key=lambda text: (len(text), text))


def human(amount: float, dimension: Dimension, digits: int = 4) -> str:
    """Print ``amount`` (in base units) for reading: rounded, in the largest fitting unit.

    Sizes print in binary units, everything else in decimal ones.
    """
    if amount == 0:
        return f"0 {dimension.base}" if dimension is not SHARE else "0 %"
    fitting = sorted((factor, unit) for unit, factor in _for_people(dimension).items())
    fits = [pair for pair in fitting if abs(amount) >= pair[0]]
    factor, unit = fits[-1] if fits else fitting[0]
    return f"{amount / float(factor):.{digits}g} {unit}".strip()


def _for_people(dimension: Dimension) -> dict[str, Fraction]:
    """The units that :func:`human` chooses from."""
    if dimension is SHARE:
        return {"%": dimension.units["%"]}
    left_out = {"min", "h", "cycle"}
    return {
        unit: factor
        for unit, factor in dimension.units.items()
        if unit not in left_out and "bit" not in unit and not unit.startswith("µ")
        if dimension is not SIZE or unit == "B" or "i" in unit
    }


def _plain(value: Fraction) -> str:
    """A decimal text without exponent; ``p/q`` where no finite decimal exists."""
    twos, rest = 0, value.denominator
    while rest % 2 == 0:
        twos, rest = twos + 1, rest // 2
    fives = 0
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _why_not(unit: str, value: object, dimension: Dimension) -> str:
    other = next((d for d in DIMENSIONS if unit in d.units and d is not dimension), None)
    if other is not None:
        return f"{_shown(value)} is a {other.name}, not a {dimension.name}"
    return f"unknown unit '{unit}' in {_shown(value)}"


def _bad(message: str, dimension: Dimension, location: Location | None) -> AccelsimError:
    known = [unit for unit in dimension.units if unit and "µ" not in unit and "bit" not in unit]
    hint = f"write for example '{dimension.example}'; units: {', '.join(known)}"
    if re.search(r"\dK?\s*KB", message):
        hint = f"KB is ambiguous: kB is 1000 bytes, KiB is 1024; {hint}"
    return AccelsimError(Mistake("C006", message, hint, location))
