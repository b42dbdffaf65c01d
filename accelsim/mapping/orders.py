"""The order of the loops over tiles of an array operator: what it fetches again, what it keeps.

Groups are the outermost loop. Inside a group ``n`` walks channel blocks, ``m`` pixel tiles and
``k`` reduction tiles. With k innermost one output tile is finished before the next one begins. With
loops inside k, the sums of all output tiles that these walk stay in the accumulators until the last
reduction tile: ``nkm`` keeps those of one channel block and all pixels, so that a weight tile is
fetched once; ``mkn`` those of one pixel tile and all channels of the group, so that an input tile
is; ``knm`` and ``kmn`` those of all of the group's output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from accelsim.workload.graph import Gemm

ORDERS = ("nmk", "mnk", "nkm", "mkn", "knm", "kmn")
"""Outer to inner."""


@dataclass(frozen=True)
class Fills:
    """How often each tile buffer of an array operator is filled in one run of it."""

    weights: int
    inputs: int
    biases: int
    outputs: int
    weight_refetch: int
    """How often all of B is moved; likewise below."""
    input_refetch: int
    bias_refetch: int


def count_fills(
    blocks: int, runs: int, pixels: int, reductions: int, order: str, *, reuse: bool = True
) -> Fills:
    """Fills of the loop nest with the groups outermost, then ``order`` (one of :data:`ORDERS`).

    ``blocks`` channel blocks in ``runs`` equal runs (one per group or set of groups); ``pixels``
    and ``reductions`` tiles of m and k. A buffer is refilled when the tile it should hold changes:
    once per iteration of the innermost loop over an index of its operand, loops of one iteration
    apart. Loops inside of that one reuse the tile. A bias is asked for in the first reduction tile
    only. Without ``reuse`` every tile fetches its operands anew, and every output tile its bias.
    """
    per_run = blocks // runs
    counts = {"n": per_run, "m": pixels, "k": reductions}
    weights, inputs = _visits(order, "nk", counts), _visits(order, "mk", counts)
    biases = _visits(order.replace("k", ""), "n", counts)
    if not reuse:
        weights = inputs = per_run * pixels * reductions
        biases = per_run * pixels
    return Fills(
        weights=runs * weights,
        inputs=runs * inputs,
        biases=runs * biases,
        outputs=blocks * pixels,
        weight_refetch=weights // (per_run * reductions),
        input_refetch=inputs // (pixels * reductions),
        bias_refetch=biases // per_run,
    )


def _visits(order: str, indices: str, counts: Mapping[str, int]) -> int:
    """Iterations of the innermost loop over one of ``indices`` that has more than one."""
    visits = found = 1
    for loop in order:
        visits *= counts[loop]
        if loop in indices and counts[loop] > 1:
            found = visits
    return found


def inside_reduction(order: str, reductions: int) -> str:
    """The loops inside the one over ``reductions`` tiles of k. None if that has one iteration: it
    is then the same wherever it stands, and taken as the innermost."""
    return order[order.index("k") + 1 :] if reductions > 1 else ""


def live_sums(gemm: Gemm, m: int, channels: int, order: str, reductions: int) -> int:
    """Sums that are kept at once for output tiles of at most ``m`` pixels and ``channels``: those
    of one tile, and all that the loops inside k walk over."""
    inside = inside_reduction(order, reductions)
    pixels = gemm.m if "m" in inside else m
    return pixels * (max(channels, gemm.n) if "n" in inside else channels)


def live_tiles(order: str, per_run: int, pixels: int, reductions: int) -> int:
    """Output tiles whose sums are kept at once (``per_run``: channel blocks of a group run)."""
    inside = inside_reduction(order, reductions)
    return (per_run if "n" in inside else 1) * (pixels if "m" in inside else 1)


def loops_of(order: str, per_run: int, pixels: int, reductions: int) -> str:
    """``order``, with k as the innermost loop where that is the same loop nest."""
    kept = live_tiles(order, per_run, pixels, reductions)
    return order if kept > 1 else order.replace("k", "") + "k"


def sensible_orders(
    per_run: int, pixels: int, reductions: int, *, reuse: bool = True
) -> Iterator[str]:
    """The orders worth a look: all others are the same loop nest as one of these, or fetch at least
    as much and keep at least as many sums.

    With k whole, two orders differ, ``nmk`` and ``mnk``. With k cut, ``mnk`` fetches what ``nmk``
    does, and biases more often; ``knm`` and ``kmn`` fetch what ``nkm`` and ``mkn`` do, and keep
    more sums. Without ``reuse`` all fetch the same.
    """
    yield "nmk"
    if not reuse:
        return
    if reductions == 1:
        if per_run > 1 and pixels > 1:
            yield "mnk"
        return
    if pixels > 1:
        yield "nkm"
    if per_run > 1:
        yield "mkn"
