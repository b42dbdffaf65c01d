"""Which nodes run as one operator: folding of quantisation, fusing of activations.

A quantised file (QDQ format) writes ``DequantizeLinear - operator - QuantizeLinear`` for one
integer operator. Here the operator, the activations behind it and the final QuantizeLinear become
one :class:`Chain`, provided nobody else reads the values in between; the DequantizeLinear in front
only renames the quantised tensor, unless an operator that stays in floating point needs its output.

What fuses: ReLU and Clip with fixed bounds, and one QuantizeLinear at the end. Nothing else does: a
bias that is written as an Add of its own, GELU, SiLU and the like are operators of the vector unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.workload.onnx_ops import RULES, is_view
from accelsim.workload.onnx_types import Model, Node

ACTIVATIONS = frozenset({"Relu", "Clip"})
TAKES_ACTIVATION = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "Add",
        "Mul",
        "BatchNormalization",
        "QLinearConv",
        "QLinearMatMul",
    }
    | {"com.microsoft.QGemm", "com.microsoft.QLinearAdd", "com.microsoft.QLinearMul"}
)
"""Operators whose epilogue can clip."""

_SEVERAL = frozenset({"LSTM", "GRU", "RNN"})
"""Operators with several outputs of their own: nothing is folded into them."""


@dataclass(frozen=True)
class Scale:
    """Per-tensor quantisation: real = scale (q - zero_point)."""

    scale: float
    zero_point: int
    dtype: str


@dataclass(frozen=True)
class Chain:
    """An operator with what is folded into it."""

    head: Node
    members: tuple[Node, ...]
    """Nodes behind the head, views included, in order."""
    output: str
    """The only value that leaves the chain."""
    fused: tuple[str, ...]
    """Operator types of the members that compute."""
    quantised: bool
    """Whether the output is an integer tensor: the operator then reads quantised inputs as such."""


@dataclass(frozen=True)
class Fusion:
    """The whole graph, cut into chains."""

    chains: dict[str, Chain]
    """Name of the head node -> chain."""
    swallowed: frozenset[str]
    """Names of nodes that are members of a chain."""
    constants: dict[str, str]
    """Constant value -> the constant that holds its bytes."""
    folded: frozenset[str]
    """Names of nodes that only rename constants."""
    floats: frozenset[str]
    """Values that some operator reads in floating point."""


def scale_of(node: Node, model: Model) -> Scale | None:
    """Parameters of a Quantize- or DequantizeLinear; None if per channel or computed."""
    scale = model.constants.get(node.input(1))
    if scale is None or scale.size != 1:
        return None
    dtype = model.values[node.outputs[0] if node.key == "QuantizeLinear" else node.inputs[0]].dtype
    if not node.input(2):
        return Scale(float(scale.item()), 0, dtype)
    zero = model.constants.get(node.input(2))
    if zero is None or zero.size != 1:
        return None
    return Scale(float(scale.item()), int(zero.item()), dtype)


def fuse(model: Model) -> Fusion:
    """Cuts the live graph into chains; a pure function of the file."""
    constants, folded = _fold_constants(model)
    readers: dict[str, list[Node]] = {}
    for node in model.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    chains: dict[str, Chain] = {}
    swallowed: set[str] = set()
    for node in model.nodes:
        if node.name in swallowed or node.name in folded or not _computes(node, model):
            continue
        chain = _chain(node, model, readers, constants)
        chains[node.name] = chain
        swallowed.update(member.name for member in chain.members)
    floats = _read_as_float(model, chains, folded)
    return Fusion(chains, frozenset(swallowed), constants, folded, floats)


def _computes(node: Node, model: Model) -> bool:
    """Whether a node is an operator of its own (also one without a rule)."""
    renames = node.key in ("QuantizeLinear", "DequantizeLinear") or is_view(node, model.values)
    return not renames


def _fold_constants(model: Model) -> tuple[dict[str, str], frozenset[str]]:
    """Names that are constants under another name, and the nodes that only rename."""
    constants = {name: name for name in model.constants}
    folded = set()
    for node in model.nodes:
        if not node.inputs or node.inputs[0] not in constants:
            continue
        if node.key == "QuantizeLinear":
            constants[node.outputs[0]] = node.outputs[0]
        elif node.key in ("DequantizeLinear", "Transpose") or is_view(node, model.values):
            constants[node.outputs[0]] = constants[node.inputs[0]]
        else:
            continue
        folded.add(node.name)
    return constants, frozenset(folded)


def _chain(
    head: Node, model: Model, readers: Mapping[str, list[Node]], constants: Mapping[str, str]
) -> Chain:
    """Follows single readers from ``head``: activations, then one QuantizeLinear. Views on the way
    are looked through, and belong to the chain only if something behind them does."""
    members: list[Node] = []
    views: list[Node] = []
    fused: list[str] = []
    output = value = next(name for name in head.outputs if name)
    while value not in model.outputs and head.key in RULES and head.key not in _SEVERAL:
        users = readers.get(value, [])
        if len(users) != 1 or users[0].input(0) != value:
            break
        user = users[0]
        if is_view(user, model.values):
            views.append(user)
            value = user.outputs[0]
            continue
        activation = _can_activate(head, user, constants)
        if not activation and user.key != "QuantizeLinear":
            break
        members += [*views, user]
        views = []
        fused.append(user.op_type)
        output = value = user.outputs[0]
        if user.key == "QuantizeLinear":
            break
    quantised = "int" in model.values[output].dtype
    return Chain(head, tuple(members), output, tuple(fused), quantised)


def _can_activate(head: Node, user: Node, constants: Mapping[str, str]) -> bool:
    """Whether ``user`` is an activation with fixed bounds that the head's epilogue can apply."""
    fixed = all(name in constants for name in user.inputs[1:] if name)
    return head.key in TAKES_ACTIVATION and user.key in ACTIVATIONS and fixed


def _read_as_float(
    model: Model, chains: Mapping[str, Chain], folded: frozenset[str]
) -> frozenset[str]:
    """Values read, directly or through views, by operators that stay in floating point."""
    floats: set[str] = set()
    for node in reversed(model.nodes):
        if node.name in folded:
            continue
        chain = chains.get(node.name)
        if chain is not None:
            floats.update(() if chain.quantised else node.inputs)
        elif is_view(node, model.values) and node.outputs[0] in floats:
            floats.add(node.inputs[0])
    return frozenset(floats)
