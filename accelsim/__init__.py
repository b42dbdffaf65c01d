"""Simulate, schedule and certify neural-network accelerators from one config file.

Public names are resolved on first use, so that importing a leaf loads only the leaf.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "run": "accelsim.pipeline",
    "Run": "accelsim.pipeline",
    "validate": "accelsim.pipeline",
    "evaluate": "accelsim.design_point",
    "gemm_cycles": "accelsim.dataflow.gemm",
    "load_accelerator": "accelsim.config.load",
    "read_network": "accelsim.workload.reader",
    "read_onnx": "accelsim.workload.onnx_reader",
    "load": "accelsim.store",
    "AccelsimError": "accelsim.errors",
    "InfeasibleError": "accelsim.errors",
}

if TYPE_CHECKING:
    from accelsim.config.load import load_accelerator
    from accelsim.dataflow.gemm import gemm_cycles
    from accelsim.design_point import evaluate
    from accelsim.errors import AccelsimError, InfeasibleError
    from accelsim.pipeline import Run, run, validate
    from accelsim.store import load
    from accelsim.workload.onnx_reader import read_onnx
    from accelsim.workload.reader import read_network

__all__ = [
    "AccelsimError",
    "InfeasibleError",
    "Run",
    "__version__",
    "evaluate",
    "gemm_cycles",
    "load",
    "load_accelerator",
    "read_network",
    "read_onnx",
    "run",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'accelsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
