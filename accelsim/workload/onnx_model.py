"""A verified ONNX file as plain frozen records: nodes in order, and shape and type of every value.

The values of large constants are dropped before anything else looks at the graph: the checker and
the shape inference of onnx then work on a few kilobytes whatever the network weighs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.limits import MAX_NODES
from accelsim.workload.onnx_file import (
    KEPT_ELEMENTS,
    dtype_name,
    load_proto,
)
from accelsim.workload.onnx_infer import inferred
from accelsim.workload.onnx_types import Model, Node, Value


def load_nodes(path: Path) -> tuple[Any, tuple[Node, ...]]:
    """The verified protobuf and its live nodes. Raises :class:`AccelsimError` (W101..W107)."""
    proto = load_proto(path)
    _require_text(proto.graph, path)
    _require_opset(proto, path)
    _adopt(proto)
    nodes = _live(_nodes(proto.graph.node), [value.name for value in proto.graph.output])
    _require_wired(proto.graph, nodes, path)
    if len(nodes) > MAX_NODES:
        message = f"the network is too large: {len(nodes)} nodes; the limit is {MAX_NODES}"
        raise AccelsimError(Mistake("W107", message, "split it", Location(str(path))))
    return proto, nodes


def infer(proto: Any, nodes: tuple[Node, ...], path: Path, batch: int) -> Model:
    """Fixes the batch, checks the graph and infers every shape.

    ``proto`` is consumed (its large constants are taken out). Raises :class:`AccelsimError`:
    W103 (batch or dimensions of an input unknown), W105 (element type), W106 (not valid).
    """
    outputs = tuple(dict.fromkeys(value.name for value in proto.graph.output))
    # The checker insists on output shapes, which files often leave to the inference.
    declared = [v for v in proto.graph.output if v.type.tensor_type.HasField("shape")]
    del proto.graph.output[:]
    proto.graph.output.extend(declared)
    _set_batch(proto.graph, path, batch)
    constants, constant_values = _take_initializers(proto)
    for node in nodes:
        if node.key == "Constant":
            array = _constant_of_node(node, path)
            constant_values[node.outputs[0]] = Value(array.shape, str(array.dtype))
            constants[node.outputs[0]] = array if array.size <= KEPT_ELEMENTS else None
    inputs = tuple(v.name for v in proto.graph.input if v.name not in constants)
    given = dict(constants)
    values, replaced = inferred(proto, nodes, path, constants, constant_values)
    values.update(constant_values)
    kept = _live((n for n in nodes if not replaced.intersection(n.outputs)), outputs)
    kept = tuple(node for node in kept if node.key != "Constant")
    live = {name for node in kept for name in (*node.inputs, *node.outputs) if name}
    used = tuple(name for name in inputs if name in live or name in outputs)
    # What was evaluated on the way is forgotten again unless somebody still reads it.
    constants = {n: a for n, a in constants.items() if n in given or n in live or n in outputs}
    return Model(path, _one_output_each(kept, outputs), values, constants, used, outputs)


def _adopt(proto: Any) -> None:
    """Some exporters write operators of ONNX Runtime into the domain of ONNX, whose checker does
    not know them: they move to com.microsoft."""
    adopted = [
        node
        for node in proto.graph.node
        if node.op_type in _ADOPTED and node.domain in ("", "ai.onnx")
    ]
    for node in adopted:
        node.domain = "com.microsoft"
    if adopted and all(item.domain != "com.microsoft" for item in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))


_ADOPTED = ("SimplifiedLayerNormalization",)


def _one_output_each(nodes: tuple[Node, ...], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """Splits as one node per output that somebody reads, so that each is fused by itself."""
    read = {name for node in nodes for name in node.inputs} | set(outputs)
    taken = {node.name for node in nodes}
    found: list[Node] = []
    for node in nodes:
        if node.key != "Split":
            found.append(node)
            continue
        for index, output in enumerate(name for name in node.outputs if name in read - {""}):
            name = f"{node.name}:{index}" if index else node.name
            while index and name in taken:
                name += "'"
            taken.add(name)
            found.append(replace(node, name=name, outputs=(output,)))
    return tuple(found)


def _nodes(protos: Iterable[Any]) -> tuple[Node, ...]:
    """Plain records; nodes without a name get ``<op_type>_<index>``, repeated names a suffix."""
    taken: set[str] = set()
    repeats: dict[str, int] = {}
    found = []
    for index, proto in enumerate(protos):
        name = base = proto.name or f"{proto.op_type}_{index}"
        while name in taken:
            repeats[base] = repeats.get(base, 1) + 1
            name = f"{base}_{repeats[base]}"
        taken.add(name)
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        attributes = {a.name: _plain(a) for a in proto.attribute}
        inputs, outputs = tuple(proto.input), tuple(proto.output)
        found.append(Node(name, proto.op_type, domain, inputs, outputs, attributes))
    return tuple(found)


def _plain(attribute: Any) -> Any:
    """The value of an attribute; text as str, lists as tuples."""
    if attribute.type == onnx.AttributeProto.UNDEFINED:
        return None
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.GraphProto | onnx.TensorProto | int | float):
        return value
    return tuple(value) if isinstance(value, Iterable) else value


def _live(nodes: Iterable[Node], outputs: Iterable[str]) -> tuple[Node, ...]:
    """Drops nodes that no graph output depends on (every runtime does)."""
    wanted = set(outputs)
    kept = []
    for node in reversed(tuple(nodes)):
        if wanted.intersection(node.outputs):
            wanted.update(name for name in node.inputs if name)
            kept.append(node)
    return tuple(reversed(kept))


def _require_text(graph: Any, path: Path) -> None:
    """Every name is text: protobuf hands out bytes where a damaged file holds something else."""
    named = (*graph.initializer, *graph.input, *graph.output, *graph.value_info, *graph.node)
    names = [item.name for item in named]
    for node in graph.node:
        names += [node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None:
        message = f"not an ONNX file, or damaged: the name {odd!r} in it is no text"
        hint = "download or export it again"
        raise AccelsimError(Mistake("W101", message, hint, Location(str(path))))


def _require_opset(proto: Any, path: Path) -> None:
    """The operators are those of a version that exists (W106)."""
    newest = onnx.defs.onnx_opset_version()
    for imported in proto.opset_import:
        if imported.domain in ("", "ai.onnx") and not 1 <= imported.version <= newest:
            message = f"not a valid network: unknown opset {imported.version}"
            hint = f"export it with an opset from 1 to {newest}"
            raise AccelsimError(Mistake("W106", message, hint, Location(str(path))))


def _require_wired(graph: Any, nodes: tuple[Node, ...], path: Path) -> None:
    """Every value is made before it is read (W106 for each that is not)."""
    known = {value.name for value in (*graph.input, *graph.initializer)}
    unmade: dict[str, str] = {}
    for node in nodes:
        for name in node.inputs:
            if name and name not in known:
                unmade.setdefault(name, f"read by node '{node.name}'")
        known.update(name for name in node.outputs if name)
    for value in graph.output:
        if value.name not in known:
            unmade.setdefault(value.name, "an output of the network")
    hint = "the nodes are out of order, or a part is missing; export it again"
    mistakes = [
        Mistake("W106", f"tensor '{name}', {reader}, is never made", hint, Location(str(path)))
        for name, reader in unmade.items()
    ]
    if mistakes:
        raise AccelsimError(mistakes)


def _set_batch(graph: Any, path: Path, batch: int) -> None:
    """Gives the free first dimension of every graph input the value ``batch``, and the same to
    every dimension of that symbol. Other free dimensions, and a fixed other batch, are mistakes."""
    location = Location(str(path))
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    mistakes = []
    symbols: set[str] = set()
    fixed: dict[str, int] = {}
    for value in inputs:
        shape = value.type.tensor_type.shape
        if not value.type.tensor_type.HasField("shape"):
            message, hint = f"input '{value.name}' has no shape", "export it with a shape"
            mistakes.append(Mistake("W103", message, hint, location))
        elif shape.dim and shape.dim[0].WhichOneof("value") != "dim_value":
            symbols.add(shape.dim[0].dim_param)
            shape.dim[0].dim_value = batch
            fixed[value.name] = batch
        elif shape.dim:
            fixed[value.name] = shape.dim[0].dim_value
    # An input that is no batch (a state, a table) may have any first dimension beside one that is.
    if fixed and batch not in fixed.values():
        name, size = next(iter(fixed.items()))
        message = f"input '{name}' has the fixed batch {size}, asked for {batch}"
        hint = f"set the batch to {size}, or export with a free first dimension"
        mistakes.append(Mistake("W103", message, hint, location))
    symbols.discard("")
    for value in (*inputs, *graph.output, *graph.value_info):
        _bind(value, symbols, batch)
    for value in inputs:
        mistakes += _free_dimensions(value, location)
    if mistakes:
        raise AccelsimError(mistakes)


def _bind(value: Any, symbols: set[str], batch: int) -> None:
    """Replaces the batch symbols of one declared shape."""
    for dim in value.type.tensor_type.shape.dim:
        if dim.dim_param in symbols and dim.dim_param:
            dim.dim_value = batch


def _free_dimensions(value: Any, location: Location) -> list[Mistake]:
    """A mistake for every dimension of a graph input that is not a positive number."""
    found = []
    for index, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.WhichOneof("value") != "dim_value" or dim.dim_value <= 0:
            shown = dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?")
            message = f"dimension {index} of input '{value.name}' is not known ({shown})"
            hint = "export the network with a fixed size there; only the batch may stay free"
            found.append(Mistake("W103", message, hint, location))
    return found


def _take_initializers(proto: Any) -> tuple[dict[str, NDArray[Any] | None], dict[str, Value]]:
    """Constants by name. Large initializers become typed inputs of the graph, without values."""
    graph = proto.graph
    arrays: dict[str, NDArray[Any] | None] = {}
    values: dict[str, Value] = {}
    declared = {value.name for value in graph.input}
    small = []
    for tensor in graph.initializer:
        arrays[tensor.name] = _array(tensor)
        values[tensor.name] = Value(tuple(tensor.dims), dtype_name(tensor.data_type) or "")
        if arrays[tensor.name] is not None:
            small.append(tensor)
        elif tensor.name not in declared:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            graph.input.append(info)
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in small]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return arrays, values


def _array(tensor: Any) -> NDArray[Any] | None:
    """The values of a small constant."""
    if math.prod(tensor.dims) > KEPT_ELEMENTS:
        return None
    return np.asarray(numpy_helper.to_array(tensor))


def _constant_of_node(node: Node, path: Path) -> NDArray[Any]:
    """The value of a Constant node, whichever attribute holds it. Raises W105 for text."""
    kind, value = next(iter(node.attributes.items()))
    if isinstance(value, onnx.TensorProto):
        return np.asarray(numpy_helper.to_array(value))
    if kind.startswith("value_float"):
        return np.asarray(value, np.float32)
    if kind.startswith("value_int"):
        return np.asarray(value, np.int64)
    message = f"node '{node.name}' (Constant) holds a '{kind}', which has no storage size"
    raise AccelsimError(Mistake("W105", message, "", Location(str(path))))


def require_known(model: Model) -> None:
    """Raises :class:`AccelsimError` (W103) unless every tensor of the live graph has a shape of
    positive dimensions."""
    mistakes = []
    read = {name for node in model.nodes for name in node.inputs} | set(model.outputs)
    made = [(name, index) for node in model.nodes for index, name in enumerate(node.outputs)]
    names = [name for name, index in made if name and (index == 0 or name in read)]
    for name in (*model.inputs, *names):
        value = model.values.get(name)
        if value is None:
            message = f"the shape of tensor '{name}' cannot be inferred"
            hint = "fix the free dimensions, or give its shape in the file's value_info"
            mistakes.append(model.mistake("W103", message, hint))
        elif any(dim < 1 for dim in value.shape) and name not in model.constants:
            message = f"tensor '{name}' is empty: shape {list(value.shape)}"
            mistakes.append(model.mistake("W103", message, "every dimension must be at least 1"))
    if mistakes:
        raise AccelsimError(mistakes)
