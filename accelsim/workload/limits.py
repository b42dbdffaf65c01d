"""How large a network may be: what keeps mapping, planning and simulating it bounded.

The bounds are far above networks in use (VGG-16 at batch 64 has tensors of 2^27.6 elements and
14 336 image rows, the largest weight of a 7-billion-parameter transformer 2^27 elements) and low
enough for the search of one operator's tilings, which looks at every output row, to end in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from accelsim.workload.graph import Gemm, Window

MAX_ELEMENTS = 2**28
"""Elements of a tensor."""

MAX_EXTENT = 2**20
"""Rows, columns and depth of a product, channels and groups included."""

MAX_ROWS = 2**16
"""Output rows of a window operator, over all images of the batch."""

MAX_COLUMNS = 2**18
"""Output columns of a window operator (samples of a 1-D signal)."""

MAX_STEP = 2**16
"""Strides and dilations."""

MAX_NODES = 2**14
"""Nodes of the file that an output depends on."""

MAX_OPERATORS = 2**12
"""Operators after folding and fusing."""

MAX_OPERANDS = 2**7
"""Inputs of one operator that are tensors (more than any densely connected network concatenates)."""

MAX_ENDS = 2**10
"""Graph inputs, and graph outputs."""

REMEDY = "lower the batch or the image size, or split the network"


def shape_excess(shape: Sequence[int]) -> str | None:
    """Why a shape is too large, None if it is not."""
    elements = 1
    for size in shape:
        elements *= size
    if elements <= MAX_ELEMENTS:
        return None
    return f"shape {list(shape)} has more than {MAX_ELEMENTS} elements"


def window_excess(window: Window) -> Iterator[str]:
    """What of a window is too large."""
    rows = window.batch * window.out_height
    if rows > MAX_ROWS:
        yield f"{rows} output rows over {window.batch} images; the limit is {MAX_ROWS}"
    if window.out_width > MAX_COLUMNS:
        yield f"{window.out_width} output columns; the limit is {MAX_COLUMNS}"
    if max(window.stride) > MAX_STEP or max(window.dilation) > MAX_STEP:
        yield f"a stride or dilation above {MAX_STEP}"
    steps = (window.dilation[0], window.dilation[1]) * 2
    sizes = (window.kernel_height, window.kernel_width) * 2
    for pad, step, size in zip(window.pads, steps, sizes, strict=True):
        reach = step * (size - 1) + 1
        if pad >= reach:
            yield f"a pad of {pad} beside a window that reaches {reach}: windows without any input"
            return


def product_excess(gemm: Gemm) -> str | None:
    """Why a product is too large, None if it is not."""
    extents = {"rows": gemm.m, "depth": gemm.k, "columns of all groups": gemm.n * gemm.groups}
    for name, extent in extents.items():
        if extent > MAX_EXTENT * (16 if name == "rows" else 1):
            return f"{extent} {name}"
    return None
