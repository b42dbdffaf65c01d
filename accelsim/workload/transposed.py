"""Transposed convolutions as dense ones: one convolution of stride 1 per output phase.

A transposed convolution of stride s adds kernel tap t of input pixel i to output pixel
i s + t d - p (d the dilation, p the crop at the beginning). Read from the output, the pixels o with
the same remainder r of (o + p) by s see the same taps, those with t d = r modulo s, and each such
phase is an ordinary convolution of stride 1 over the input: no zeros are multiplied. The taps of
all phases together are the kernel. (The arithmetic: Dumoulin and Visin, arXiv 1603.07285,
section 4; R.)

Multiply-accumulates: output pixels of a phase x its taps, so in all **input pixels x kernel** where
the output is stride times as large as the input. Cropped outputs are not computed; border taps that
look at no pixel count, as the padding of any convolution does here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from accelsim.workload.graph import Gemm, Window


@dataclass(frozen=True)
class Axis:
    """One axis of one phase."""

    remainder: int
    taps: range
    """Kernel positions; empty: the phase is zero (or the bias) everywhere."""
    outputs: int
    before: int
    """Padding before the axis; negative: input that no output of the phase needs."""
    after: int
    dilation: int = 1


def axis_phases(
    size: int, out: int, kernel: int, stride: int, dilation: int, crop: int
) -> tuple[Axis, ...]:
    """The phases of one axis that have outputs: ``size`` inputs, ``out`` outputs after dropping
    ``crop`` at the beginning (the crop at the end follows from ``out``)."""
    found = []
    for remainder in range(min(stride, out)):
        phase = (remainder + crop) % stride
        first = (remainder + crop) // stride
        outputs = (out - remainder - 1) // stride + 1
        step = stride // math.gcd(dilation, stride)
        start = next((t for t in range(step) if (t * dilation - phase) % stride == 0), kernel)
        taps = range(start, kernel, step)
        if not taps:
            found.append(Axis(remainder, taps, outputs, 0, 0))
            continue
        # Output q of the phase reads input q - offset of each tap.
        near, far = ((t * dilation - phase) // stride for t in (taps[0], taps[-1]))
        after = first + outputs - 1 - near - (size - 1)
        apart = dilation // math.gcd(dilation, stride)
        found.append(Axis(remainder, taps, outputs, far - first, after, apart))
    return tuple(found)


@dataclass(frozen=True)
class Phase:
    """One output phase as a convolution; ``window`` and ``gemm`` are None if it has no taps."""

    row: int
    """First output row and column."""
    column: int
    window: Window | None = None
    gemm: Gemm | None = None


def covers(phase: Phase, whole: Window) -> bool:
    """Whether the taps of a phase are all of the kernel: an output smaller than the stride has
    fewer phases than the kernel has parts."""
    part = phase.window
    taps = whole.kernel_height * whole.kernel_width
    return part is not None and part.kernel_height * part.kernel_width == taps


def phases(window: Window) -> tuple[Phase, ...]:
    """The dense convolutions of a transposed one, row phases outermost.

    ``window`` describes the transposed convolution itself: its input and output, kernel, stride and
    dilation, and, as pads, what is cropped from the full result (the end is not looked at, since
    the output size says it).
    """
    rows = axis_phases(
        window.in_height, window.out_height, window.kernel_height,
        window.stride[0], window.dilation[0], window.pads[0],
    )  # fmt: skip
    columns = axis_phases(
        window.in_width, window.out_width, window.kernel_width,
        window.stride[1], window.dilation[1], window.pads[1],
    )  # fmt: skip
    return tuple(_phase(window, row, column) for row in rows for column in columns)


def _phase(whole: Window, row: Axis, column: Axis) -> Phase:
    if not row.taps or not column.taps:
        return Phase(row.remainder, column.remainder)
    window = Window(
        whole.batch, whole.in_channels, whole.in_height, whole.in_width,
        whole.out_channels, row.outputs, column.outputs, len(row.taps), len(column.taps),
        (1, 1), (row.dilation, column.dilation),
        (row.before, column.before, row.after, column.after), whole.groups,
    )  # fmt: skip
    gemm = Gemm(
        m=whole.batch * row.outputs * column.outputs,
        k=whole.in_channels // whole.groups * len(row.taps) * len(column.taps),
        n=whole.out_channels // whole.groups,
        groups=whole.groups,
    )
    return Phase(row.remainder, column.remainder, window, gemm)
