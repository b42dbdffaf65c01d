"""Slices that onnx's shape inference looks at only once it is safe.

Builds of onnx whose C++ library checks itself end the whole process when a ``Slice`` reads a value
with an extent below 1, which a window larger than its input makes (onnx 1.23, rule of Slice). So a
slice takes part in the inference after what it reads is known to have whole extents; until then it
stands in the graph as an operator of a foreign domain, about which onnx says nothing. What comes
straight from ``Shape`` is a vector that is never empty, and needs no such care.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelsim.workload.onnx_types import Value

DOMAIN = "accelsim.unread"
"""Domain of a slice that waits."""

_OWN = ("", "ai.onnx")


def hide_slices(proto: Any) -> None:
    """Makes every slice wait that reads something else than a shape."""
    shapes = {name for node in proto.graph.node if node.op_type == "Shape" for name in node.output}
    hidden = False
    for node in proto.graph.node:
        reads = node.input[0] if node.input else ""
        if node.op_type == "Slice" and node.domain in _OWN and reads not in shapes | {""}:
            node.domain, hidden = DOMAIN, True
    if hidden and all(known.domain != DOMAIN for known in proto.opset_import):
        made = proto.opset_import.add()
        made.domain, made.version = DOMAIN, 1


def show_slices(proto: Any, known: Mapping[str, Value]) -> bool:
    """Lets the slices take part whose operand is known and has whole extents; whether there are
    any."""
    shown = False
    for node in proto.graph.node:
        if node.domain != DOMAIN or node.input[0] not in known:
            continue
        if all(extent >= 1 for extent in known[node.input[0]].shape):
            node.domain, shown = "", True
    return shown
