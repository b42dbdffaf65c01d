"""The shape of a convolution as the dataflows see it (a leaf: no workload in it)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.errors import AccelsimError, Mistake

LARGEST = 2**31 - 1
"""No extent of a convolution is larger."""


@dataclass(frozen=True)
class ConvShape:
    """A 2-D convolution; pairs are (vertical, horizontal).

    Raises AccelsimError (M320) naming every extent that cannot be.
    """

    channels: int
    """Input channels of all groups together; likewise the filters."""
    filters: int
    size: tuple[int, int]
    """Input height and width without padding."""
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Rows above, columns to the left, rows below, columns to the right."""
    groups: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        wrong = list(self._mistakes())
        if wrong:
            raise AccelsimError(Mistake("M320", f"a convolution with {what}") for what in wrong)

    def _mistakes(self) -> Iterator[str]:
        counts = {"channels": self.channels, "filters": self.filters, "groups": self.groups}
        counts |= {"batch": self.batch}
        for name in ("size", "kernel", "stride", "dilation"):
            pair = getattr(self, name)
            if not isinstance(pair, tuple) or len(pair) != 2:
                yield f"{name} {pair!r}, not a pair (vertical, horizontal)"
                return
            counts |= {f"{name} ({axis})": v for axis, v in zip("vh", pair, strict=True)}
        bad = [name for name, value in counts.items() if not _whole(value, 1)]
        yield from (f"{name} {counts[name]!r}, not 1 to {LARGEST}" for name in bad)
        four = isinstance(self.pads, tuple) and len(self.pads) == 4
        if not four or not all(_whole(pad, 0) for pad in self.pads):
            yield f"pads {self.pads!r}, not four whole numbers of at least 0"
        elif not bad:
            if self.channels % self.groups or self.filters % self.groups:
                yield f"{self.groups} groups that do not divide its channels and filters"
            if min(self.out_height, self.out_width) < 1:
                yield "a kernel that is larger than the padded input"

    @classmethod
    def of_gemm(cls, m: int, n: int, k: int, groups: int = 1) -> ConvShape:
        """C[m, n] = A[m, k] B[k, n] as a 1 x 1 convolution over a row of m pixels."""
        return cls(channels=k * groups, filters=n * groups, size=(1, m), groups=groups)

    @property
    def group_channels(self) -> int:
        """Input channels of one group."""
        return self.channels // self.groups

    @property
    def group_filters(self) -> int:
        """Filters of one group."""
        return self.filters // self.groups

    @property
    def out_height(self) -> int:
        """Output rows."""
        return self._out(0)

    @property
    def out_width(self) -> int:
        """Output columns."""
        return self._out(1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those of the padding included."""
        taps = self.kernel[0] * self.kernel[1] * self.group_channels
        return self.batch * self.filters * self.out_height * self.out_width * taps

    def kernel_parts(self, axis: int, size: int) -> Iterator[range]:
        """The kernel's positions along an axis in parts of ``size``."""
        extent = self.kernel[axis]
        return (range(start, min(start + size, extent)) for start in range(0, extent, size))

    def needed(self, axis: int, outputs: range, taps: range) -> int:
        """Different input rows (axis 0) or columns (axis 1) that the outputs need of the taps."""
        return self._union(axis, outputs, taps, clipped=False)

    def real(self, axis: int, outputs: range, taps: range) -> int:
        """:meth:`needed` without the padding."""
        return self._union(axis, outputs, taps, clipped=True)

    def _union(self, axis: int, outputs: range, taps: range, clipped: bool) -> int:
        """Each tap needs every stride-th position; those of one remainder overlap as intervals."""
        stride = self.stride[axis]
        runs: dict[int, list[tuple[int, int]]] = {}
        for tap in taps:
            first, remainder = divmod(tap * self.dilation[axis] - self.pads[axis], stride)
            start, end = first + outputs.start, first + outputs.stop
            if clipped:
                start, end = max(start, 0), min(end, -((remainder - self.size[axis]) // stride))
            runs.setdefault(remainder, []).append((start, end))
        total = 0
        for intervals in runs.values():
            reached = intervals[0][0]
            for start, end in intervals:  # taps ascend, and so do the intervals
                total += max(0, end - max(start, reached))
                reached = max(reached, end)
        return total

    def _out(self, axis: int) -> int:
        padded = self.size[axis] + self.pads[axis] + self.pads[axis + 2]
        reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
        return (padded - reach) // self.stride[axis] + 1


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST
