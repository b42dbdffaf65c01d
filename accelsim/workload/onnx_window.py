"""Windows of convolutions and pools, from the attributes of a node and the inferred shapes."""

from __future__ import annotations

from accelsim.workload.graph import Window
from accelsim.workload.limits import window_excess
from accelsim.workload.onnx_draft import Scope, TooLargeError, UnsupportedError
from accelsim.workload.onnx_types import Node


def planar(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A batch of images as [n, c, h, w]; 1-D signals have height 1."""
    if len(shape) == 3:
        return shape[0], shape[1], 1, shape[2]
    if len(shape) == 4:
        return shape[0], shape[1], shape[2], shape[3]
    raise UnsupportedError(f"{len(shape) - 2}-D windows; 1-D and 2-D are supported")


def pair(values: tuple[int, ...]) -> tuple[int, int]:
    """Per-axis numbers as (height, width)."""
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def pads_of(
    node: Node, sizes: list[tuple[int, int]], kernel: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """top, left, bottom, right; ``sizes`` are (input, output) per spatial axis."""
    rank = len(kernel)
    auto = node.attributes.get("auto_pad", "NOTSET")
    before, after = [0] * rank, [0] * rank
    if auto.startswith("SAME"):
        strides = node.attributes.get("strides", (1,) * rank)
        dilations = node.attributes.get("dilations", (1,) * rank)
        for axis, (size, out) in enumerate(sizes):
            reach = (out - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
            total = max(reach - size, 0)
            small, large = total // 2, total - total // 2
            before[axis], after[axis] = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif auto != "VALID":
        pads = node.attributes.get("pads", (0,) * (2 * rank))
        before, after = list(pads[:rank]), list(pads[rank:])
    if rank == 1:
        return 0, before[0], 0, after[0]
    return before[0], before[1], after[0], after[1]


def window_of(node: Node, scope: Scope, kernel: tuple[int, ...], groups: int) -> Window:
    """Geometry of a convolution or pool. Raises :class:`UnsupportedError` (3-D),
    :class:`TooLargeError`."""
    shape, out_shape = scope.shape(node.inputs[0]), scope.shape(node.outputs[0])
    batch, channels, height, width = planar(shape)
    _, out_channels, out_height, out_width = planar(out_shape)
    rank = len(shape) - 2
    sizes = list(zip(shape[2:], out_shape[2:], strict=True))
    kernel_height, kernel_width = pair(kernel)
    window = Window(
        batch, channels, height, width,
        out_channels, out_height, out_width,
        kernel_height, kernel_width,
        pair(node.attributes.get("strides", (1,) * rank)),
        pair(node.attributes.get("dilations", (1,) * rank)),
        pads_of(node, sizes, kernel),
        groups,
    )  # fmt: skip
    for excess in window_excess(window):
        raise TooLargeError(excess)
    return window
