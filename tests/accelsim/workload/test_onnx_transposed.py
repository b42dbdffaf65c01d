"""Transposed convolutions: phases against brute force and against what ONNX Runtime computes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_builders import info, model, node, one, save, weights
from onnx_runtime import runtime_shapes, session

from accelsim.errors import AccelsimError
from accelsim.workload import OpKind, Window, read_onnx
from accelsim.workload.transposed import axis_phases, phases


def test_upsampling_by_two_is_four_dense_phases(tmp_path):
    w = {"w": weights(8, 6, 4, 4), "b": weights(6)}
    proto = one("ConvTranspose", [[1, 8, 5, 7]], w, strides=[2, 2], pads=[1, 1, 1, 1])
    workload = read_onnx(save(proto, tmp_path))
    *dense, join = workload.ops
    assert [op.kind for op in dense] == [OpKind.CONV] * 4
    assert [op.gemm.k for op in dense] == [8 * 2 * 2] * 4
    assert (join.kind, join.vector_ops) == (OpKind.TRANSPOSE, 6 * 10 * 14)
    assert workload.tensors["y"].shape == (1, 6, 10, 14)
    # Twice as large as the input: input pixels x input channels x output channels x kernel.
    assert workload.macs == 5 * 7 * 8 * 6 * 4 * 4
    assert workload.parts["w"] == tuple(op.weight for op in dense)
    assert sum(workload.tensors[op.weight].elements for op in dense) == 8 * 6 * 16
    assert workload.weight_bytes == 4 * (8 * 6 * 16 + 6)


def test_uneven_phases_and_groups(tmp_path):
    w = {"w": weights(4, 3, 3, 3)}
    proto = one(
        "ConvTranspose", [[1, 4, 5, 5]], w,
        strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1], group=2,
    )  # fmt: skip
    workload = read_onnx(save(proto, tmp_path))
    assert workload.tensors["y"].shape == (1, 6, 10, 10)
    assert workload.macs == 25 * 4 * 3 * 9
    assert sorted(op.gemm.k for op in workload.ops[:-1]) == [2, 4, 4, 8]
    assert {op.gemm.groups for op in workload.ops[:-1]} == {2}


def test_stride_one_is_a_single_convolution(tmp_path):
    proto = one("ConvTranspose", [[1, 2, 6]], {"w": weights(2, 5, 3)}, pads=[1, 1])
    (op,) = read_onnx(save(proto, tmp_path)).ops
    assert (op.kind, op.weight, op.output) == (OpKind.CONV, "w", "y")
    assert op.window.pads == (0, 1, 0, 1)
    assert op.macs == 6 * 2 * 5 * 3


def test_kernel_smaller_than_the_stride_leaves_phases_out(tmp_path):
    proto = one("ConvTranspose", [[1, 2, 4, 4]], {"w": weights(2, 3, 1, 1)}, strides=[2, 2])
    workload = read_onnx(save(proto, tmp_path))
    assert [op.kind for op in workload.ops] == [OpKind.CONV, OpKind.TRANSPOSE]
    assert workload.macs == 16 * 2 * 3
    assert workload.ops[-1].vector_ops == workload.tensors["y"].elements == 3 * 49


def test_activation_is_applied_by_the_phases(tmp_path):
    nodes = [
        node("ConvTranspose", ["x", "w"], "c", "up", strides=[2, 2]),
        node("Relu", ["c"], "y", "relu"),
    ]
    proto = model(nodes, [info("x", [1, 2, 4, 4])], ["y"], {"w": weights(2, 3, 2, 2)})
    *dense, join = read_onnx(save(proto, tmp_path)).ops
    assert [op.fused for op in dense] == [("Relu",)] * 4
    assert (join.fused, join.output) == ((), "y")


def test_what_is_refused(tmp_path):
    def mistake(proto):
        with pytest.raises(AccelsimError) as caught:
            read_onnx(save(proto, tmp_path))
        return caught.value.mistakes[0]

    computed = one("ConvTranspose", [[1, 2, 4, 4], [2, 3, 2, 2]])
    assert mistake(computed).code == "W102"
    w = {"w": weights(2, 3, 2, 2)}
    assert mistake(one("ConvTranspose", [[1, 2, 4, 4]], w, strides=[64, 64])).code == "W107"
    assert mistake(one("ConvTranspose", [[1, 2, 4, 4]], w, strides=[0, 1])).code == "W106"
    assert mistake(one("ConvTranspose", [[1, 3, 4, 4]], w)).code == "W106"


@st.composite
def transposed(draw):
    """(input shape, kernel shape, attributes) of a transposed convolution with an output."""
    rank = draw(st.sampled_from([1, 2]))
    groups = draw(st.integers(1, 2))
    channels, filters = groups * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    sizes = [draw(st.integers(1, 5)) for _ in range(rank)]
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    strides = [draw(st.integers(1, 4)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 3)) for _ in range(rank)]
    full = [
        s * (n - 1) + d * (k - 1) + 1
        for s, n, d, k in zip(strides, sizes, dilations, kernel, strict=True)
    ]
    before = [draw(st.integers(0, min(3, f - 1))) for f in full]
    after = [draw(st.integers(0, min(3, f - 1 - b))) for f, b in zip(full, before, strict=True)]
    spare = [draw(st.integers(0, s - 1)) for s in strides]
    attributes = {
        "strides": strides, "dilations": dilations, "group": groups,
        "pads": [*before, *after], "output_padding": spare,
    }  # fmt: skip
    return [1, channels, *sizes], [channels, filters, *kernel], attributes


@given(transposed())
@settings(max_examples=60)
def test_phases_against_the_runtime(tmp_path_factory, case):
    shape, kernel, attributes = case
    ones = np.ones(kernel, np.float32)
    n = node("ConvTranspose", ["x", "w"], "y", "up", **attributes)
    proto = model([n], [info("x", shape)], ["y"], {"w": ones})
    path = save(proto, tmp_path_factory.mktemp("up"))
    result = session(proto).run(None, {"x": np.ones(shape, np.float32)})[0]
    if not result.any():
        with pytest.raises(AccelsimError, match="reaches no output"):
            read_onnx(path)
        return
    workload = read_onnx(path)
    assert workload.tensors["y"].shape == runtime_shapes(proto)["y"]
    # With ones everywhere a result counts its products: the phases must give the same numbers.
    rank = len(shape) - 2
    strides = [1, 1, *attributes["strides"]][-2:] if rank == 2 else [1, *attributes["strides"]]
    plane = np.zeros(result.shape[2:] if rank == 2 else (1, *result.shape[2:]))
    names = [op for op in workload.ops if op.gemm]
    for op in names:
        label = op.name.partition("phase")[2] or "0.0"
        row, column = (int(part) for part in label.split("."))
        plane[row :: strides[0], column :: strides[1]] = products_inside(op.window)
    assert np.array_equal(np.broadcast_to(plane, result.shape[:2] + plane.shape),
                          result.reshape(result.shape[:2] + plane.shape))  # fmt: skip


def upsampled(tmp_path, shape, kernel, **attributes):
    n = node("ConvTranspose", ["x", "w"], "y", "up", **attributes)
    proto = model([n], [info("x", shape)], ["y"], {"w": np.ones(kernel, np.float32)})
    return read_onnx(save(proto, tmp_path))


def test_an_output_smaller_than_the_stride_uses_part_of_the_kernel(tmp_path):
    # Output 0 of stride 2 sees taps 0 and 2 of the four; there is nothing to interleave.
    workload = upsampled(tmp_path, [1, 1, 1], [1, 1, 4], strides=[2], pads=[0, 3])
    (op,) = workload.ops
    assert (op.name, op.macs, workload.tensors[op.weight].elements) == ("up", 2, 2)
    assert workload.tensors["y"].shape == (1, 1, 1)


def test_a_kernel_that_reaches_no_output_is_refused(tmp_path):
    # Output 1 of stride 3 would need tap 1 of a kernel of one tap.
    with pytest.raises(AccelsimError, match="reaches no output"):
        upsampled(tmp_path, [1, 1, 2], [1, 1, 1], strides=[3], pads=[1, 2])


def products_inside(window):
    """For every output pixel: taps that fall inside the image, x channels of the group."""
    channels = window.in_channels // window.groups
    counts = np.zeros((window.out_height, window.out_width))
    for row, column in itertools.product(range(window.out_height), range(window.out_width)):
        for i, j in itertools.product(range(window.kernel_height), range(window.kernel_width)):
            y = row + i * window.dilation[0] - window.pads[0]
            x = column + j * window.dilation[1] - window.pads[1]
            inside = 0 <= y < window.in_height and 0 <= x < window.in_width
            counts[row, column] += channels * inside
    return counts


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(0, 4)
)
def test_every_tap_is_in_exactly_one_phase(size, kernel, stride, dilation, crop):
    full = stride * (size - 1) + dilation * (kernel - 1) + 1
    out = max(full - crop, stride)  # at least one output of every phase
    found = axis_phases(size, out, kernel, stride, dilation, crop)
    assert sorted(tap for axis in found for tap in axis.taps) == list(range(kernel))
    assert sum(axis.outputs for axis in found) == out


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_multiplications_are_input_pixels_times_kernel(size, stride, more, channels):
    """Wherever the output is stride times the input, with any kernel of at least the stride."""
    kernel = stride + more - 1
    crop = (kernel - stride) // 2
    window = Window(
        1, channels, size, size, 2, stride * size, stride * size, kernel, kernel,
        (stride, stride), pads=(crop, crop, 0, 0),
    )  # fmt: skip
    macs = sum(phase.gemm.macs for phase in phases(window) if phase.gemm)
    assert macs == size**2 * channels * 2 * kernel**2
