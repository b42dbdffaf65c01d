"""ONNX files as workloads: ``read_onnx``.

The way there: verified file (``onnx_file``) -> plain nodes with shapes (``onnx_model``) -> chains
of nodes that run as one operator (``onnx_quant``) -> operators with their sizes (``onnx_ops`` finds
the rule of each, ``onnx_lowering`` puts them together), checked by ``check_workload`` in a second
way.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.check import check_workload
from accelsim.workload.graph import Workload
from accelsim.workload.limits import require_recurrent
from accelsim.workload.onnx_check import check_model
from accelsim.workload.onnx_lowering import Lowering
from accelsim.workload.onnx_model import infer, load_nodes, require_known
from accelsim.workload.onnx_ops import REFUSED, SUPPORTED
from accelsim.workload.onnx_quant import fuse
from accelsim.workload.onnx_types import Node
from accelsim.workload.onnx_values import contents

_HINT = 'rewrite or remove it, or read with unsupported="fallback" (costed as element-wise)'


def read_onnx(
    path: str | Path,
    batch: int = 1,
    unsupported: str = "refuse",
    recurrent: str = "batched",
) -> Workload:
    """Reads a network.

    ``batch`` is the length of the free first dimension of the inputs; a network with a fixed one
    takes only that. ``unsupported``: "refuse" names every unknown operator in one error;
    "fallback" costs each as one lane operation per output element and lists it in
    ``Workload.fallbacks``. ``recurrent``: "batched" makes one product of a recurrent layer's inputs
    at all steps, "stepwise" one per step, as on machines that know no sequences.

    Activations are called by the tensor that carries their bytes (of a quantised network the output
    of QuantizeLinear), weights and biases by their initializers; every other name of the file is in
    ``Workload.aliases``. Raises :class:`AccelsimError`: W101 unreadable file, W102 unsupported
    operators, W103 unknown dimensions or batch, W104 external data, W105 element types,
    W106 invalid graph, window, scale or value, W107 beyond :mod:`accelsim.workload.limits`.
    """
    path = Path(path)
    if unsupported not in ("refuse", "fallback"):
        message = f"unsupported={unsupported!r} is neither 'refuse' nor 'fallback'"
        raise AccelsimError(Mistake("U001", message))
    require_recurrent(recurrent)
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        message = f"the batch must be a positive whole number, not {batch!r}"
        raise AccelsimError(Mistake("W103", message))
    try:
        proto, nodes = load_nodes(path)
        _refuse_unknown(nodes, path, unsupported == "fallback")
        held = contents(proto, path)
        model = infer(proto, nodes, path, batch)
        check_model(model, held)
        require_known(model)
    except UnicodeDecodeError as error:
        message = f"not an ONNX file, or damaged: a name in it is no text ({error.reason})"
        hint = "download or export it again"
        raise AccelsimError(Mistake("W101", message, hint, Location(str(path)))) from error
    workload = Lowering(
        model, fuse(model), unsupported == "fallback", recurrent == "stepwise"
    ).run()
    check_workload(workload)
    return workload


def _refuse_unknown(nodes: Iterable[Node], path: Path, allow_fallback: bool) -> None:
    """One error that names every node without a rule. Control flow is never costed."""
    mistakes = []
    for node in nodes:
        if node.has_subgraph:
            message = f"node '{node.name}' ({node.key}) carries a graph of its own"
            hint = "control flow cannot be costed; export a straight network"
        elif node.key in REFUSED:
            message = f"operator {node.key} of node '{node.name}' is not supported"
            hint = REFUSED[node.key]
        elif node.key not in SUPPORTED and not allow_fallback:
            message = f"operator {node.key} of node '{node.name}' is not supported"
            hint = _HINT
        else:
            continue
        mistakes.append(Mistake("W102", message, hint, Location(str(path))))
    if mistakes:
        raise AccelsimError(mistakes)
