"""SCALE-Sim topologies as workloads.

A topology has no edges: a layer reads the output of the row before it where that has exactly the
shape the layer reads, and an input of its own otherwise (so most layers of a network whose padding
is left out, as SCALE-Sim does, are independent). Sizes are taken as SCALE-Sim takes them: no
padding, a last window that overhangs the input counts (its missing pixels are zeros behind),
activations and weights of one byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
from accelsim.workload.scalesim_rows import Layer, topology_layers
from accelsim.workload.vector_work import epilogue_work

DEPTHWISE = ("as_written", "per_channel")
SPARSITY = ("refuse", "dense")


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
