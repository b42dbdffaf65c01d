"""Register-level model of a row-stationary array, stepped cycle by cycle in numpy.

It knows nothing of the closed forms. Every PE has a filter spad, a window of inputs, a queue for
the inputs of the next output column, a spad of sums, a latch that holds finished sums while they
leave, and a register that passes sums upwards. Each bus carries one transaction per cycle: up to
its width in words for all PEs that listen to one tag. The controller sees only what has arrived
and what is done.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count, product
from math import gcd

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.row_stationary import RowArray, RowStationary

Ints = NDArray[np.int64]
Position = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Sets of a pass, and how an output column moves over the input."""

    e: int
    height: int
    width: int
    p: int
    q: int
    r: int
    t: int
    stride: tuple[int, int]
    dilation: tuple[int, int]


def place(array: RowArray, g: Geometry) -> dict[tuple[int, int, int], Position]:
    """PE of (filter set, place in its chain, output row); chains are columns, bottom first.

    Sets stand side by side while the columns last, then in the next band of rows; a set wider than
    the array is cut into parts of the array's width, one band each.
    """
    chain = g.height * g.r
    pes: dict[tuple[int, int, int], Position] = {}
    band, left = 0, 0
    for t in range(g.t):
        if g.e <= array.cols and left + g.e > array.cols:
            band, left = band + 1, 0
        for c in range(g.e):
            if left == array.cols:
                band, left = band + 1, 0
            for k in range(chain):
                pes[t, k, c] = (band * chain + chain - 1 - k, left)
            left += 1
        if g.e > array.cols:
            band, left = band + 1, 0
    assert len(set(pes.values())) == len(pes), "a PE has two jobs"
    assert all(row < array.rows and col < array.cols for row, col in pes.values())
    return pes


@dataclass
class Bus:
    """Transactions that wait; each goes to the PEs of one tag."""

    width: int
    waiting: list[tuple[list[Position], str, list[tuple[tuple[int, ...], int]]]] = field(
        default_factory=list
    )

    def offer(self, listeners: list[Position], target: str, words: list) -> None:
        for start in range(0, len(words), self.width):
            self.waiting.append((listeners, target, words[start : start + self.width]))

    def carry(self, spads: dict[str, Ints], counts: Counter[str], name: str) -> None:
        if not self.waiting:
            return
        listeners, target, words = self.waiting.pop(0)
        counts[name] += len(words)
        counts[f"{name} spad"] += len(words) * len(listeners)
        for position, (where, value) in product(listeners, words):
            spads[target][position + where] = value


class Pass:
    """One pass: x is images x (r q) x rows x columns, w (t p) x (r q) x height x width, ``sums``
    those so far, images x (t p) x e x out columns."""

    def __init__(
        self, x: Ints, w: Ints, sums: Ints, array: RowArray, g: Geometry, counts: Counter[str]
    ) -> None:
        self.x, self.sums, self.array, self.g, self.counts = x, sums.copy(), array, g, counts
        self.unit = gcd(g.stride[1], g.dilation[1])
        self.span = (g.width - 1) * g.dilation[1] // self.unit + 1
        self.new = min(self.span, g.stride[1] // self.unit)
        self.chain = g.height * g.r
        self.pes = place(array, g)
        grid = (array.rows, array.cols)
        self.spads = {
            "filter": np.zeros((*grid, g.p, g.q, g.width), np.int64),
            "window": np.zeros((*grid, g.q, self.span), np.int64),
            "queue": np.zeros((*grid, g.q, self.new), np.int64),
        }
        self.acc, self.latch = (np.zeros((*grid, g.p), np.int64) for _ in range(2))
        self.filters = Bus(array.filter_bus_words)
        self.inputs = Bus(array.ifmap_bus_words)
        self.rows: dict[tuple[int, int], list[Position]] = {}
        for (_, k, c), position in self.pes.items():
            r, h = divmod(k, g.height)
            row = c * g.stride[0] + h * g.dilation[0]
            self.rows.setdefault((r, row), []).append(position)
        self.jobs = list(product(range(len(x)), range(sums.shape[3])))
        """(image, output column), in order."""
        self.chunks = [
            (t, c, range(p, min(p + array.psum_bus_words, g.p)))
            for t, c in product(range(g.t), range(g.e))
            for p in range(0, g.p, array.psum_bus_words)
        ]
        self.job, self.state, self.macs = 0, "wait", 0
        self.leaving: int | None = None
        """Job whose sums are in the latches."""
        self.moving: list[tuple[int, int, int, range, Ints]] = []
        self.sent = self.left = 0
        self._offer_filters(w)
        self._offer_early(0)

    def run(self) -> tuple[Ints, int]:
        """The new sums, and the cycles."""
        for cycle in count():
            self._control()
            if self.job == len(self.jobs) and self.leaving is None:
                return self.sums, cycle
            self.filters.carry(self.spads, self.counts, "filter")
            self.inputs.carry(self.spads, self.counts, "ifmap")
            self._multiply()
            self._move_sums()
        raise AssertionError

    def _offer_filters(self, w: Ints) -> None:
        g = self.g
        taps = list(product(range(g.p), range(g.q), range(g.width)))
        for t, k in product(range(g.t), range(self.chain)):
            r, h = divmod(k, g.height)
            words = [((p, q, s), w[t * g.p + p, r * g.q + q, h, s]) for p, q, s in taps]
            self.filters.offer([self.pes[t, k, c] for c in range(g.e)], "filter", words)

    def _offer(self, job: int, first: int, last: int, target: str) -> None:
        """Columns first .. last - 1 of a job's window."""
        image, column = self.jobs[job]
        shift = 0 if target == "window" else first
        for (r, y), listeners in sorted(self.rows.items()):
            words = [
                ((q, s - shift),
                 self.x[image, r * self.g.q + q, y, column * self.g.stride[1] + s * self.unit])
                for q in range(self.g.q) for s in range(first, last)
            ]  # fmt: skip
            self.inputs.offer(listeners, target, words)

    def _offer_early(self, job: int) -> None:
        """What the queue takes: the columns that this output needs and the one before did not, or
        the first of a new image."""
        if job < len(self.jobs):
            first = 0 if self.jobs[job][1] == 0 else self.span - self.new
            self._offer(job, first, first + self.new, "queue")

    def _control(self) -> None:
        """At the start of a cycle: what is there, what is free."""
        if self.leaving is not None and self.left == 0:
            self.leaving = None
        done = self.macs == self.g.p * self.g.q * self.g.width
        if self.state == "compute" and done and self.leaving is None:
            self.latch, self.leaving = self.acc.copy(), self.job
            self.sent, self.left = 0, len(self.chunks)
            self.job, self.state = self.job + 1, "wait"
        if self.state == "wait" and self.job < len(self.jobs) and not self.inputs.waiting:
            window, queue = self.spads["window"], self.spads["queue"]
            if self.jobs[self.job][1] == 0:
                window[..., : self.new] = queue
                self._offer(self.job, self.new, self.span, "window")
                self.state = "fill"
            else:
                self.spads["window"] = np.concatenate([window[..., self.new :], queue], axis=-1)
                self.state = "ready"
        if self.state == "fill" and not self.inputs.waiting:
            self.state = "ready"
        if self.state == "ready" and not self.filters.waiting:
            self.state, self.macs = "compute", 0
            self.acc[:] = 0
            self._offer_early(self.job + 1)

    def _multiply(self) -> None:
        """One MAC in every PE of the pass."""
        g = self.g
        if self.state != "compute" or self.macs == g.p * g.q * g.width:
            return
        s, rest = divmod(self.macs, g.p * g.q)
        q, p = divmod(rest, g.p)
        seen = self.spads["window"][..., q, s * g.dilation[1] // self.unit]
        self.acc[..., p] += self.spads["filter"][..., p, q, s] * seen
        self.macs += 1
        self.counts["macs"] += len(self.pes)

    def _move_sums(self) -> None:
        """One chunk enters a chain, and every chunk under way meets the next PE of its chain."""
        if self.leaving is None:
            return
        image, column = self.jobs[self.leaving]
        if self.sent < len(self.chunks):
            t, c, ps = self.chunks[self.sent]
            entering = self.sums[image, t * self.g.p + np.array(ps), c, column]
            self.moving.append((0, t, c, ps, entering))
            self.sent += 1
        stay = []
        for k, t, c, ps, values in self.moving:
            total = values + self.latch[self.pes[t, k, c]][ps.start : ps.stop]
            self.counts["hops"] += len(ps) * (k > 0)
            if k < self.chain - 1:
                stay.append((k + 1, t, c, ps, total))
            else:
                self.sums[image, t * self.g.p + np.array(ps), c, column] = total
                self.counts["sums written"] += len(ps)
                self.left -= 1
        self.moving = stay


def _parts(extent: int, size: int, exact: bool) -> list[range]:
    """Cuts of an extent; the last is shorter, or (not ``exact``) sticks out."""
    ends = [start + size for start in range(0, extent, size)]
    return [range(end - size, min(end, extent) if exact else end) for end in ends]


def _spread(part: range, sets: int) -> tuple[int, int]:
    """(per PE, sets) that share a part of the channels or filters as evenly as they can."""
    each = -(-len(part) // sets)
    return each, -(-len(part) // each)


def _grown(x: Ints, *shape: int) -> Ints:
    """With zeros at the ends of its axes, or cut."""
    grown = np.zeros(shape, np.int64)
    own = x[tuple(slice(0, size) for size in shape)]
    grown[tuple(slice(0, size) for size in own.shape)] = own
    return grown


def _filled_pass(
    x: Ints, w: Ints, sums: Ints, array: RowArray, g: Geometry, counts: Counter[str]
) -> tuple[Ints, int]:
    """A pass whose operands end with the layer: the rest of what it reads is zero."""
    rows = (g.e - 1) * g.stride[0] + (g.height - 1) * g.dilation[0] + 1
    cols = sums.shape[3] * g.stride[1] + g.width * g.dilation[1]
    x = _grown(x, len(x), g.q * g.r, rows, cols)
    w = _grown(w, g.p * g.t, g.q * g.r, g.height, g.width)
    return Pass(x, w, sums, array, g, counts).run()


def run_layer(
    shape: ConvShape, mapping: RowStationary, array: RowArray, x: Ints, w: Ints,
    skip_idle: bool = False,
) -> tuple[Ints, int, Counter[str]]:  # fmt: skip
    """A whole convolution, pass by pass; edge passes are filled up with zeros, or with
    ``skip_idle`` configured for what they hold.

    ``x`` is batch x channels x height x width, ``w`` filters x channels of a group x kernel.
    """
    counts: Counter[str] = Counter()
    cycles = 0
    of_group = (shape.group_channels, shape.group_filters)
    top, left = shape.pads[:2]
    padded = np.pad(x, ((0, 0), (0, 0), (top, 0), (left, 0)))
    out = np.zeros((shape.batch, shape.filters, shape.out_height, shape.out_width), np.int64)
    for group, strip, own, images in product(
        range(shape.groups),
        _parts(shape.out_height, mapping.e, skip_idle),
        _parts(of_group[1], mapping.p * mapping.t, skip_idle),
        _parts(shape.batch, mapping.n, True),
    ):
        p, t = _spread(own, mapping.t)
        sums = np.zeros((len(images), p * t, len(strip), shape.out_width), np.int64)
        started = False
        for channels, rows, cols in product(
            _parts(of_group[0], mapping.q * mapping.r, skip_idle),
            _parts(shape.kernel[0], mapping.kernel_rows, skip_idle),
            _parts(shape.kernel[1], mapping.kernel_cols, skip_idle),
        ):
            q, r = _spread(channels, mapping.r)
            g = Geometry(
                len(strip), len(rows), len(cols), p, q, r, t, shape.stride, shape.dilation
            )  # fmt: skip
            first = group * of_group[0]
            seen = padded[
                images.start : images.stop,
                first + channels.start : first + min(channels.stop, of_group[0]),
                strip.start * shape.stride[0] + rows.start * shape.dilation[0] :,
                cols.start * shape.dilation[1] :,
            ]
            first = group * of_group[1]
            taps = w[
                first + own.start : first + min(own.stop, of_group[1]),
                channels.start : channels.stop,
                rows.start : rows.stop,
                cols.start : cols.stop,
            ]
            sums, spent = _filled_pass(seen, taps, sums, array, g, counts)
            cycles += spent
            counts["sums read"] += started * sums.size
            started = True
        real = sums[:, : of_group[1] - own.start, : shape.out_height - strip.start]
        _, filters, rows_done, _ = real.shape
        first = group * of_group[1] + own.start
        where = np.s_[first : first + filters, strip.start : strip.start + rows_done]
        out[images.start : images.stop, *where] = real
    return out, cycles, counts


def convolution(shape: ConvShape, x: Ints, w: Ints) -> Ints:
    """The reference: a direct sum over taps."""
    top, left, bottom, right = shape.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out = np.zeros((shape.batch, shape.filters, shape.out_height, shape.out_width), np.int64)
    of_group, per = shape.group_channels, shape.group_filters
    for f, c, i, j in product(
        range(shape.filters), range(of_group), range(shape.kernel[0]), range(shape.kernel[1])
    ):
        y, z = i * shape.dilation[0], j * shape.dilation[1]
        seen = padded[:, f // per * of_group + c, y :: shape.stride[0], z :: shape.stride[1]]
        out[:, f] += w[f, c, i, j] * seen[:, : shape.out_height, : shape.out_width]
    return out
