"""The banked DRAM model: row buffers, activation limits, bus turn-around and refresh.

A port device (``accelsim.sim.devices``): how long a transfer holds the port depends on which rows
are open, on the direction of the transfer before, and on where in the refresh interval it falls.

The model of one transfer of b bytes in a region (a tensor, laid out front to back in the order in
which its tiles are fetched, rows spread over the banks in turn):

- data: the cycles that the plain bandwidth model charges;
- first row: nothing if it is open, tRCD if its bank is idle, tRP + tRCD if another row is open;
- further rows are activated while data of the rows before flow, at most four per tFAW and one per
  bank and tRC: data and activations overlap, the slower one counts;
- a change between reading and writing costs the turn-around;
- every tREFI all banks refresh for tRFC and close their rows: a transfer that is under way stops
  for tRFC and activates its row again; one that arrives during a refresh waits for its end.

Not modelled: reordering of requests, bank-group timing (tCCD), power-down, per-bank refresh.
Times are cycles of the core clock, each delay rounded up once.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from fractions import Fraction

from accelsim.arch.dram_kinds import KINDS, DramKind
from accelsim.arch.parts import Dram
from accelsim.errors import AccelsimError, Mistake, suggest
from accelsim.program import Work


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


class BankedDram:
    """State of one memory channel: open rows, last direction, where each region is.

    ``regions`` are the tensors that may be transferred, with their stored bytes. Raises
    AccelsimError (A140) for a kind without row timing.
    """

    def __init__(
        self, dram: Dram, clock_hz: int, regions: Mapping[str, int], port: str = "dram"
    ) -> None:
        kind = _kind(dram.kind)
        self._kind = kind
        scale = Fraction(clock_hz, 10**9)
        self._rcd = _ceil(kind.t_rcd * scale)
        self._rp = _ceil(kind.t_rp * scale)
        self._turn = _ceil(kind.t_turn * scale)
        self._rfc = _ceil(kind.t_rfc * scale)
        self._refi = _ceil(kind.t_refi * scale)
        # Exact, so that many rows do not add up rounding errors.
        self._activate = max(kind.t_faw / 4, kind.t_rc / kind.banks) * scale
        self._base: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._port = port
        row = 0
        for name, size in regions.items():
            self._base[name] = row
            self._sizes[name] = max(1, size)
            row += -(-max(1, size) // kind.row_bytes)
        self.reset()

    @property
    def port(self) -> str:
        """Name of the port that the memory stands behind."""
        return self._port

    def reset(self) -> None:
        """No row open, every region at its front."""
        self._offset = dict.fromkeys(self._sizes, 0)
        self._open: dict[int, int] = {}
        self._writing: bool | None = None
        self._until = 0
        """End of the last transfer."""

    def serve(self, work: Work, cycles: int, now: int) -> int:
        """Cycles for which a transfer that is granted the port at ``now`` holds it; ``cycles`` is
        what its bytes take on the bus."""
        size = work.dram_read_bytes + work.dram_write_bytes
        if size == 0:
            return cycles
        wait = self._refresh_before(now)
        writing = work.dram_write_bytes > 0
        if self._writing is not None and writing != self._writing:
            wait += self._turn
        self._writing = writing
        penalty, rows = self._walk(work.region, size)
        busy = max(cycles, _ceil((rows - 1) * self._activate))
        took = wait + penalty + busy
        took += self._refresh_during(now, took)
        self._until = now + took
        return took

    def content(self, work: Work) -> Hashable:
        """Region, direction and size."""
        return work.region, work.dram_read_bytes, work.dram_write_bytes

    def signature(self, now: int) -> Hashable:
        """Never the same twice: refresh phase and offsets hardly ever meet again, so comparing them
        would cost more than it saves, and the simulator steps."""
        return now

    def snapshot(self) -> object:
        """The state as a value."""
        return dict(self._offset), dict(self._open), self._writing, self._until

    def restore(self, saved: object, late: int) -> None:
        """Continue from ``saved``. Signatures never recur, so ``late`` can only be 0."""
        assert isinstance(saved, tuple), "a snapshot of this memory"
        assert late == 0, "no state of this memory comes again"
        offset, rows, self._writing, self._until = saved
        self._offset, self._open = dict(offset), dict(rows)

    def _walk(self, region: str, size: int) -> tuple[int, int]:
        """Open the rows of the next ``size`` bytes: delay before the first data, rows touched."""
        row_bytes, banks = self._kind.row_bytes, self._kind.banks
        total, base = self._sizes[region], self._base[region]
        offset = self._offset[region]
        first = base + offset // row_bytes
        rows = (offset + size - 1) // row_bytes - offset // row_bytes + 1
        found = self._open.get(first % banks)
        penalty = 0 if found == first else self._rcd + (0 if found is None else self._rp)
        self._offset[region] = (offset + size) % total
        # Only the last ``banks`` rows stay open, whatever the transfer walked over.
        for row in range(first + max(0, rows - banks), first + rows):
            self._open[row % banks] = row
        return penalty, rows

    def _refresh_before(self, now: int) -> int:
        """Account for refreshes since the last transfer; cycles until one under way has ended."""
        if not self._rfc:
            return 0
        latest = now // self._refi * self._refi
        if latest <= 0 or latest < self._until:
            return 0
        self._open.clear()
        return max(0, latest + self._rfc - now)

    def _refresh_during(self, now: int, took: int) -> int:
        """Cycles that refreshes inside (now, now + took) add, those they push it into included."""
        if not self._rfc:
            return 0
        added = count = 0
        while True:
            met = (now + took + added - 1) // self._refi - now // self._refi
            if met == count:
                break
            added += (met - count) * (self._rfc + self._rcd)
            count = met
        if count:
            last = max(self._open.values(), default=0)
            self._open = {last % self._kind.banks: last}
        return added


def _kind(name: str) -> DramKind:
    found = KINDS.get(name.upper())
    if found is None:
        hint = suggest(name, tuple(KINDS)) or "model: bandwidth"
        raise AccelsimError(
            Mistake("A140", f"no row timing is known for memory kind {name!r}: not banked", hint)
        )
    return found
