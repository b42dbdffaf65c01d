"""Plain layer lists in YAML (``schema: accelsim/layers/v1``) as workloads.

For networks that exist as a table only, or not yet::

    schema: accelsim/layers/v1
    name: tiny
    dtype: int8                      # of every tensor that says nothing else
    inputs: {image: [1, 3, 32, 32]}  # NCHW; the batch multiplies the first dimension
    layers:
      - {name: first, kind: conv, filters: 16, kernel: 3, pad: same, activation: relu}
      - {name: second, kind: conv, filters: 16, kernel: 3, pad: 1}
      - {name: sum, kind: add, inputs: [first, second]}
      - {name: pool, kind: global_average_pool}
      - {name: flat, kind: reshape, shape: [1, 16]}
      - {name: classes, kind: matmul, columns: 10}

A layer reads ``inputs``, or else what stands before it. What no layer reads leaves the network,
unless ``outputs`` names what does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from accelsim.config.fields import OneOf, Part, Text, about, problem
from accelsim.config.problems import Problems, parent_location, validate
from accelsim.config.yamlpos import Node, read_file
from accelsim.errors import AccelsimError, Location, Mistake, suggest
from accelsim.workload.check import check_workload
from accelsim.workload.graph import BITS, Op, Role, Tensor, Workload
from accelsim.workload.layers_rules import KINDS, FitError, Sketch
from accelsim.workload.limits import MAX_ENDS, MAX_EXTENT, MAX_STEP, REMEDY, shape_excess
from accelsim.workload.vector_work import epilogue_work

SCHEMA = "accelsim/layers/v1"

ACTIVATIONS = ("relu", "clip", "leaky_relu", "sigmoid", "tanh", "hard_swish", "gelu")

_DEFAULTS: Mapping[str, Any] = {
    "stride": (1, 1), "dilation": (1, 1), "pad": (0, 0, 0, 0), "groups": 1, "multiplier": 1,
    "bias": False, "transpose_b": False, "axis": 1, "columns": None,
}  # fmt: skip
_COMMON = ("name", "kind", "inputs", "dtype")


def _pair(value: object) -> object:
    """A number for both axes, or [vertical, horizontal]."""
    parts: list[Any] = value if isinstance(value, list) else [value, value]
    if len(parts) != 2 or not all(type(part) is int for part in parts):
        raise problem("C003", f"must be a whole number or a list of two, not {value!r}")
    if not all(1 <= part <= MAX_STEP for part in parts):
        raise problem("C004", f"must be between 1 and {MAX_STEP}, is {value}")
    return tuple(parts)


def _pads(value: object) -> object:
    """A number for all sides, [vertical, horizontal], [top, left, bottom, right], or 'same'."""
    if value == "same":
        return value
    parts: list[Any] = value if isinstance(value, list) else [value] * 4
    if len(parts) == 2:
        parts = [*parts, *parts]
    if len(parts) != 4 or not all(type(part) is int for part in parts):
        hint = "write a number, [vertical, horizontal], [top, left, bottom, right] or 'same'"
        raise problem("C003", f"does not say how to pad: {str(value)[:60]}", hint)
    if not all(0 <= part <= MAX_STEP for part in parts):
        raise problem("C004", f"must be between 0 and {MAX_STEP}, is {value}")
    return tuple(parts)


Extent = Annotated[int, Field(ge=1, le=MAX_EXTENT)]
Pair = Annotated[tuple[int, int], BeforeValidator(_pair)]
Pads = Annotated[tuple[int, ...] | str, BeforeValidator(_pads)]
Sizes = Annotated[list[Annotated[int, Field(ge=1, le=2**40)]], Field(max_length=64)]
Axes = Annotated[list[Annotated[int, Field(ge=-64, le=63)]], Field(min_length=1, max_length=64)]
Dtype = Annotated[str, OneOf(tuple(BITS), "element type")]


class LayerPart(Part):
    """One layer."""

    name: Annotated[Text, about("of the layer and of the tensor it makes")]
    kind: Annotated[str, OneOf(tuple(KINDS), "kind of layer"), about("what it does")]
    inputs: Annotated[list[Text] | None, about("what it reads; else what stands before")] = None
    filters: Annotated[Extent | None, about("output channels")] = None
    kernel: Annotated[Pair | None, about("height and width of the window")] = None
    stride: Annotated[Pair | None, about("of the window")] = None
    dilation: Annotated[Pair | None, about("of the window")] = None
    pad: Annotated[Pads | None, about("zeros around, or 'same'")] = None
    groups: Annotated[Extent | None, about("independent groups of channels")] = None
    multiplier: Annotated[Extent | None, about("depthwise: filters per channel")] = None
    rows: Annotated[Extent | None, about("gather: rows of the table")] = None
    columns: Annotated[Extent | None, about("of the weight, or of a gathered row")] = None
    transpose_b: Annotated[bool | None, about("the second operand is [..., n, k]")] = None
    bias: Annotated[bool | None, about("one number per output channel is added")] = None
    activation: Annotated[
        str | None, OneOf(ACTIVATIONS, "activation"), about("fused behind the layer")
    ] = None
    axis: Annotated[Annotated[int, Field(ge=-64, le=63)] | None, about("along which")] = None
    axes: Annotated[Axes | None, about("which axes, or their new order")] = None
    shape: Annotated[Sizes | None, about("of the result")] = None
    size: Annotated[Pair | None, about("height and width of the result")] = None
    dtype: Annotated[Dtype | None, about("element type of the result")] = None


class LayersPart(Part):
    """A layer list."""

    name: Annotated[Text | None, about("of the network; else the file's")] = None
    dtype: Annotated[Dtype, about("element type of all tensors")] = "int8"
    inputs: Annotated[dict[Text, Sizes], Field(min_length=1), about("graph inputs: name: shape")]
    layers: Annotated[list[LayerPart], Field(min_length=1), about("in an order that can run")]
    outputs: Annotated[
        list[Text] | None,
        Field(min_length=1),
        about("graph outputs; else what no layer reads"),
    ] = None


def read_layers(path: str | Path, batch: int = 1) -> Workload:
    """Reads a layer list; ``batch`` multiplies the first dimension of every input (and of every
    ``shape``).

    Raises :class:`AccelsimError` with positions, all mistakes at once: C001 to C015 as for any
    config file, W103 (batch), W107 (beyond :mod:`accelsim.workload.limits`), W122 (layers that do
    not fit together).
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        message = f"the batch must be a positive whole number, not {batch!r}"
        raise AccelsimError(Mistake("W103", message))
    root = read_file(str(path))
    problems = Problems()
    body = _body(root, problems)
    part = validate(LayersPart, body, problems)
    if part is not None:
        for index, layer in enumerate(part.layers):
            _check_keys(layer, _layer_node(body, index), problems)
    problems.raise_if_any()
    assert part is not None, "its mistakes were raised"
    workload = _Builder(Path(path), body, part, batch, problems).run()
    check_workload(workload)
    return workload


def _body(root: Node, problems: Problems) -> Node:
    """The file without its schema key, which must be ours."""
    given = root.entries.get("schema")
    if not isinstance(root.value, Mapping):
        problems.add("C003", "a layer list is a mapping", f"begin with schema: {SCHEMA}",
                     root.location)  # fmt: skip
        problems.raise_if_any()
    if given is None or given.node.value != SCHEMA:
        found = f"schema is {str(given.node.plain)[:60]!r}" if given else "'schema' is missing"
        where = given.node.location if given else root.location
        problems.add("C015", f"not a layer list: {found}", f"write schema: {SCHEMA}", where)
    entries = {key: entry for key, entry in root.entries.items() if key != "schema"}
    return Node(entries, root.location, root.folder)


def _layer_node(body: Node, index: int) -> Node:
    layers = body.entries["layers"].node.value
    assert isinstance(layers, tuple), "validated"
    return layers[index]


def _check_keys(layer: LayerPart, node: Node, problems: Problems) -> None:
    """Keys that the kind needs and takes (C001, C002, C004)."""
    kind = KINDS[layer.kind]
    where = parent_location(node.location, node)
    for key in kind.needs:
        if getattr(layer, key) is None:
            problems.add("C002", f"'{key}' is missing in layer '{layer.name}'", "", where)
    known = (*_COMMON, *kind.needs, *kind.takes)
    for key in layer.model_fields_set:
        if key not in known:
            message = f"a layer of kind '{layer.kind}' has no '{key}'"
            entry = node.entries.get(key)
            place = entry.key if entry else where
            problems.add("C001", message, suggest(key, known), place)
    if layer.inputs is not None and not kind.inputs[0] <= len(layer.inputs) <= kind.inputs[1]:
        wanted = " to ".join(str(n) for n in dict.fromkeys(kind.inputs))
        message = (
            f"layer '{layer.name}' reads {len(layer.inputs)} inputs, a '{layer.kind}' {wanted}"
        )
        problems.add("C004", message, "", where)


@dataclass
class _Builder:
    """Layers to operators; the mutable state lives no longer than one call."""

    path: Path
    body: Node
    part: LayersPart
    batch: int
    problems: Problems
    tensors: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    """Name of an input or layer -> its shape, and the tensor that holds it."""
    failed: set[str] = field(default_factory=set)
    ops: list[Op] = field(default_factory=list)

    def run(self) -> Workload:
        """The workload; raises every mistake."""
        inputs = self.body.entries["inputs"].node.entries
        for name, shape in self.part.inputs.items():
            self._input(name, shape, inputs[name].key)
        last = list(self.part.inputs)[-1]
        for index, layer in enumerate(self.part.layers):
            where = _layer_node(self.body, index).location
            try:
                self._layer(layer, layer.inputs or [last], where)
            except FitError as error:
                self.failed.add(layer.name)
                hint = REMEDY if error.code == "W107" else ""
                self.problems.add(error.code, f"layer '{layer.name}' {error}", hint, where)
            last = layer.name
        outputs = self._outputs()
        self.problems.raise_if_any()
        for name in outputs:
            if self.tensors[name].role is Role.ACTIVATION:
                tensor = self.tensors[name]
                self.tensors[name] = Tensor(name, tensor.shape, tensor.dtype, Role.OUTPUT)
        aliases = {n: held for n, (_, held) in self.shapes.items() if n != held}
        return Workload(
            self.part.name or self.path.stem, self.tensors, tuple(self.ops),
            tuple(self.part.inputs), outputs, str(self.path), aliases=aliases,
        )  # fmt: skip

    def _input(self, name: str, shape: list[int], where: Location) -> None:
        sizes = (shape[0] * self.batch, *shape[1:]) if shape else ()
        excess = shape_excess(sizes)
        if excess is not None:
            self.problems.add("W107", f"input '{name}': {excess}", REMEDY, where)
            self.failed.add(name)
        self.shapes[name] = (sizes, name)
        self.tensors[name] = Tensor(name, sizes, self.part.dtype, Role.INPUT)

    def _layer(self, layer: LayerPart, inputs: list[str], where: Location) -> None:
        """One layer; FitError when it does not fit."""
        if layer.name in self.failed.union(self.shapes, self.tensors):
            raise FitError("has a name that stands for something before it")
        for name in inputs:
            if name not in self.shapes and name not in self.failed:
                later = any(name == other.name for other in self.part.layers)
                known = list(self.shapes)
                hint = "it is made later" if later else suggest(name, known)
                raise FitError(f"reads '{name}', which is not there ({hint})")
        if self.failed.intersection(inputs):
            self.failed.add(layer.name)  # its shape is not known; that mistake is told already
            return
        kind = KINDS[layer.kind]
        if len(inputs) < kind.inputs[0]:
            raise FitError(f"needs {kind.inputs[0]} 'inputs'")
        keys = {**_DEFAULTS, **{k: v for k, v in layer.model_dump().items() if v is not None}}
        if layer.shape and self.batch > 1:
            keys["shape"] = [layer.shape[0] * self.batch, *layer.shape[1:]]
        sketch = kind.rule(keys, [self.shapes[name][0] for name in inputs])
        held = tuple(dict.fromkeys(self.shapes[name][1] for name in inputs))
        if sketch.view:
            self.shapes[layer.name] = (sketch.shape, held[0])
            return
        for shape in (sketch.shape, sketch.weight or ()):
            excess = shape_excess(shape)
            if excess is not None:
                raise FitError(f"is too large: {excess}", "W107")
        self._emit(layer, held, sketch)

    def _emit(self, layer: LayerPart, inputs: tuple[str, ...], sketch: Sketch) -> None:
        dtype = layer.dtype or self.tensors[inputs[0]].dtype
        output = Tensor(layer.name, sketch.shape, dtype, Role.ACTIVATION)
        weight = bias = None
        if sketch.weight is not None:
            weight = f"{layer.name}.weight"
            self._constant(weight, sketch.weight, self.part.dtype, Role.WEIGHT)
        if sketch.bias:
            bias = f"{layer.name}.bias"
            wide = "int32" if "int" in self.part.dtype else self.part.dtype
            self._constant(bias, (sketch.bias,), wide, Role.BIAS)
        fused = (layer.activation,) if layer.activation else ()
        if sketch.gemm is not None:
            fused = (*fused, "quantize") if "int" in dtype else fused
            count = epilogue_work(output.elements, len(fused))
        else:
            count = sketch.vector_ops + output.elements * len(fused)
        self.tensors[layer.name] = output
        self.shapes[layer.name] = (sketch.shape, layer.name)
        self.ops.append(
            Op(
                layer.name, sketch.kind, inputs, layer.name, weight, bias, sketch.gemm,
                sketch.window, count, fused, (layer.name,),
            )
        )  # fmt: skip

    def _constant(self, name: str, shape: tuple[int, ...], dtype: str, role: Role) -> None:
        if name in self.shapes or name in self.tensors:
            raise FitError(f"has a constant '{name}', a name that is taken")
        self.tensors[name] = Tensor(name, shape, dtype, role)

    def _outputs(self) -> tuple[str, ...]:
        """Tensors that leave the network."""
        where = self.body.entries.get("outputs")
        names = self.part.outputs
        if not self.ops and not self.failed:
            self.problems.add("W122", "no layer takes time", "", self.body.location)
        if names is None:
            read = {name for op in self.ops for name in op.inputs}
            names = [op.output for op in self.ops if op.output not in read]
        for name in names:
            if where and name not in self.shapes and name not in self.failed:
                hint = suggest(name, list(self.shapes))
                self.problems.add("W122", f"there is no output '{name}'", hint, where.key)
        if len(names) > MAX_ENDS or len(self.part.inputs) > MAX_ENDS:
            message = f"more than {MAX_ENDS} graph inputs or outputs"
            self.problems.add("W107", message, REMEDY, self.body.location)
        held = (self.shapes[name][1] for name in names if name in self.shapes)
        return tuple(dict.fromkeys(held))
