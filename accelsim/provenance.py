"""What is needed to make a result again: versions and platform, and the one wall-clock field."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("numpy", "scipy", "simpy", "ortools", "pulp", "onnx", "onnxruntime")


def provenance() -> dict[str, str]:
    """Software versions, and when the record was made (outside every content hash)."""
    found = {"accelsim": _version("accelsim"), "python": platform.python_version()}
    found |= {name: _version(name) for name in LIBRARIES}
    found["machine"] = platform.machine()
    now = datetime.datetime.now(datetime.UTC)
    found["created"] = now.isoformat(timespec="seconds")
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
