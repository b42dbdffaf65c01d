"""Networks as frozen graphs, and the readers that make them.

``read_onnx`` and ``check_workload`` are resolved on first use, so that the types alone stay cheap
to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelsim.workload.graph import BITS, Gemm, Op, OpKind, Role, Tensor, Window, Workload

if TYPE_CHECKING:
    from accelsim.workload.check import check_workload
    from accelsim.workload.onnx_reader import read_onnx

__all__ = [
    "BITS",
    "Gemm",
    "Op",
    "OpKind",
    "Role",
    "Tensor",
    "Window",
    "Workload",
    "check_workload",
    "read_onnx",
]

_LAZY = {
    "read_onnx": "accelsim.workload.onnx_reader",
    "check_workload": "accelsim.workload.check",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
