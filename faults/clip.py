"""Clipped activations as an ordinary ONNX network.

``saturate`` (Ranger, DSN'21): y = min(max(x, 0), T), one Clip node in place of the Relu. ONNX Clip
passes NaN on, so this form does not stop NaN; infinite values become T or 0.
``zero`` (FT-ClipAct, DATE'20): y = x if 0 < x <= T else 0, a Where node behind the Relu; NaN and
infinite values become 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faults.network import Network

FORMS = ("none", "saturate", "zero")
_OPSET = {"saturate": 11, "zero": 12}
"""First ONNX opset with the operators a form needs (Clip with inputs; LessOrEqual)."""


def clip_network(model: Any, bounds: Mapping[str, float], form: str) -> Any:
    """A copy of ``model`` (``onnx.ModelProto``) with its Relu outputs named in ``bounds`` clipped.

    Tensor names stay. The bounds are constants in the file, named ``<tensor>/bound``. ``none``
    gives an unchanged copy. AccelsimError F508 for an unknown form, a bound that is no Relu output,
    not finite or negative, and for an opset without the needed operators.
    """
    import onnx

    mistakes = _mistakes(model, bounds, form)
    if mistakes:
        raise AccelsimError(mistakes)
    clipped = onnx.ModelProto()
    clipped.CopyFrom(model)
    if form == "none":
        return clipped
    types = _types(model)
    del clipped.graph.node[:]
    for node in model.graph.node:
        if node.op_type != "Relu" or node.output[0] not in bounds:
            clipped.graph.node.append(node)
            continue
        name = node.output[0]
        kind = types.get(name, np.dtype(np.float32))
        for label, value in (("bound", bounds[name]), ("zero", 0.0)):
            constant = onnx.numpy_helper.from_array(np.array(value, kind), f"{name}/{label}")
            clipped.graph.initializer.append(constant)
        clipped.graph.node.extend(_nodes(node, form))
    return clipped


def relu_outputs(model: Any) -> tuple[str, ...]:
    """Outputs of all Relu nodes, in file order."""
    return tuple(n.output[0] for n in model.graph.node if n.op_type == "Relu")


def profile_bounds(network: Network, images: NDArray[np.float32]) -> dict[str, float]:
    """Largest value of every Relu output over ``images``. F508 for a network without Relu nodes,
    F507 for images that do not fit it."""
    from faults.graph import RUNTIME_ERRORS, open_session

    names = relu_outputs(network.graph.model)
    if not names:
        hint = "clipping needs Relu nodes; in an 8-bit network quantisation already limits values"
        where = Location(network.name)
        raise AccelsimError(Mistake("F508", "the network has no Relu to clip", hint, where))
    nodes = range(len(network.graph.nodes))
    session = open_session(network.graph.build(nodes, {network.input: None}, names), network.name)
    found = dict.fromkeys(names, 0.0)
    for start in range(0, len(images), 64):
        try:
            results = session.run(list(names), {network.input: images[start : start + 64]})
        except RUNTIME_ERRORS as error:
            text = f"the network does not run on images {list(images.shape[1:])}"
            hint = "use the images the network was made for"
            where = Location(network.name)
            raise AccelsimError(Mistake("F507", text, hint, where)) from error
        for name, values in zip(names, results, strict=True):
            found[name] = max(found[name], float(values.max()))
    return found


def _nodes(relu: Any, form: str) -> list[Any]:
    """What stands in for a Relu node."""
    from onnx import helper

    source, name = relu.input[0], relu.output[0]
    bound, zero = f"{name}/bound", f"{name}/zero"
    if form == "saturate":
        return [helper.make_node("Clip", [source, zero, bound], [name], name=f"{name}/clip")]
    positive, inside = f"{name}/positive", f"{name}/inside"
    return [
        helper.make_node("Relu", [source], [positive], name=relu.name or f"{name}/relu"),
        # NaN compares false: it takes the zero.
        helper.make_node("LessOrEqual", [positive, bound], [inside], name=f"{name}/compare"),
        helper.make_node("Where", [inside, positive, zero], [name], name=f"{name}/clip"),
    ]


def _mistakes(model: Any, bounds: Mapping[str, float], form: str) -> list[Mistake]:
    if form not in FORMS:
        return [Mistake("F508", f"unknown clip form '{form}'", suggest(form, FORMS))]
    if form == "none":
        return []
    names = relu_outputs(model)
    found = []
    for name, value in bounds.items():
        if name not in names:
            hint = suggest(name, names) if names else "the network has no Relu nodes"
            found.append(Mistake("F508", f"no Relu output '{name}'", hint))
        if not (math.isfinite(value) and value >= 0.0):
            found.append(Mistake("F508", f"bound {value} of '{name}'", "finite and not negative"))
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    if opset < _OPSET[form]:
        text = f"clip form '{form}' needs ONNX opset {_OPSET[form]}, the network has {opset}"
        found.append(Mistake("F508", text, "convert it with onnx.version_converter"))
    return found


def _forget_shapes(graph: Any) -> None:
    """Values without shapes, slices as plain copies; graphs inside nodes likewise."""
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    for node in graph.node:
        if node.op_type == "Slice" and node.domain in ("", "ai.onnx"):
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _forget_shapes(inner)


def _types(model: Any) -> dict[str, np.dtype[Any]]:
    """Element types of the network's values, as far as inference without shapes tells.

    Builds of onnx whose C++ library checks itself end the whole process when a damaged ``Slice``
    reads a value with an extent below 1. Types need no shapes, and a slice has that of its input.
    """
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    _forget_shapes(bare.graph)
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    return {
        v.name: np.dtype(onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type))
        for v in (*inferred.value_info, *inferred.output)
        if v.type.tensor_type.elem_type
    }
