"""Rules of the operators that run on the array: convolutions and products."""

from __future__ import annotations

import math
from dataclasses import replace

from accelsim.workload.graph import Gemm, OpKind, Window
from accelsim.workload.limits import MAX_PHASES, product_excess, window_excess
from accelsim.workload.onnx_draft import (
    Draft,
    Drafts,
    InvalidError,
    Local,
    Part,
    Scope,
    TooLargeError,
    UnsupportedError,
    operands,
)
from accelsim.workload.onnx_types import Node
from accelsim.workload.onnx_window import pair, planar, window_of
from accelsim.workload.transposed import Phase, covers, phases
from accelsim.workload.vector_work import vector_work


def array_draft(
    kind: OpKind,
    left: str,
    right: str,
    bias: str,
    scope: Scope,
    gemm: Gemm,
    window: Window | None = None,
) -> Draft:
    """An array operator; operands that are computed become inputs, the right one last."""
    excess = product_excess(gemm) if window is None else None
    if excess is not None:
        raise TooLargeError(excess)
    computed, constants = operands([left, right], scope)
    if len(constants) > 1:
        raise UnsupportedError("the product of two constants")
    extra = (bias,) if bias and bias not in scope.constants else ()
    inputs = tuple(dict.fromkeys((*computed[:1], *extra, *computed[1:])))
    fixed_bias = bias if bias in scope.constants else None
    return Draft(kind, inputs, constants[0] if constants else None, fixed_bias, gemm, window)


def conv(node: Node, scope: Scope, indices: tuple[int, int, int]) -> Draft:
    """A convolution as ``groups`` products (im2col): m = batch x output pixels,
    k = in_channels / groups x kernel, n = out_channels / groups."""
    source, kernel, bias = (node.input(i) for i in indices)
    if source in scope.constants:
        raise UnsupportedError("the convolution of a constant")
    groups = int(node.attributes.get("group", 1))
    filters, depth = scope.shape(kernel)[:2]
    channels = scope.shape(source)[1]
    if groups < 1 or depth * groups != channels or filters % groups:
        shape = f"kernel {list(scope.shape(kernel))}, {groups} groups, {channels} input channels"
        raise InvalidError(shape)
    window = window_of(node, scope, scope.shape(kernel)[2:], groups)
    gemm = Gemm(
        m=window.batch * window.out_height * window.out_width,
        k=window.in_channels // groups * window.kernel_height * window.kernel_width,
        n=window.out_channels // groups,
        groups=groups,
    )
    return array_draft(OpKind.CONV, source, kernel, bias, scope, gemm, window)


def conv_transpose(node: Node, scope: Scope) -> Drafts:
    """One dense convolution per output phase, each with its own taps of the kernel, and, if there
    are several, their interleaving as one layout change (see
    :mod:`accelsim.workload.transposed`)."""
    source, kernel, bias = (node.input(i) for i in range(3))
    if source in scope.constants or kernel not in scope.constants:
        raise UnsupportedError("a transposed convolution needs a computed input, a constant kernel")
    if bias and bias not in scope.constants:
        raise UnsupportedError("a bias that is computed")
    window = _transposed_window(node, scope, scope.shape(kernel))
    if math.prod(window.stride) > MAX_PHASES:
        raise TooLargeError(f"{math.prod(window.stride)} phases; the limit is {MAX_PHASES}")
    found = phases(window)
    for excess in (text for p in found if p.window for text in window_excess(p.window)):
        raise TooLargeError(excess)
    drafts = [_phase_draft(p, window, source, kernel, bias, scope) for p in found if p.window]
    if not drafts:
        raise UnsupportedError("a transposed convolution whose kernel reaches no output")
    if len(found) == 1:
        weight = kernel if covers(found[0], window) else drafts[0].weight
        return replace(drafts[0], weight=weight, label="", output="", fuses=None)
    count = vector_work(OpKind.TRANSPOSE, scope.elements(node.outputs[0]))
    inputs = tuple(draft.output for draft in drafts)
    join = Draft(OpKind.TRANSPOSE, inputs, vector_ops=count, label="interleave", fuses=False)
    return (*drafts, join)


def _phase_draft(
    phase: Phase, whole: Window, source: str, kernel: str, bias: str, scope: Scope
) -> Draft:
    window = phase.window
    assert window is not None, "phases without taps are left out"
    label = f"phase{phase.row}.{phase.column}"
    shape: tuple[int, ...] = (window.batch, window.out_channels)
    taps: tuple[int, ...] = scope.shape(kernel)[:2]
    if len(scope.shape(kernel)) == 4:
        shape, taps = (*shape, window.out_height), (*taps, window.kernel_height)
    part = Part(kernel, label, (*taps, window.kernel_width))
    return Draft(
        OpKind.CONV, (source,), part, bias or None, phase.gemm, window,
        label=label, output=Local(label, (*shape, window.out_width)), fuses=True,
    )  # fmt: skip


def _transposed_window(node: Node, scope: Scope, kernel: tuple[int, ...]) -> Window:
    """The transposed convolution itself; pads are what is cropped."""
    shape, out_shape = scope.shape(node.inputs[0]), scope.shape(node.outputs[0])
    batch, channels, height, width = planar(shape)
    _, out_channels, out_height, out_width = planar(out_shape)
    groups = int(node.attributes.get("group", 1))
    if groups < 1 or kernel[0] != channels or channels % groups:
        raise InvalidError(f"kernel {list(kernel)}, {groups} groups, {channels} input channels")
    rank = len(shape) - 2
    strides = node.attributes.get("strides", (1,) * rank)
    dilations = node.attributes.get("dilations", (1,) * rank)
    crops = node.attributes.get("pads", (0,) * (2 * rank))[:rank]
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto.startswith("SAME") or "output_shape" in node.attributes:
        spare = node.attributes.get("output_padding", (0,) * rank)
        totals = [
            strides[i] * (shape[2 + i] - 1) + spare[i] + dilations[i] * (kernel[2 + i] - 1) + 1
            - out_shape[2 + i]
            for i in range(rank)
        ]  # fmt: skip
        crops = tuple(t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in totals)
    top, left = (0, crops[0]) if rank == 1 else (crops[0], crops[1])
    kernel_height, kernel_width = pair(kernel[2:])
    return Window(
        batch, channels, height, width, out_channels, out_height, out_width,
        kernel_height, kernel_width, pair(strides), pair(dilations), (top, left, 0, 0), groups,
    )  # fmt: skip


def gemm(node: Node, scope: Scope, indices: tuple[int, int, int]) -> Draft:
    """Gemm, QGemm: C = A B + bias; with a constant A the product is taken as B' A'."""
    left, right, bias = (node.input(i) for i in indices)
    m, k = scope.shape(left)
    if node.attributes.get("transA", 0):
        m, k = k, m
    depth, n = scope.shape(right)
    if node.attributes.get("transB", 0):
        depth, n = n, depth
    if depth != k:
        raise InvalidError(f"inner dimensions {k} and {depth}")
    if left in scope.constants:
        m, n = n, m
    return array_draft(OpKind.MATMUL, left, right, bias, scope, Gemm(m, k, n))


def matmul(node: Node, scope: Scope, indices: tuple[int, int]) -> Draft:
    """numpy's matmul, FusedMatMul (whose factor is part of the epilogue). Every right operand of a
    stack is one of ``groups`` products, with the rows of all left operands that meet it; a constant
    left operand is taken as the right one (B' A')."""
    if node.attributes.get("transBatchA", 0) or node.attributes.get("transBatchB", 0):
        raise UnsupportedError("transposed batches")
    left, right = (node.input(i) for i in indices)
    a = _turned(scope.shape(left), node.attributes.get("transA", 0))
    b = _turned(scope.shape(right), node.attributes.get("transB", 0))
    m, k, n = (a[-2] if len(a) > 1 else 1), a[-1], (b[-1] if len(b) > 1 else 1)
    stack = scope.elements(node.outputs[0]) // (m * n)
    if left in scope.constants:
        b, m, n = a, n, m
    groups = math.prod(b[:-2])
    product = Gemm(m * stack // groups, k, n, groups)
    return array_draft(OpKind.MATMUL, left, right, "", scope, product)


def _turned(shape: tuple[int, ...], transposed: int) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if transposed and len(shape) > 1 else shape
