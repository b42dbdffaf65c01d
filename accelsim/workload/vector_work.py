"""How many element operations an operator asks of the vector unit: one table for every reader.

An element operation is what one lane does with one element in one go: add, multiply, multiply and
add, compare, move, or look up a function of one operand. How many cycles a lane takes for it is the
machine's business (``vector.cycles_per_op``, by operator kind), so a sigmoid counts one here, and
an accelerator without a table for it states what a sigmoid costs there.

Operators that need an element several times count once per pass. Nothing is fitted: each count is
the plain algorithm written out, and its reasoning stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from accelsim.workload.graph import OpKind


class Per(StrEnum):
    """What a count is multiplied with."""

    OUTPUT = "output element"
    INPUT = "input element"
    WINDOW = "output element and window position"
    OPERAND = "output element and operand after the first"


@dataclass(frozen=True)
class Work:
    """Element operations of one operator: ``count`` for each ``per``."""

    count: int
    per: Per
    why: str


def _once(why: str) -> Work:
    return Work(1, Per.OUTPUT, why)


_FUNCTION = "a function of one operand: looked up or computed by the lane"
_MOVE = "every element written is moved once"

WORK: Mapping[str, Work] = MappingProxyType(
    {
        **{kind: _once("one operation on two operands") for kind in ("add", "sub", "mul", "div")},
        "minmax": _once("one comparison or select"),
        "nary": Work(1, Per.OPERAND, "operands are folded in one after the other"),
        **{
            kind: _once(_FUNCTION)
            for kind in (
                "elementwise", "exp", "sqrt", "relu", "clip", "leaky_relu", "sigmoid", "tanh",
                "hard_swish", "gelu", "quantize", "dequantize", "fallback",
            )
        },
        **{
            kind: _once(_MOVE)
            for kind in ("concat", "pad", "slice", "transpose", "gather")
        },
        "bias_gelu": Work(2, Per.OUTPUT, "add the bias, then the function"),
        "max_pool": Work(1, Per.WINDOW, "one comparison per window position"),
        "average_pool": Work(1, Per.WINDOW, "one addition per window position; the division by a "
                             "constant is the scaling of the write"),
        "global_average_pool": Work(1, Per.INPUT, "one addition per input element"),
        "reduce": Work(1, Per.INPUT, "one addition, comparison or multiply-add per input element; "
                       "what follows per result is not counted"),
        "batch_norm": _once("scale and shift, mean and variance folded into them"),
        "layer_norm": Work(5, Per.OUTPUT, "sum; subtract the mean; square and add; multiply by the "
                           "reciprocal deviation; gain and shift"),
        "rms_norm": Work(3, Per.OUTPUT, "square and add; multiply by the reciprocal root; gain"),
        "softmax": Work(4, Per.OUTPUT, "maximum; exponential of the difference; sum; quotient (of "
                        "its logarithm: a difference)"),
        "rotary": Work(3, Per.OUTPUT, "two products, with cosine and with sine, and their sum"),
        "resize": _once("nearest neighbour: one element moved"),
        "resize_taps": Work(1, Per.WINDOW, "one multiply-add per neighbour: 2 per axis that "
                            "changes (linear), 4 (cubic)"),
        "gate": Work(2, Per.OUTPUT, "recurrent cells: add input and recurrent sums; activation"),
        "reset_gate": Work(3, Per.OUTPUT, "GRU, reset after the product: multiply, add, "
                           "activation"),
        "cell": Work(3, Per.OUTPUT, "LSTM: forget x old, input x candidate, their sum"),
        "first_cell": _once("LSTM without an old state: input x candidate"),
        "hidden": Work(2, Per.OUTPUT, "LSTM: activation of the cell; x output gate"),
        "blend": Work(3, Per.OUTPUT, "GRU: old - candidate, x update gate, + candidate"),
        "first_blend": Work(2, Per.OUTPUT, "GRU without an old state: 1 - update gate, "
                            "x candidate"),
    }
)  # fmt: skip
"""Name -> element operations. Kinds of :class:`OpKind` stand under their own name; the other names
are algorithms that share a kind with something cheaper or dearer."""


def vector_work(name: OpKind | str, outputs: int, *, inputs: int = 0, window: int = 1) -> int:
    """Element operations of the operator ``name`` of :data:`WORK`.

    ``outputs`` and ``inputs``: elements written and read; ``window``: positions of a pool's window
    or taps of an interpolation, or the number of operands. At least 1. KeyError for an unknown
    name (array operators have none: see :func:`epilogue_work`).
    """
    work = WORK[str(name)]
    amount = {
        Per.OUTPUT: outputs,
        Per.INPUT: inputs,
        Per.WINDOW: outputs * window,
        Per.OPERAND: outputs * max(1, window - 1),
    }[work.per]
    return max(1, work.count * amount)


def epilogue_work(outputs: int, stages: int) -> int:
    """Element operations behind an array operator: one per output element and fused stage
    (requantise, ReLU, clip, mask), at least one, since sums must be moved out of the
    accumulators."""
    return outputs * max(1, stages)
