"""What no checker of onnx looks at in a network: sizes, windows, scales, values.

Everything here holds of a file as it is (no node is lowered yet); all findings are raised at once,
each with the name of its node or tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from accelsim.errors import AccelsimError
from accelsim.workload.limits import (
    MAX_ELEMENTS,
    MAX_ENDS,
    MAX_OPERANDS,
    MAX_TABLE,
    REMEDY,
    shape_excess,
)
from accelsim.workload.onnx_types import Model, Node
from accelsim.workload.onnx_values import Content

MAX_FINDINGS = 20
"""Findings that one error lists; one more says how many there are."""

_AUTO = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")

_WINDOWED = {
    "Conv": 1, "QLinearConv": 3, "MaxPool": None, "AveragePool": None,
    "com.microsoft.QLinearAveragePool": None, "ConvTranspose": 1,
}  # fmt: skip
"""Operators with a window -> the input that is the kernel."""

_SCALES: dict[str, tuple[tuple[int, int | None, str], ...]] = {
    "QLinearConv": ((1, None, ""), (4, 3, "first"), (6, None, "")),
    "QLinearMatMul": ((1, 0, "row"), (4, 3, "last"), (6, None, "")),
    "com.microsoft.QGemm": ((1, None, ""), (4, 3, "column"), (7, None, "")),
    "com.microsoft.QLinearAdd": ((1, None, ""), (4, None, ""), (6, None, "")),
    "com.microsoft.QLinearMul": ((1, None, ""), (4, None, ""), (6, None, "")),
    "com.microsoft.QLinearSoftmax": ((1, None, ""), (3, None, "")),
    "com.microsoft.QLinearGlobalAveragePool": ((1, None, ""), (3, None, "")),
    "com.microsoft.QLinearAveragePool": ((1, None, ""), (3, None, "")),
}
"""Operator -> its scales: (input, the tensor it may scale along one axis, that axis)."""

_PRODUCTS = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "LSTM",
        "GRU",
        "RNN",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "QLinearConv",
        "QLinearMatMul",
        "Mul",
    }
)
"""Operators that infinity makes useless. (Adding it is how an attention mask is written.)"""

Finding = tuple[str, str, str]
"""Code, message, hint."""


def check_model(model: Model, contents: Mapping[str, Content]) -> None:
    """Raises :class:`AccelsimError`: W106 (windows, scales, values that contradict themselves),
    W107 (too large)."""
    found = [
        *_ends(model),
        *_sizes(model),
        *(finding for node in model.nodes for finding in _node(node, model, contents)),
    ]
    if len(found) > MAX_FINDINGS:
        rest = len(found) - MAX_FINDINGS
        found = [*found[:MAX_FINDINGS], (found[0][0], f"and {rest} findings more", "")]
    if found:
        raise AccelsimError(model.mistake(*finding) for finding in found)


def _ends(model: Model) -> Iterator[Finding]:
    for what, names in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(names) > MAX_ENDS:
            yield (
                "W107",
                f"the network has {len(names)} {what}; the limit is {MAX_ENDS}",
                "split it",
            )


def _sizes(model: Model) -> Iterator[Finding]:
    """Tensors of the live graph."""
    names = [*model.inputs]
    for node in model.nodes:
        names += [name for name in (*node.inputs, *node.outputs) if name]
    for name in dict.fromkeys(names):
        value = model.values.get(name)
        most = MAX_TABLE if name in model.constants else MAX_ELEMENTS
        excess = shape_excess(value.shape, most) if value is not None else None
        if excess is not None:
            yield "W107", f"tensor '{name}' is too large: {excess}", REMEDY


def _node(node: Node, model: Model, contents: Mapping[str, Content]) -> Iterator[Finding]:
    label = f"node '{node.name}' ({node.key})"
    tensors = [name for name in dict.fromkeys(node.inputs) if name and name not in model.constants]
    if len(tensors) > MAX_OPERANDS:
        message = f"{label} is too large: {len(tensors)} inputs; the limit is {MAX_OPERANDS}"
        yield "W107", message, "combine them in several steps"
    known = all(name in model.values for name in node.inputs if name)  # if not: W103, later
    if node.key in _WINDOWED and known:
        try:
            reasons = tuple(_window(node, model))
        except (LookupError, TypeError, ValueError) as error:  # onnx checks none of com.microsoft
            reasons = (f"an attribute does not fit ({error})",)
        for reason in reasons:
            yield "W106", f"{label} is not valid: {reason}", "export the network again"
    for index, name in _scales(node) if known else ():
        for reason in _scale(node, index, name, model, contents):
            hint = "scales are positive numbers, one per tensor or one per channel"
            yield "W106", f"{label} is not valid: {reason}", hint
    for name in dict.fromkeys(node.inputs):
        flaw = contents[name].flaw if name in contents else ""
        if flaw == "NaN" or (flaw and node.key in _PRODUCTS):
            message = f"{label} is not valid: its constant '{name}' holds {flaw}"
            yield "W106", message, "train or export the network again"


def _window(node: Node, model: Model) -> Iterator[str]:
    """Attributes of a window against its input."""
    given = node.attributes
    kernel_input = _WINDOWED[node.key]
    shape = model.values[node.inputs[0]].shape[2:]
    kernel = tuple(given.get("kernel_shape", ()))
    if kernel_input is not None:
        weight = model.values[node.inputs[kernel_input]].shape[2:]
        if kernel and kernel != weight:
            yield f"kernel_shape {list(kernel)} is not that of its weight, {list(weight)}"
            return
        kernel = weight
    rank = len(shape)
    strides = tuple(given.get("strides", (1,) * rank))
    dilations = tuple(given.get("dilations", (1,) * rank))
    pads = tuple(given.get("pads", (0,) * (2 * rank)))
    for what, numbers, count, least in (
        ("kernel", kernel, rank, 1),
        ("strides", strides, rank, 1),
        ("dilations", dilations, rank, 1),
        ("pads", pads, 2 * rank, 0),
    ):
        if len(numbers) != count or min(numbers, default=least) < least:
            yield f"{what} {list(numbers)}; {count} numbers of at least {least} are needed"
            return
    auto = given.get("auto_pad", "NOTSET")
    if auto not in _AUTO:
        yield f"auto_pad '{auto}'; known: {', '.join(_AUTO)}"
        return
    # Runtimes and onnx's own inference take different ones of the two.
    if any(pads) if auto == "VALID" else (auto != "NOTSET" and "pads" in given):
        yield f"auto_pad {auto} together with pads {list(pads)}"
        return
    if node.key == "ConvTranspose":
        return  # a window of any size meets every pixel
    for axis in range(rank):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        before, after = pads[axis], pads[axis + rank]
        # A pool over padding only has no result; a convolution has one (SqueezeNet's last is such).
        if kernel_input is None and max(before, after) >= reach:
            yield f"pads {before} and {after} of axis {axis} exceed the window, which spans {reach}"
        elif not auto.startswith("SAME") and reach > shape[axis] + before + after:
            size = shape[axis] + before + after
            yield f"its window spans {reach} along axis {axis}, the padded input only {size}"


def _scales(node: Node) -> Iterator[tuple[int, str]]:
    """(input, name) of the scales of a node."""
    indices: tuple[int, ...] = tuple(index for index, _, _ in _SCALES.get(node.key, ()))
    if node.key in ("QuantizeLinear", "DequantizeLinear"):
        indices = (1,)
    elif node.key == "com.microsoft.QLinearConcat":
        indices = (0, *range(3, len(node.inputs), 3))
    for index in indices:
        if node.input(index):
            yield index, node.input(index)


def _scale(
    node: Node, index: int, name: str, model: Model, contents: Mapping[str, Content]
) -> Iterator[str]:
    """Values and length of one scale."""
    held = contents.get(name)
    if held is not None and (held.flaw or not held.positive):
        yield f"its scale '{name}' holds {held.flaw or 'zero or a negative number'}"
    value = model.values.get(name)
    allowed = _lengths(node, index, model)
    if value is not None and allowed is not None and value.elements not in allowed:
        wanted = " or ".join(str(count) for count in allowed)
        yield f"its scale '{name}' has {value.elements} elements, not {wanted}"
        return
    zero = node.input(index + 1)
    if zero and value is not None and zero in model.values:
        count = model.values[zero].elements
        if count != value.elements:
            yield f"its zero point '{zero}' has {count} elements, its scale {value.elements}"


def _lengths(node: Node, index: int, model: Model) -> tuple[int, ...] | None:
    """How many numbers a scale may have; None if any number (blocks)."""
    if node.key in ("QuantizeLinear", "DequantizeLinear"):
        if node.attributes.get("block_size", 0):
            return None
        shape = model.values[node.inputs[0]].shape
        axis = node.attributes.get("axis", 1)
        return (1, shape[axis]) if -len(shape) <= axis < len(shape) else (1,)
    scaled, along = next(
        ((tensor, axis) for i, tensor, axis in _SCALES.get(node.key, ()) if i == index), (None, "")
    )
    if scaled is None:
        return (1,)
    shape = model.values[node.inputs[scaled]].shape
    if not shape:
        return (1,)
    if along == "column":
        return 1, shape[0 if node.attributes.get("transB", 0) else -1]
    if along == "row":
        return (1, shape[-2]) if len(shape) > 1 else (1,)
    return 1, shape[0 if along == "first" else -1]
