"""SCALE-Sim topologies as workloads, and its configurations as accelerators.

A topology has no edges: a layer reads the output of the row before it where that has exactly the
shape the layer reads, and an input of its own otherwise (so most layers of a network whose padding
is left out, as SCALE-Sim does, are independent). Sizes are taken as SCALE-Sim takes them: no
padding, a last window that overhangs the input counts (its missing pixels are zeros behind),
activations and weights of one byte.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelsim.errors import AccelsimError, Location, Mistake, suggest
from accelsim.workload.check import check_workload
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Window, Workload
from accelsim.workload.limits import (
    MAX_ENDS,
    REMEDY,
    product_excess,
    shape_excess,
    window_excess,
)
from accelsim.workload.scalesim_rows import Layer, read_text, topology_layers
from accelsim.workload.vector_work import epilogue_work

DEPTHWISE = ("as_written", "per_channel")
SPARSITY = ("refuse", "dense")

CLOCK_HZ = 10**9
"""Clock of an imported accelerator: SCALE-Sim counts cycles only."""


def read_topology(
    path: str | Path,
    batch: int = 1,
    *,
    depthwise: str = "as_written",
    chain: bool = True,
    sparsity: str = "refuse",
    dtype: str = "int8",
) -> Workload:
    """Reads a SCALE-Sim topology (CSV), convolutions or products (M, N, K).

    ``batch``: images of every convolution, and a factor of M. ``depthwise``: SCALE-Sim's own files
    write a depthwise layer as one filter over all channels; "as_written" computes that, as
    SCALE-Sim does, "per_channel" takes every layer of one filter larger than a pixel as one filter
    per channel. A name that holds "DP" means one set of filters per channel in either case.
    ``chain=False`` gives every layer an input of its own. ``sparsity``: a ratio N:M other than 1:1
    is refused, since a workload holds dense weights, or read as "dense"
    (:func:`~accelsim.workload.scalesim_rows.topology_layers` gives the ratios). ``dtype`` is that
    of all tensors.

    Raises :class:`AccelsimError`, with line numbers and all mistakes at once: W101 (not readable),
    W102 (sparsity), W103 (batch), W107 (beyond :mod:`accelsim.workload.limits`), W120 (a row that
    is not valid).
    """
    path = Path(path)
    for name, value, known in (
        ("depthwise", depthwise, DEPTHWISE), ("sparsity", sparsity, SPARSITY),
    ):  # fmt: skip
        if value not in known:
            message = f"{name}={value!r} is not one of {', '.join(known)}"
            raise AccelsimError(Mistake("U001", message, suggest(str(value), known)))
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        message = f"the batch must be a positive whole number, not {batch!r}"
        raise AccelsimError(Mistake("W103", message))
    layers = topology_layers(path)
    if sparsity == "refuse":
        _refuse_sparse(path, layers)
    workload = _workload(path, _unique(layers), batch, depthwise == "per_channel", chain, dtype)
    check_workload(workload)
    return workload


def _refuse_sparse(path: Path, layers: tuple[Layer, ...]) -> None:
    """W102 for every layer whose weights are not dense."""
    hint = 'read with sparsity="dense", and choose a sparse array in the accelerator'
    mistakes = [
        Mistake(
            "W102",
            f"layer '{layer.name}' has {layer.sparsity[0]}:{layer.sparsity[1]} sparse weights",
            hint,
            Location(str(path), layer.line),
        )
        for layer in layers
        if layer.sparsity[0] != layer.sparsity[1]
    ]
    if mistakes:
        raise AccelsimError(mistakes)


def _unique(layers: tuple[Layer, ...]) -> dict[str, Layer]:
    """Layers by a name of their own: ``layer_3`` without one, a number behind a repeated one."""
    found: dict[str, Layer] = {}
    for position, layer in enumerate(layers, 1):
        name = layer.name or f"layer_{position}"
        while name in found:
            name = f"{name}_{position}"
        found[name] = layer
    return found


def _workload(
    path: Path,
    layers: Mapping[str, Layer],
    batch: int,
    per_channel: bool,
    chain: bool,
    dtype: str,
) -> Workload:
    """All layers in file order."""
    tensors: dict[str, Tensor] = {}
    ops: list[Op] = []
    inputs: list[str] = []
    mistakes: list[Mistake] = []
    for name, layer in layers.items():
        window, gemm = _sizes(layer, batch, per_channel)
        shapes = _shapes(layer, window, gemm)
        where = Location(str(path), layer.line)
        excess = [shape_excess(shape) for shape in shapes]
        excess += [*window_excess(window)] if window else [product_excess(gemm)]
        if any(excess):
            mistakes += [
                Mistake("W107", f"layer '{name}': {e}", REMEDY, where) for e in excess if e
            ]
            continue
        source = ops[-1].output if ops and chain else ""
        if source not in tensors or tensors[source].shape != shapes[0]:
            source = f"{name}.input"
            tensors[source] = Tensor(source, shapes[0], dtype, Role.INPUT)
            inputs.append(source)
        weight, output = f"{name}.weight", f"{name}.output"
        tensors[weight] = Tensor(weight, shapes[1], dtype, Role.WEIGHT)
        tensors[output] = Tensor(output, shapes[2], dtype, Role.ACTIVATION)
        kind = OpKind.CONV if window else OpKind.MATMUL
        work = epilogue_work(tensors[output].elements, 0)
        ops.append(Op(name, kind, (source,), output, weight, None, gemm, window, work))
    read = {name for op in ops for name in op.inputs}
    outputs = tuple(op.output for op in ops if op.output not in read)
    if max(len(inputs), len(outputs)) > MAX_ENDS:
        message = f"{max(len(inputs), len(outputs))} layers that nothing joins; the limit is "
        mistakes.append(Mistake("W107", f"{message}{MAX_ENDS}", REMEDY, Location(str(path))))
    if mistakes:
        raise AccelsimError(mistakes)
    for name in outputs:
        tensors[name] = Tensor(name, tensors[name].shape, dtype, Role.OUTPUT)
    return Workload(path.stem, tensors, tuple(ops), tuple(inputs), outputs, str(path))


def _sizes(layer: Layer, batch: int, per_channel: bool) -> tuple[Window | None, Gemm]:
    """Window and product of a row; positions along an axis: ceil((input - filter) / stride) + 1,
    SCALE-Sim's count."""
    if not layer.channels:
        m, n, k = layer.product
        return None, Gemm(m * batch, k, n, layer.batch)
    alone = per_channel and layer.filters == 1 and layer.kernel_height * layer.kernel_width > 1
    groups = layer.channels if alone or "DP" in layer.name else 1
    filters = layer.filters * groups
    kernel = layer.kernel_height, layer.kernel_width
    sizes, behind = [], []
    for axis, size in enumerate((layer.height, layer.width)):
        positions = -(-(size - kernel[axis]) // layer.stride[axis]) + 1
        sizes.append(positions)
        behind.append((positions - 1) * layer.stride[axis] + kernel[axis] - size)
    window = Window(
        batch, layer.channels, layer.height, layer.width, filters, sizes[0], sizes[1],
        kernel[0], kernel[1], layer.stride, pads=(0, 0, behind[0], behind[1]), groups=groups,
    )  # fmt: skip
    depth = layer.channels // groups * kernel[0] * kernel[1]
    return window, Gemm(batch * sizes[0] * sizes[1], depth, filters // groups, groups)


def _shapes(layer: Layer, window: Window | None, gemm: Gemm) -> tuple[tuple[int, ...], ...]:
    """Shapes of input, weight and output."""
    if window is None:
        heads = (gemm.groups,) if gemm.groups > 1 else ()
        return (*heads, gemm.m, gemm.k), (*heads, gemm.k, gemm.n), (*heads, gemm.m, gemm.n)
    return (
        (window.batch, window.in_channels, window.in_height, window.in_width),
        (
            window.out_channels, window.in_channels // window.groups, window.kernel_height,
            window.kernel_width,
        ),
        (window.batch, window.out_channels, window.out_height, window.out_width),
    )  # fmt: skip


_PRESETS = {
    "arrayheight": (1, 16_384), "arraywidth": (1, 16_384), "ifmapsramszkb": (1, 2**30),
    "filtersramszkb": (1, 2**30), "ofmapsramszkb": (1, 2**30),
}  # fmt: skip
"""Key of [architecture_presets] -> its range."""

_DATAFLOWS = ("os", "ws", "is")


def read_scalesim_config(path: str | Path) -> dict[str, Any]:
    """A SCALE-Sim configuration (.cfg) as the parts of an accelerator file it settles: name,
    array, scratchpad (IFMAP and filter SRAM together), accumulators (OFMAP SRAM), and ``dram``
    with its bandwidth at :data:`CLOCK_HZ` where the configuration gives one (``USER``; several
    numbers count as the smallest, as SCALE-Sim takes them). ``sparsity`` is True when the
    configuration asks for it.

    Raises :class:`AccelsimError`, all mistakes at once: W101 (not readable), W121 (not valid).
    """
    path = Path(path)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path, "SCALE-Sim configuration"))
    except configparser.Error as error:
        message = f"not a SCALE-Sim configuration: {' '.join(str(error).split())[:200]}"
        line = getattr(error, "lineno", None)
        raise AccelsimError(Mistake("W121", message, "", Location(str(path), line))) from error
    mistakes: list[Mistake] = []
    sizes = {key: _size(parser, key, path, mistakes) for key in _PRESETS}
    dataflow = parser.get("architecture_presets", "dataflow", fallback="").strip().lower()
    if dataflow not in _DATAFLOWS:
        message = f"Dataflow is '{dataflow}'"
        mistakes.append(
            Mistake("W121", message, suggest(dataflow, _DATAFLOWS), Location(str(path)))
        )
    words = _bandwidth(parser, path, mistakes)
    if mistakes:
        raise AccelsimError(mistakes)
    found: dict[str, Any] = {
        "name": parser.get("general", "run_name", fallback="").strip()[:500] or path.stem,
        "array": {
            "rows": sizes["arrayheight"], "cols": sizes["arraywidth"], "dataflow": dataflow,
            "overlap": "none",
        },
        "scratchpad": {"size": (sizes["ifmapsramszkb"] + sizes["filtersramszkb"]) * 1024},
        "accumulators": {"size": sizes["ofmapsramszkb"] * 1024},
    }  # fmt: skip
    if words is not None:
        found["dram"] = {"bandwidth": words * CLOCK_HZ}
    sparse = parser.get("sparsity", "sparsitysupport", fallback="false").strip().lower()
    return found | ({"sparsity": True} if sparse == "true" else {})


def _size(parser: configparser.ConfigParser, key: str, path: Path, found: list[Mistake]) -> int:
    """A number of [architecture_presets]; 1 (and a mistake) when it is missing or wrong."""
    where = Location(str(path))
    text = parser.get("architecture_presets", key, fallback="").strip()
    low, high = _PRESETS[key]
    if not text:
        found.append(Mistake("W121", f"'{key}' is missing in [architecture_presets]", "", where))
    elif not re.fullmatch(r"[+-]?[0-9]{1,12}", text, re.ASCII) or not low <= int(text) <= high:
        message = f"'{key}' is '{text[:40]}', not a whole number from {low} to {high}"
        found.append(Mistake("W121", message, "", where))
    else:
        return int(text)
    return 1


def _bandwidth(parser: configparser.ConfigParser, path: Path, found: list[Mistake]) -> int | None:
    """Words per cycle of the interface; None when SCALE-Sim is to find what never stalls."""
    mode = parser.get("run_presets", "interfacebandwidth", fallback="").strip().upper()
    where = Location(str(path))
    if mode not in ("USER", "CALC"):
        message = f"InterfaceBandwidth is '{mode[:40]}'"
        found.append(Mistake("W121", message, "write USER or CALC in [run_presets]", where))
    if mode != "USER":
        return None
    text = parser.get("architecture_presets", "bandwidth", fallback="")
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,5}", word, re.ASCII) for word in words):
        message = f"Bandwidth is '{text.strip()[:40]}', not words per cycle of at least 1"
        found.append(Mistake("W121", message, "separate several numbers with commas", where))
        return None
    return min(int(word) for word in words)


def scalesim_accelerator(path: str | Path) -> str:
    """A SCALE-Sim configuration as the text of an accelerator file (``accelsim/accelerator/v1``),
    with a remark beside everything that it does not say. Raises what
    :func:`read_scalesim_config` does."""
    given = read_scalesim_config(path)
    array = given["array"]
    edge = array["rows"] + 2 * array["cols"]
    if "dram" in given:
        bandwidth = given["dram"]["bandwidth"]
        said = "words of one byte per cycle, as given; shared by reads and writes here"
    else:
        bandwidth = edge * CLOCK_HZ
        said = "assumed (CALC): what the edges of the array take and give in every cycle"
    lines = [
        f"# Imported from the SCALE-Sim configuration {Path(path).name}.",
        "# What SCALE-Sim does not state is marked 'assumed': set it to what your machine has.",
    ]
    if given.get("sparsity"):
        lines.append("# It asks for sparse weights (SparsitySupport), which are not imported.")
    lines += [
        "schema: accelsim/accelerator/v1",
        f"name: {_quoted(given['name'])}",
        "clock: 1 GHz                # assumed: SCALE-Sim counts cycles only",
        "technology: 45 nm           # assumed: the node of the default energy table",
        "array:",
        f"  rows: {array['rows']}",
        f"  cols: {array['cols']}",
        f"  dataflow: {array['dataflow']}",
        "  overlap: none             # SCALE-Sim lets folds follow each other without overlap",
        "vector:",
        f"  lanes: {array['cols']}  # assumed: one per column; SCALE-Sim has no vector unit",
        "scratchpad:",
        f"  size: {given['scratchpad']['size']}  # IFMAP and filter SRAM together",
        f"  width: {edge}  # assumed: what the edges of the array take and give in a cycle",
        "accumulators:",
        f"  size: {given['accumulators']['size']}  # OFMAP SRAM",
        "dram:",
        "  kind: DDR4                # assumed: selects the energy",
        f"  bandwidth: {bandwidth}  # B/s; {said}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A name as a double-quoted YAML scalar."""
    import json

    return json.dumps(text)
