"""An ONNX classification graph as a structure one can cut: who makes what, who reads it.

Cutting rests on one fact: a sub-graph that gets all tensors crossing its border computes what the
whole graph computes. Cuts sit at quantised tensors, so that DequantizeLinear and QuantizeLinear
stay next to their operators and the runtime fuses them to the same integer kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from accelsim.errors import AccelsimError, Location, Mistake

MAX_MODEL_BYTES = 2 * 1024**3 - 1
"""A protobuf message cannot be larger."""

RUNTIME_ERRORS = tuple(
    getattr(ort_errors, name)
    for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented",
                 "RuntimeException", "NoSuchFile", "NoModel", "EPFail", "ModelLoaded")
    if hasattr(ort_errors, name)
)  # fmt: skip
"""What ONNX Runtime raises for a model or an input that it cannot take."""

ELEM_TYPES: dict[str, int] = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7,
    "bool": 9, "float16": 10, "float64": 11,
}  # fmt: skip
"""numpy dtype name -> ONNX element type."""


def load_model(path: str | Path) -> Any:
    """The checked ``ModelProto`` at ``path``, external data inside; AccelsimError (F502) if the
    file is missing, too large, damaged or no valid ONNX."""
    file = Path(path)
    where = Location(str(file))
    if not file.is_file():
        raise AccelsimError(Mistake("F502", "no such network", "give an ONNX file", where))
    if file.stat().st_size > MAX_MODEL_BYTES:
        raise AccelsimError(Mistake("F502", "larger than 2 GB", "quantise or split it", where))
    try:
        model = onnx.load(str(file))
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "export the network again; the file is damaged or no ONNX"
        raise AccelsimError(
            Mistake("F502", f"not a valid network: {first}", hint, where)
        ) from error
    if not model.graph.node:
        hint = "export the network again; the file is damaged or no ONNX"
        raise AccelsimError(Mistake("F502", "the network has no operators", hint, where))
    return model


@cache
def _share_memory() -> None:
    """One arena for all sessions of the process: dozens of segments with an arena each would hold
    several times the memory they ever use at once."""
    # Not to be told from a failure otherwise: someone else's arena serves as well.
    with suppress(*RUNTIME_ERRORS):
        place = ort.OrtMemoryInfo(
            "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
        )
        ort.create_and_register_allocator(place, None)


def open_session(model: Any, name: str = "network", optimised: Path | None = None) -> Any:
    """A single-threaded CPU session of ``model``; AccelsimError (F502) when the runtime refuses.

    The graph that the runtime really executes is written to ``optimised``, where given.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    _share_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except RUNTIME_ERRORS as error:
        first = str(error).splitlines()[0]
        hint = "check that it runs in ONNX Runtime"
        raise AccelsimError(
            Mistake("F502", f"ONNX Runtime refuses the network: {first}", hint, Location(name))
        ) from error


def executed_nodes(model: Any, name: str = "network") -> tuple[tuple[str, str], ...]:
    """(operator, node name) of the graph that the runtime makes of ``model`` on this machine."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "optimised.onnx"
        open_session(model, name, file)
        nodes = onnx.load(str(file), load_external_data=False).graph.node
    return tuple((node.op_type, node.name) for node in nodes)


_VIEWS = frozenset(
    ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Pad", "MaxPool",
     "Identity", "Relu", "Clip", "Gather", "Concat")
)  # fmt: skip
"""Operators that keep the type of their first input."""


@dataclass(frozen=True)
class TensorInfo:
    """Shape of a tensor for one image, and numpy dtype name."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """Elements of one image."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return int(np.dtype(self.dtype).itemsize * 8)

    @property
    def bytes(self) -> int:
        """Bytes of one image."""
        return self.elements * self.bits // 8


class Graph:
    """Index of a model with one input and one output. The model is never changed."""

    def __init__(self, model: Any, name: str = "network") -> None:
        self.model = _prepared(model)
        self.name = name
        self.nodes: tuple[Any, ...] = tuple(self.model.graph.node)
        self.initializers: dict[str, Any] = {t.name: t for t in self.model.graph.initializer}
        self.producer: dict[str, int] = {
            out: i for i, node in enumerate(self.nodes) for out in node.output if out
        }
        self.consumers: dict[str, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for tensor in dict.fromkeys(node.input):
                if tensor:
                    self.consumers.setdefault(tensor, []).append(i)
        self.input, self.output = self._ends()

    def _ends(self) -> tuple[str, str]:
        inputs = [i.name for i in self.model.graph.input if i.name not in self.initializers]
        outputs = [o.name for o in self.model.graph.output]
        if len(inputs) == 1 and len(outputs) == 1:
            return inputs[0], outputs[0]
        text = f"the network has {len(inputs)} inputs and {len(outputs)} outputs"
        hint = "campaigns take classification networks: one image input, one output of class scores"
        raise AccelsimError(Mistake("F504", text, hint, Location(self.name)))

    @cached_property
    def constant(self) -> frozenset[str]:
        """Tensors that depend on no input (initializers and what is computed from them alone)."""
        known = set(self.initializers)
        for node in self.nodes:
            if all(t in known for t in node.input if t):
                known.update(node.output)
        return frozenset(known)

    def value(self, name: str) -> Any:
        """A constant as a numpy array: an initializer or the output of a Constant node."""
        if name in self.initializers:
            return numpy_helper.to_array(self.initializers[name])
        for attribute in self.nodes[self.producer[name]].attribute:
            if attribute.name == "value":
                return numpy_helper.to_array(attribute.t)
        return None

    def node_of(self, tensor: str) -> Any | None:
        """The node that makes ``tensor``, if any."""
        index = self.producer.get(tensor)
        return None if index is None else self.nodes[index]

    @cached_property
    def quantised(self) -> tuple[str, ...]:
        """Integer tensors between input and output, in file order: outputs of QuantizeLinear (QDQ
        form), of operators that compute on integers (QOperator form), and of those that only move
        values of such a tensor."""
        useful = {self.output}
        for node in reversed(self.nodes):
            if not useful.isdisjoint(node.output):
                useful.update(node.input)
        found: dict[str, None] = {}
        for node in self.nodes:
            tensor = node.output[0]
            moved = node.op_type in _VIEWS and node.input[0] in found
            if (moved or _makes_integers(node)) and tensor not in self.constant:
                found[tensor] = None
        return tuple(t for t in found if t in useful)

    def descendants(self, tensor: str) -> frozenset[int]:
        """Nodes that depend on ``tensor``."""
        reached, found = {tensor}, set()
        for i, node in enumerate(self.nodes):
            if any(t in reached for t in node.input):
                found.add(i)
                reached.update(node.output)
        return frozenset(found)

    @cached_property
    def articulations(self) -> tuple[str, ...]:
        """Quantised tensors through which everything passes, in order: at these a network's whole
        state is one tensor."""
        return tuple(t for t in self.quantised if not self._bypassed(t))

    def _bypassed(self, tensor: str) -> bool:
        """Whether the output can be reached from the input without ``tensor``."""
        reached = {self.input}
        for node in self.nodes:
            if any(t in reached for t in node.input):
                reached.update(t for t in node.output if t != tensor)
        return self.output in reached

    def sides(self, cut: str, goal: str) -> tuple[list[int], list[str]]:
        """Nodes that compute ``goal`` from ``cut``, in file order, and the other tensors they need.

        A side tensor is the quantised one behind a DequantizeLinear where there is one.
        """
        after = self.descendants(cut)
        needed: set[int] = set()
        sides: set[str] = set()
        visited = {cut, *self.initializers}
        stack = [goal]
        while stack:
            tensor = stack.pop()
            if not tensor or tensor in visited:
                continue
            visited.add(tensor)
            index = self.producer.get(tensor)
            if index is not None and (index in after or tensor in self.constant):
                needed.add(index)
                stack.extend(self.nodes[index].input)
            elif index is not None and self.nodes[index].op_type == "DequantizeLinear":
                needed.add(index)
                stack.extend(self.nodes[index].input[1:])
                sides.add(self.nodes[index].input[0])
            else:
                sides.add(tensor)
        return sorted(needed), sorted(sides)

    def build(
        self,
        nodes: Iterable[int],
        inputs: Mapping[str, TensorInfo | None],
        outputs: Iterable[str],
        replaced: Mapping[str, Any] | None = None,
        renamed: Mapping[str, str] | None = None,
    ) -> Any:
        """A model of the given nodes. ``inputs`` with None keep the declaration of the file;
        ``replaced`` initializers get other values; ``renamed`` node outputs another name."""
        picked = [self.nodes[i] for i in nodes]
        used = {t for n in picked for t in n.input}
        graph = onnx.GraphProto(name=self.model.graph.name or "graph")
        for node in picked:
            copy = graph.node.add()
            copy.CopyFrom(node)
            if renamed:
                copy.output[:] = [renamed.get(t, t) for t in node.output]
        graph.initializer.extend(
            _replace(t, (replaced or {}).get(n))
            for n, t in self.initializers.items()
            if n in used and n not in inputs
        )
        declared = {i.name: i for i in self.model.graph.input}
        for name, info in inputs.items():
            graph.input.append(declared[name] if info is None else _declare(name, info))
        # A value without a type is enough for an output: the runtime infers it.
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        model = onnx.ModelProto()
        model.CopyFrom(onnx.ModelProto(ir_version=self.model.ir_version))
        model.opset_import.extend(self.model.opset_import)
        model.graph.CopyFrom(graph)
        return model


def _makes_integers(node: Any) -> bool:
    """Whether the operator's output is a quantised tensor."""
    if node.op_type == "QGemm":  # without a scale of its output it returns real numbers
        return len(node.input) > 7 and bool(node.input[7])
    kind = str(node.op_type)
    return kind == "QuantizeLinear" or kind.startswith("QLinear")


def _replace(tensor: Any, value: Any) -> Any:
    return tensor if value is None else numpy_helper.from_array(value, tensor.name)


def _declare(name: str, info: TensorInfo) -> Any:
    return onnx.helper.make_tensor_value_info(name, ELEM_TYPES[info.dtype], ["batch", *info.shape])


def _prepared(model: Any) -> Any:
    """A copy whose first input dimension is free, that declares no intermediate shapes, and whose
    nodes all have a name: by it they are found again in the graph that the runtime executes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = {t.name for t in copy.graph.initializer}
    for value in copy.graph.input:
        shape = value.type.tensor_type.shape
        if value.name not in names and shape.dim:
            shape.dim[0].dim_param = "batch"
    for node in copy.graph.node:
        node.name = node.name or node.output[0]
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    return copy
