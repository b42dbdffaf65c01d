"""Exact placement of blocks in a scratchpad: cheap orders first, then CP-SAT.

A block is one address range made of pieces with lifetimes of their own (a workspace whose first
part is live one step early is one block of two pieces). All heights are multiples of one unit, so
addresses that are sums of heights are aligned by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Live in [lower, upper), at ``offset`` from the block's address, ``height`` bytes high."""

    lower: int
    upper: int
    offset: int
    height: int


@dataclass(frozen=True)
class Block:
    """Pieces that keep their relative position."""

    pieces: tuple[Piece, ...]

    @property
    def height(self) -> int:
        """Bytes from the address to the end of the highest piece."""
        return max((p.offset + p.height for p in self.pieces), default=0)

    @property
    def lower(self) -> int:
        """First instant at which any piece is live."""
        return min(p.lower for p in self.pieces)

    @property
    def upper(self) -> int:
        """Instant at which the last piece ends."""
        return max(p.upper for p in self.pieces)


@dataclass(frozen=True)
class Packing:
    """Addresses of blocks, in their order. ``status`` as in :class:`ilp.problem.Placement`."""

    status: str
    addresses: tuple[int, ...]
    peak: int
    method: str
    spent: float = 0.0
    """Deterministic seconds of exact search."""
    notes: tuple[str, ...] = ()


def max_live(pieces: Iterable[Piece]) -> int:
    """Largest sum of heights live at one instant: no packing has a lower peak."""
    changes: dict[int, int] = {}
    for piece in pieces:
        changes[piece.lower] = changes.get(piece.lower, 0) + piece.height
        changes[piece.upper] = changes.get(piece.upper, 0) - piece.height
    live = most = 0
    for instant in sorted(changes):
        live += changes[instant]
        most = max(most, live)
    return most


def clipped(blocks: Sequence[Block], lower: int, upper: int) -> tuple[Block, ...]:
    """Blocks with their pieces cut to [lower, upper); blocks with nothing left disappear."""
    result: list[Block] = []
    for block in blocks:
        inside = tuple(
            Piece(max(p.lower, lower), min(p.upper, upper), p.offset, p.height)
            for p in block.pieces
            if p.lower < upper and p.upper > lower
        )
        if inside:
            base = min(p.offset for p in inside)
            moved = (Piece(p.lower, p.upper, p.offset - base, p.height) for p in inside)
            result.append(Block(tuple(moved)))
    return tuple(result)


def pack(
    blocks: Sequence[Block],
    capacity: int,
    effort: float,
    *,
    fit_only: bool = False,
    seed: int = 0,
) -> Packing:
    """Place ``blocks`` below ``capacity`` with the least peak (``fit_only``: any that fits).

    ``effort`` bounds the exact search, in CP-SAT's deterministic seconds. Instants that no block
    crosses split the problem; each part is solved on its own and the peaks are independent.
    """
    floor = max_live(p for block in blocks for p in block.pieces)
    if floor > capacity:
        return Packing("infeasible", (), 0, "max-live")
    addresses = [0] * len(blocks)
    methods: list[str] = []
    notes: list[str] = []
    status, peak, spent = "optimal", 0, 0.0
    for part in _parts(blocks):
        inside = [blocks[i] for i in part]
        # Nothing is gained by a part that is lower than another part must be.
        target = max(floor, peak)
        accept = capacity if fit_only else target
        packing = _pack_part(inside, capacity, target, accept, effort - spent, seed)
        if packing.status in ("infeasible", "unknown"):
            return packing
        if packing.status == "feasible":
            status = "feasible"
        for i, address in zip(part, packing.addresses, strict=True):
            addresses[i] = address
        peak = max(peak, packing.peak)
        spent += packing.spent
        methods.append(packing.method)
        notes += packing.notes
    method = "+".join(dict.fromkeys(methods)) or "empty"
    return Packing(status, tuple(addresses), peak, method, spent, tuple(dict.fromkeys(notes)))


def _parts(blocks: Sequence[Block]) -> list[list[int]]:
    """Groups of block indices that share no instant with other groups."""
    order = sorted((i for i, b in enumerate(blocks) if b.height), key=lambda i: blocks[i].lower)
    parts: list[list[int]] = []
    end = 0
    for i in order:
        if not parts or blocks[i].lower >= end:
            parts.append([])
            end = blocks[i].upper
        parts[-1].append(i)
        end = max(end, blocks[i].upper)
    return parts


def _pack_part(
    blocks: Sequence[Block], capacity: int, target: int, accept: int, effort: float, seed: int
) -> Packing:
    """One connected part: greedy orders until one meets ``target``, then the exact search.

    A greedy peak of at most ``accept`` is good enough.
    """
    best: tuple[int, tuple[int, ...], str] | None = None
    for name, order in _orders(blocks):
        addresses = _first_fit(blocks, order)
        peak = max(a + b.height for a, b in zip(addresses, blocks, strict=True))
        if best is None or peak < best[0]:
            best = (peak, addresses, f"first-fit by {name}")
        if best[0] <= target:
            break
    assert best is not None, "a part has at least one block"
    if best[0] <= accept:
        status = "optimal" if best[0] <= target else "feasible"
        return Packing(status, best[1], best[0], best[2])
    from ilp.exact_packing import search_packing

    hint = best[1] if best[0] <= capacity else None
    found = search_packing(blocks, capacity, (target, accept), hint, effort, seed)
    if found.status == "unknown" and hint is not None:
        return Packing("feasible", best[1], best[0], best[2], found.spent, found.notes)
    return found


def _orders(blocks: Sequence[Block]) -> list[tuple[str, list[int]]]:
    keys: list[tuple[str, Callable[[Block], tuple[int, ...]]]] = [
        ("size", lambda b: (-b.height, b.lower - b.upper, b.lower)),
        ("lifetime", lambda b: (b.lower - b.upper, -b.height, b.lower)),
        ("area", lambda b: ((b.lower - b.upper) * b.height, b.lower)),
        ("start", lambda b: (b.lower, b.lower - b.upper, -b.height)),
        ("end", lambda b: (-b.upper, b.lower - b.upper, -b.height)),
    ]
    numbers = range(len(blocks))
    return [(name, sorted(numbers, key=lambda i: (*key(blocks[i]), i))) for name, key in keys]


def _first_fit(blocks: Sequence[Block], order: Sequence[int]) -> tuple[int, ...]:
    """Put each block, in turn, at the lowest address where all its pieces are free."""
    placed: list[tuple[int, int, int, int]] = []
    addresses = [0] * len(blocks)
    for i in order:
        pieces = blocks[i].pieces
        blocked: list[tuple[int, int]] = []
        for lower, upper, bottom, top in placed:
            for p in pieces:
                if p.lower < upper and lower < p.upper and p.height:
                    blocked.append((bottom - p.offset - p.height, top - p.offset))
        address = 0
        for low, high in sorted(blocked):
            if low < address < high:
                address = high
        addresses[i] = address
        for p in pieces:
            if p.height:
                placed.append((p.lower, p.upper, address + p.offset, address + p.offset + p.height))
    return tuple(addresses)
