"""How large a network may be: what keeps mapping, planning and simulating it bounded.

The bounds are far above networks in use (VGG-16 at batch 64 has tensors of 2^27.6 elements and
14 336 image rows, the largest weight of a 7-billion-parameter transformer 2^27 elements) and low
enough for the search of one operator's tilings, which looks at every output row, to end in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from accelsim.errors import AccelsimError, Mistake
from accelsim.workload.graph import Gemm, Window

MAX_ELEMENTS = 2**28
"""Elements of an activation."""

MAX_TABLE = 2**30
"""Elements of a constant (embeddings and output products of language models)."""

MAX_RANK = 64
"""Dimensions of a tensor."""

MAX_EXTENT = 2**20
"""Rows, depth and columns of a product, those of all groups included."""

MAX_ROWS = 2**16
"""Output rows of a window operator, over all images of the batch."""

MAX_COLUMNS = 2**18
"""Output columns of a window operator (samples of a 1-D signal)."""

MAX_PHASES = 2**10
"""Phases of a transposed convolution: the product of its strides."""

MAX_STEPS = 2**9
"""Steps of a recurrent layer (each becomes several operators)."""

MAX_STEP = 2**16
"""Strides, dilations and pads."""

MAX_NODES = 2**14
"""Nodes of the file that an output depends on."""

MAX_OPERATORS = 2**12
"""Operators after folding and fusing."""

MAX_OPERANDS = 2**7
"""Computed inputs of one operator (densely connected networks concatenate some fifty)."""

MAX_ENDS = 2**10
"""Graph inputs, and graph outputs."""

REMEDY = "lower the batch or the image size, or split the network"


def shape_excess(shape: Sequence[int], most: int = MAX_ELEMENTS) -> str | None:
    """Why a shape is too large, None if it is not."""
    if len(shape) > MAX_RANK:
        return f"{len(shape)} dimensions; the limit is {MAX_RANK}"
    if math.prod(shape) <= most:
        return None
    return f"shape {list(shape)} has more than {most} elements"


def window_excess(window: Window) -> Iterator[str]:
    """What of a window is too large."""
    rows = window.batch * window.out_height
    if rows > MAX_ROWS:
        yield f"{rows} output rows over {window.batch} images; the limit is {MAX_ROWS}"
    if window.out_width > MAX_COLUMNS:
        yield f"{window.out_width} output columns; the limit is {MAX_COLUMNS}"
    if max(*window.stride, *window.dilation, *window.pads) > MAX_STEP:
        yield f"a stride, dilation or pad above {MAX_STEP}"


def product_excess(gemm: Gemm) -> str | None:
    """Why a product is too large, None if it is not. (The rows of a convolution are bounded by its
    window and its output.)"""
    extents = {"rows": gemm.m, "depth": gemm.k, "columns": gemm.n * gemm.groups}
    for name, extent in extents.items():
        if extent > MAX_EXTENT:
            return f"a product of {extent} {name}; the limit is {MAX_EXTENT}"
    return None


def require_recurrent(reading: str) -> None:
    """Raise AccelsimError (U001) for a reading of recurrent layers that does not exist."""
    if reading not in ("batched", "stepwise"):
        message = f"recurrent={reading!r} is neither 'batched' nor 'stepwise'"
        raise AccelsimError(Mistake("U001", message))
