"""Shape and type of every value of a graph, and the constants that are computed on the way."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.onnx_file import dtype_name, element_type, type_label
from accelsim.workload.onnx_fold import Folded, fold
from accelsim.workload.onnx_shapes import SHAPE_RULES
from accelsim.workload.onnx_slices import hide_slices, show_slices
from accelsim.workload.onnx_types import Node, Value

VISITS = 2**19
"""Nodes looked at in all rounds of inference (a round per 1 500-node transformer takes 40 ms, and
two are enough; only a chain of shapes that each need the one before takes many)."""


def inferred(
    proto: Any,
    nodes: tuple[Node, ...],
    path: Path,
    constants: dict[str, NDArray[Any] | None],
    constant_values: dict[str, Value],
) -> tuple[dict[str, Value], set[str]]:
    """Checks the graph, then infers until nothing new appears: onnx's own rules for its operators,
    ours for those of com.microsoft, and arithmetic on shapes and constants, in turns, since each
    needs what the others found.

    ``constants`` and ``constant_values`` grow by what is evaluated. Second result: the values whose
    nodes are gone because they are constants now. Raises W105, W106, and W107 beyond
    :data:`VISITS`.
    """
    foreign = [node for node in nodes if node.key in SHAPE_RULES]
    _forget(proto.graph, nodes, foreign)
    outputs = {name for node in nodes for name in node.outputs if name}
    replaced: set[str] = set()
    try:
        onnx.checker.check_model(proto)
        hide_slices(proto)
        for _ in range(max(2, VISITS // max(1, len(nodes)))):
            result = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
            values = _values(result.graph, path)
            found = _apply_rules(foreign, values, path)
            folded = fold(nodes, {**values, **found, **constant_values}, constants, _opset(proto))
            constants.update(folded.arrays)
            constant_values.update(folded.values)
            replaced |= folded.replaced
            known = {**values, **found, **constant_values}
            shown = show_slices(proto, known)
            if not (found or folded.arrays or shown) or outputs <= known.keys():
                return known, replaced
            _declare(proto.graph, found)
            _replace(proto.graph, folded)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        text = " ".join(str(error).split())
        hint = "the file breaks the ONNX rules; export it again"
        mistake = Mistake("W106", f"not a valid network: {text}", hint, Location(str(path)))
        raise AccelsimError(mistake) from error
    message = "the network is too large: its shapes depend on each other in too many steps"
    hint = "export it with fixed shapes"
    raise AccelsimError(Mistake("W107", message, hint, Location(str(path))))


def _forget(graph: Any, nodes: tuple[Node, ...], foreign: Iterable[Node]) -> None:
    """Shapes that exporters left in the file may speak of another batch: only what no rule of ours
    or of onnx can say is believed."""
    unknown = {name for node in nodes if node.domain for name in node.outputs}
    unknown -= {name for node in foreign for name in node.outputs}
    kept = [info for info in graph.value_info if info.name in unknown]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _declare(graph: Any, found: Mapping[str, Value]) -> None:
    """What our rules found, for onnx to go on with."""
    for name, value in found.items():
        kind = element_type(value.dtype)
        graph.value_info.append(helper.make_tensor_value_info(name, kind, list(value.shape)))


def _opset(proto: Any) -> int:
    """Version of the standard operators."""
    versions = [i.version for i in proto.opset_import if i.domain in ("", "ai.onnx")]
    return int(versions[0]) if versions else 1


def _replace(graph: Any, folded: Folded) -> None:
    """Puts evaluated constants in the place of the nodes that computed them."""
    kept = [node for node in graph.node if not folded.replaced.intersection(node.output)]
    if len(kept) == len(graph.node):
        return
    declared = {value.name for value in graph.output}
    for name in sorted(folded.replaced):
        array, value = folded.arrays[name], folded.values[name]
        if array is not None:
            graph.initializer.append(numpy_helper.from_array(array, name))
        elif name not in declared:
            kind = element_type(value.dtype)
            info = helper.make_tensor_value_info(name, kind, list(value.shape))
            graph.input.append(info)
    del graph.node[:]
    graph.node.extend(kept)


def _apply_rules(
    foreign: Iterable[Node], values: Mapping[str, Value], path: Path
) -> dict[str, Value]:
    """Outputs that our rules can say now, in the file's order: one makes the next one known."""
    found: dict[str, Value] = {}
    known = ChainMap(found, dict(values))
    for node in foreign:
        if node.outputs[0] not in known and all(name in known for name in node.inputs if name):
            made = _apply_rule(node, known, path)
            found.update(made if isinstance(made, dict) else {node.outputs[0]: made})
    return found


def _apply_rule(node: Node, values: Mapping[str, Value], path: Path) -> Value | dict[str, Value]:
    """Our rule for a com.microsoft operator. Raises W106 when the node is malformed."""
    try:
        return SHAPE_RULES[node.key](node, values)
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        message = f"node '{node.name}' ({node.key}) is malformed: {error!r}"
        hint = "an input or attribute is missing, or shapes do not fit"
        raise AccelsimError(Mistake("W106", message, hint, Location(str(path)))) from error


def _values(graph: Any, path: Path) -> dict[str, Value]:
    """Fully known tensors of an inferred graph."""
    found: dict[str, Value] = {}
    mistakes = []
    for tensor in graph.initializer:
        found[tensor.name] = Value(tuple(tensor.dims), dtype_name(tensor.data_type) or "")
    for info in (*graph.input, *graph.value_info, *graph.output):
        kind = info.type.tensor_type
        dims = kind.shape.dim
        if not kind.HasField("shape") or any(d.WhichOneof("value") != "dim_value" for d in dims):
            continue
        dtype = dtype_name(kind.elem_type)
        if dtype is None:
            label = type_label(kind.elem_type)
            message = f"tensor '{info.name}' has the unsupported element type {label}"
            mistakes.append(Mistake("W105", message, "", Location(str(path))))
        else:
            found[info.name] = Value(tuple(d.dim_value for d in dims), dtype)
    if mistakes:
        raise AccelsimError(mistakes)
    return found
