"""Where upsets strike: exact, reproducible draws, independent of order and of each other.

Draw number ``index`` of a stratum comes from its own stream of a counter-based generator (Philox,
Salmon et al., SC'11), keyed by seed and stratum name. Only raw generator words are used, with
arithmetic of our own: numpy keeps these stable across versions, its distributions not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import AccelsimError, Mistake
from faults.plan import KINDS, Target, UpsetPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Stream:
    """Random words of (seed, stratum, index)."""

    def __init__(self, seed: int, stratum: str, index: int) -> None:
        digest = hashlib.sha256(f"{seed}|{stratum}".encode()).digest()
        key = np.frombuffer(digest[:16], "<u8").astype(np.uint64)
        # The lowest counter word advances within a stream; the index sits above it.
        self._philox = np.random.Philox(key=key, counter=np.array([0, index, 0, 0], np.uint64))

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next 64-bit words."""
        return np.asarray(self._philox.random_raw(count), np.uint64)

    def below(self, *limits: int) -> list[int]:
        """One uniform integer in [0, limit) per limit; 128-bit words make the bias negligible."""
        words = self.words(2 * len(limits)).tolist()
        return [((words[2 * i] << 64) | words[2 * i + 1]) % limit for i, limit in enumerate(limits)]

    def distinct(self, count: int, limit: int) -> NDArray[np.int64]:
        """``count`` different integers in [0, limit), ascending, all subsets equally likely
        (Floyd's method)."""
        chosen: set[int] = set()
        tops = range(limit - count, limit)
        for top, pick in zip(tops, self.below(*(t + 1 for t in tops)), strict=True):
            chosen.add(top if pick in chosen else pick)
        return np.array(sorted(chosen), np.int64)

    def hits(self, bits: int, rate: float) -> NDArray[np.int64]:
        """Positions in [0, bits), ascending, each hit independently with probability ``rate``.

        The gaps between hits are geometric, so the number of hits is Binomial(bits, rate) and the
        positions are uniform without replacement, at a cost in proportion to the hits.
        """
        if rate <= 0.0:
            return np.empty(0, np.int64)
        if rate >= 1.0:
            return np.arange(bits)
        parts: list[NDArray[np.int64]] = []
        last = -1
        expected = bits * rate
        block = int(expected + 6.0 * expected**0.5) + 16
        while last < bits:
            uniform = ((self.words(block) >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53
            gaps = np.minimum(np.floor(np.log(uniform) / np.log1p(-rate)), float(bits))
            part = last + np.cumsum(gaps.astype(np.int64) + 1)
            parts.append(part)
            last = int(part[-1])
        positions = np.concatenate(parts)
        return positions[positions < bits]


@dataclass(frozen=True, eq=False)
class Upset:
    """One drawn fault: a bit of an element of a target, and the images it is tried on."""

    index: int
    target: Target
    element: int
    bit: int
    images: NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Elements of a target and bits of each."""

    elements: int
    bits: int


def without(plan: UpsetPlan, assumed: Collection[tuple[str, str]]) -> UpsetPlan:
    """``plan`` without the targets whose (kind, tensor) is in ``assumed``."""
    return replace(
        plan, targets=tuple(t for t in plan.targets if (t.kind, t.tensor) not in assumed)
    )


@dataclass(frozen=True)
class Stratum:
    """The targets of one structure and how many faults it gets, numbered from ``first``."""

    name: str
    targets: tuple[Target, ...]
    exposure: int
    faults: int
    first: int


def allocate(exposures: Mapping[str, int], faults: int, floor: int) -> dict[str, int]:
    """Faults per structure, ``faults`` in all: in proportion to exposure, but at least ``floor``
    (or an equal share, where there are too few for the floor) wherever there is any exposure.

    Structures below the floor get it, and the rest is shared out anew by largest remainders.
    """
    open_ = {name: e for name, e in sorted(exposures.items()) if e > 0}
    given = dict.fromkeys(open_, 0)
    left = faults
    floor = min(floor, faults // max(1, len(open_)))
    while open_:
        total = sum(open_.values())
        short = [name for name, e in open_.items() if e * left < floor * total]
        if not short:
            break
        for name in short:
            given[name] = floor
            left -= floor
            del open_[name]
    total = sum(open_.values())
    for name, exposure in open_.items():
        given[name] = exposure * left // total
    rest = left - sum(given[name] for name in open_)
    by_remainder = sorted(open_, key=lambda name: (-(open_[name] * left % total), name))
    for name in by_remainder[:rest]:
        given[name] += 1
    return given


def strata(plan: UpsetPlan) -> tuple[Stratum, ...]:
    """Structures with any exposure, by name, with their faults. F501 for an impossible plan."""
    mistakes = plan_mistakes(plan)
    if mistakes:
        raise AccelsimError(mistakes)
    exposures: dict[str, int] = {}
    for target in plan.targets:
        exposures[target.structure] = exposures.get(target.structure, 0) + target.exposure
    counts = allocate(exposures, plan.faults, plan.floor)
    firsts = [0, *accumulate(counts[name] for name in sorted(counts))]
    return tuple(
        Stratum(
            name,
            tuple(t for t in plan.targets if t.structure == name and t.exposure > 0),
            exposures[name],
            counts[name],
            first,
        )
        for name, first in zip(sorted(counts), firsts, strict=False)
    )


def plan_mistakes(plan: UpsetPlan) -> list[Mistake]:
    """Everything that is wrong with a plan by itself (F501)."""
    found = number_mistakes(plan)
    for target in plan.targets:
        if target.kind not in KINDS:
            text = f"'{target.tensor}': unknown kind '{target.kind}'"
            found.append(Mistake("F501", text, "known: " + ", ".join(KINDS)))
        if target.exposure < 0:
            text = f"'{target.tensor}' has exposure {target.exposure}"
            found.append(Mistake("F501", text, "bit-cycles cannot be negative"))
    structures = {t.structure for t in plan.targets if t.exposure > 0}
    if not structures:
        hint = "a campaign needs at least one target with exposure above 0"
        found.append(Mistake("F501", "nothing is exposed", hint))
    elif 0 < plan.faults < len(structures):
        text = f"{plan.faults} faults for {len(structures)} structures"
        found.append(Mistake("F501", text, "raise the number of faults"))
    return found


def number_mistakes(plan: UpsetPlan) -> list[Mistake]:
    """What is wrong with a plan whatever its targets (F501)."""
    found = [
        Mistake("F501", f"{name} is {value}", "it must be at least 1")
        for name, value in (("faults", plan.faults), ("images_per_fault", plan.images_per_fault))
        if value < 1
    ]
    if not 0.0 < plan.confidence < 1.0:
        found.append(Mistake("F501", f"confidence is {plan.confidence}", "e.g. 0.95"))
    if plan.floor < 0:
        found.append(Mistake("F501", f"floor is {plan.floor}", "it must not be negative"))
    return found


def draw(
    plan: UpsetPlan, populations: Mapping[tuple[str, str], Population], images: int
) -> Iterator[Upset]:
    """The plan's faults in index order. ``populations`` maps (kind, tensor) to its elements;
    ``images`` is the size of the evaluation set."""
    for stratum in strata(plan):
        bounds = list(accumulate(t.exposure for t in stratum.targets))
        for i in range(stratum.faults):
            stream = Stream(plan.seed, stratum.name, i)
            target = stratum.targets[_pick(bounds, stream)]
            space = populations[target.kind, target.tensor]
            element, bit = stream.below(space.elements, space.bits)
            chosen = stream.distinct(plan.images_per_fault, images)
            yield Upset(stratum.first + i, target, element, bit, chosen)


def _pick(bounds: Sequence[int], stream: Stream) -> int:
    """Index drawn in proportion to the steps of ``bounds``."""
    from bisect import bisect_right

    return bisect_right(bounds, stream.below(bounds[-1])[0])
