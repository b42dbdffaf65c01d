"""Random geometry against brute force and against what ONNX Runtime computes."""

import itertools

import numpy as np
import onnxruntime as ort
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_builders import info, model, node

from accelsim.workload import read_onnx


@st.composite
def convolutions(draw):
    """(input shape, weight shape, attributes) of a convolution with at least one output."""
    rank = draw(st.sampled_from([1, 2]))
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 3))
    filters = groups * draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    sizes = [draw(st.integers(r, r + 6)) for r in reach]
    attributes = {"strides": strides, "dilations": dilations, "group": groups}
    auto = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    else:
        attributes["auto_pad"] = auto
        if auto != "VALID":  # dilated "same" windows are not defined the same way everywhere
            attributes["dilations"] = [1] * rank
    batch = draw(st.integers(1, 2))
    return [batch, channels, *sizes], [filters, channels // groups, *kernel], attributes


def run(proto, x):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=providers)
    return session.run(None, {"x": x})[0]


def multiplications(window):
    """Counted one by one: output positions x kernel positions x channels of each group."""
    count = 0
    for _ in itertools.product(
        range(window.batch), range(window.out_channels),
        range(window.out_height), range(window.out_width),
    ):  # fmt: skip
        count += window.in_channels // window.groups * window.kernel_height * window.kernel_width
    return count


@given(convolutions())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_convolution_against_the_runtime(tmp_path_factory, case):
    shape, weight, attributes = case
    ones = np.ones(weight, np.float32)
    proto = model(
        [node("Conv", ["x", "w"], "y", **attributes)], [info("x", shape)], ["y"], {"w": ones}
    )
    path = tmp_path_factory.mktemp("conv") / "c.onnx"
    path.write_bytes(proto.SerializeToString())
    workload = read_onnx(path, batch=shape[0])
    (op,) = workload.ops
    result = run(proto, np.ones(shape, np.float32))
    assert workload.tensors["y"].shape == result.shape
    assert op.macs == multiplications(op.window)
    # With ones everywhere a result counts the kernel positions inside the image, so the pads
    # must be the very ones the runtime used.
    assert np.array_equal(result, positions_inside(op.window).reshape(result.shape))


def positions_inside(window):
    """For every output element: kernel positions that fall inside the image, x group channels."""
    top, left, _, _ = window.pads
    counts = np.zeros(
        (window.batch, window.out_channels, window.out_height, window.out_width), np.float32
    )
    channels = window.in_channels // window.groups
    for row, column in itertools.product(range(window.out_height), range(window.out_width)):
        inside = 0
        for i, j in itertools.product(range(window.kernel_height), range(window.kernel_width)):
            y = row * window.stride[0] + i * window.dilation[0] - top
            x = column * window.stride[1] + j * window.dilation[1] - left
            inside += 0 <= y < window.in_height and 0 <= x < window.in_width
        counts[:, :, row, column] = inside * channels
    return counts


@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.lists(st.booleans(), min_size=2, max_size=2),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    st.booleans(),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_matmul_against_numpy(tmp_path_factory, stack, kept, mkn, constant):
    m, k, n = mkn
    a = [*stack, m, k]
    b = [*(d if keep else 1 for d, keep in zip(stack, kept, strict=False)), k, n]
    inputs = [info("x", a)] + ([] if constant else [info("b", b)])
    constants = {"b": np.ones(b, np.float32)} if constant else {}
    proto = model([node("MatMul", ["x", "b"], "y")], inputs, ["y"], constants)
    path = tmp_path_factory.mktemp("mm") / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    (op,) = read_onnx(path, batch=a[0]).ops
    product = np.matmul(np.ones(a), np.ones(b))
    assert op.macs == int(product.sum())  # each result is the number of its multiplications
