"""Exact integer arithmetic of a quantised layer, to the last bit.

sum = Σ (x - x_zero)(w - w_zero) + bias, kept modulo 2^32 as a 32-bit accumulator does;
out = clip(round_half_even(float32(sum) * factor) + out_zero).
A product of 8-bit numbers has at most 17 bits, so floating-point matrix products are exact while
sums stay below 2^24 (float32) or 2^53 (float64); the narrower type is used where it suffices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from faults.layers import IntLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray


def centred_weight(layer: IntLayer, channel: int) -> NDArray[np.int64]:
    """Weights of one output channel minus their zero point, [in / groups, kh, kw]."""
    stored: NDArray[np.int64] = layer.weight[channel].astype(np.int64)
    stored -= int(layer.weight_zero[channel])
    return stored


def channel_sums(
    layer: IntLayer, x: NDArray[np.integer], channel: int, weight: NDArray[np.int64], bias: int
) -> NDArray[np.int32]:
    """Accumulators of one output channel, int32 [n, oh, ow], for centred weights [in, kh, kw].

    Each tap of the kernel is one row of a matrix product with whole input planes; the rows are
    then shifted into place. No patches are copied.
    """
    inner, kh, kw = weight.shape
    first = channel // (layer.channels // layer.groups) * inner
    n = len(x)
    height, width = layer.in_shape[1:]
    planes = x.reshape(n, *layer.in_shape)[:, first : first + inner].reshape(n, inner, -1)
    # One tap of one channel: |sum| <= in * 255 * |w|.
    small = inner * 255 * int(np.abs(weight).max(initial=0)) < 2**24
    real: type[np.floating] = np.float32 if small else np.float64
    rows = weight.reshape(inner, kh * kw).T.astype(real)
    centred = planes.astype(real)
    centred -= real(layer.in_zero)
    taps = (rows @ centred).reshape(n, kh, kw, height, width)
    total = np.zeros((n, *layer.out_shape[1:]), np.float64)
    for i in range(kh):
        for j in range(kw):
            out, into = _overlap(layer, i, j)
            total[(slice(None), *out)] += taps[(slice(None), i, j, *into)]
    return wrap(total.astype(np.int64) + int(bias))


def layer_sums(layer: IntLayer, x: NDArray[np.integer]) -> NDArray[np.int32]:
    """Accumulators of all channels, int32 [n, out, oh, ow]."""
    rows = [
        channel_sums(layer, x, c, centred_weight(layer, c), int(layer.bias[c]))
        for c in range(layer.channels)
    ]
    return np.stack(rows, axis=1)


def element_sums(layer: IntLayer, x: NDArray[np.integer], element: int) -> NDArray[np.int32]:
    """Accumulators of one output element (flat index into one image's output), int32 [n]."""
    channel, row, column = (int(i) for i in np.unravel_index(element, layer.out_shape))
    weight = centred_weight(layer, channel)
    inner, kh, kw = weight.shape
    first = channel // (layer.channels // layer.groups) * inner
    images = x.reshape(len(x), *layer.in_shape)
    total = np.full(len(x), int(layer.bias[channel]), np.int64)
    for i in range(kh):
        for j in range(kw):
            y = row * layer.stride[0] + i * layer.dilation[0] - layer.pads[0]
            z = column * layer.stride[1] + j * layer.dilation[1] - layer.pads[1]
            if 0 <= y < layer.in_shape[1] and 0 <= z < layer.in_shape[2]:
                pixel = images[:, first : first + inner, y, z].astype(np.int64) - layer.in_zero
                total += pixel @ weight[:, i, j]
    return wrap(total)


def requantise(
    layer: IntLayer, sums: NDArray[np.int32], channel: int | None = None
) -> NDArray[np.integer]:
    """Outputs in the layer's 8-bit type; ``sums`` is [n, out, oh, ow], or anything of one channel.

    The order of float32 operations is the runtime's, so that equality is to the bit.
    """
    factor = layer.factor[:, None, None] if channel is None else layer.factor[channel]
    scaled = sums.astype(np.float32) * factor
    low, high = np.float32(layer.low - layer.out_zero), np.float32(layer.high - layer.out_zero)
    out = np.rint(np.clip(scaled, low, high)).astype(np.int32)
    out += np.int32(layer.out_zero)
    made: NDArray[np.integer] = out.astype(layer.dtype)
    return made


def wrap(values: NDArray[np.int64]) -> NDArray[np.int32]:
    """Modulo 2^32, two's complement."""
    return values.astype(np.uint32).view(np.int32)


def flip(value: int, bit: int, dtype: str) -> int:
    """``value`` of an integer type with one bit of its two's complement inverted."""
    kind = np.dtype(dtype)
    unsigned = np.array([value], kind).view(f"u{kind.itemsize}")
    return int((unsigned ^ unsigned.dtype.type(1 << bit)).view(kind)[0])


def flip_at(values: NDArray[np.generic], element: int, bit: int) -> None:
    """Invert one bit of one element (flat index into an image) in every row of ``values``."""
    rows = values.reshape(len(values), -1).view(f"u{values.dtype.itemsize}")
    rows[:, element] ^= rows.dtype.type(1 << bit)


def _overlap(layer: IntLayer, i: int, j: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """(output region, input region) on which tap (i, j) acts; the padding adds nothing."""
    out, into = [], []
    for axis, tap in ((0, i), (1, j)):
        step = layer.stride[axis]
        offset = tap * layer.dilation[axis] - layer.pads[axis]
        first = max(0, -(offset // step))
        last = min(layer.out_shape[1 + axis] - 1, (layer.in_shape[1 + axis] - 1 - offset) // step)
        count = max(0, last - first + 1)
        start = first * step + offset
        out.append(slice(first, first + count))
        into.append(slice(start, start + count * step, step) if count else slice(0, 0))
    return (out[0], out[1]), (into[0], into[1])
