"""Plain layer lists: shapes and counts of every kind, and mistakes with their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import AccelsimError
from accelsim.workload.graph import Gemm, OpKind
from accelsim.workload.layers_rules import KINDS
from accelsim.workload.layers_yaml import read_layers

HEAD = "schema: accelsim/layers/v1\n"


def write(folder, text):
    path = folder / "net.yaml"
    path.write_text(HEAD + text)
    return path


def layers(folder, shape, *lines, **kwargs):
    """A network over one input x of the given shape."""
    text = f"inputs: {{x: {list(shape)}}}\nlayers:\n"
    return read_layers(write(folder, text + "".join(f"  - {{{x}}}\n" for x in lines)), **kwargs)


def refused(folder, text):
    with pytest.raises(AccelsimError) as caught:
        read_layers(write(folder, text))
    return caught.value.mistakes


def test_the_example_of_the_documentation(tmp_path):
    workload = layers(
        tmp_path, (1, 3, 32, 32),
        "name: first, kind: conv, filters: 16, kernel: 3, pad: same, activation: relu, bias: true",
        "name: second, kind: conv, filters: 16, kernel: 3, pad: 1",
        "name: sum, kind: add, inputs: [first, second]",
        "name: pool, kind: global_average_pool",
        "name: flat, kind: reshape, shape: [1, 16]",
        "name: classes, kind: matmul, columns: 10",
        batch=2,
    )  # fmt: skip
    assert workload.macs == 2 * (1024 * 9 * (3 * 16 + 16 * 16) + 160)
    first = workload.ops[0]
    assert first.window.pads == (1, 1, 1, 1)
    assert (first.fused, first.vector_ops) == (("relu", "quantize"), 2 * 2 * 16 * 1024)
    assert first.bias == "first.bias"
    assert workload.tensors["first.bias"].dtype == "int32"
    assert workload.ops[2].inputs == ("first", "second")
    assert workload.outputs == ("classes",)
    assert workload.aliases == {"flat": "pool"}


@pytest.mark.parametrize(
    ("shape", "line", "out", "count"),
    [
        ((1, 4, 9, 9), "kind: max_pool, kernel: 3, stride: 2", (1, 4, 4, 4), 64 * 9),
        ((1, 4, 9, 9), "kind: average_pool, kernel: [1, 3]", (1, 4, 9, 7), 252 * 3),
        ((1, 4, 9, 9), "kind: global_average_pool", (1, 4, 1, 1), 324),
        ((1, 6), "kind: softmax", (1, 6), 24),
        ((1, 5, 6), "kind: layer_norm", (1, 5, 6), 150),
        ((1, 4, 3, 3), "kind: batch_norm", (1, 4, 3, 3), 36),
        ((1, 5, 6), "kind: gelu", (1, 5, 6), 30),
        ((1, 5, 6), "kind: transpose, axes: [0, 2, 1]", (1, 6, 5), 30),
        ((1, 5, 6), "kind: slice, shape: [1, 2, 6]", (1, 2, 6), 12),
        ((1, 4, 3, 3), "kind: pad, pad: [0, 1]", (1, 4, 3, 5), 60),
        ((1, 4, 3, 3), "kind: resize, size: 6", (1, 4, 6, 6), 144),
        ((1, 5, 6), "kind: reduce, axes: [-1]", (1, 5, 1), 30),
        ((1, 7), "kind: gather, rows: 100, columns: 8", (1, 7, 8), 56),
        ((1, 7), "kind: quantize, dtype: int16", (1, 7), 7),
        ((1, 7), "kind: concat, inputs: [x, x, x]", (1, 21), 21),
        ((1, 7), "kind: mul, inputs: [x, x], activation: relu", (1, 7), 14),
    ],
)
def test_vector_layers(tmp_path, shape, line, out, count):
    workload = layers(tmp_path, shape, f"name: y, {line}")
    (op,) = workload.ops
    assert workload.tensors["y"].shape == out
    assert op.vector_ops == count


def test_products(tmp_path):
    workload = layers(
        tmp_path, (1, 8, 5, 7),
        "name: scores, kind: matmul, inputs: [x, x], transpose_b: true",
        "name: values, kind: matmul, inputs: [scores, x]",
        "name: deep, kind: depthwise, inputs: [x], kernel: 3, multiplier: 2",
    )  # fmt: skip
    gemms = [op.gemm for op in workload.ops]
    assert gemms == [Gemm(5, 7, 5, 8), Gemm(5, 5, 7, 8), Gemm(15, 9, 2, 8)]


def test_kinds_are_called_as_operators_are():
    assert {*KINDS} - {*OpKind} == {"depthwise", "reshape"}


@given(st.data())
def test_random_stacks_of_convolutions(tmp_path_factory, data):
    """Products add up; every window position lies in the padded image."""
    size, channels, expected, lines = data.draw(st.integers(8, 24)), 4, 0, []
    side = size
    for index in range(data.draw(st.integers(1, 5))):
        kernel, stride = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
        pad, filters = data.draw(st.integers(0, 2)), 4 * data.draw(st.integers(1, 3))
        groups = data.draw(st.sampled_from([1, 2, 4]))
        if side + 2 * pad < kernel:
            break
        starts = [s for s in range(-pad, side + pad - kernel + 1) if (s + pad) % stride == 0]
        side = len(starts)
        expected += side * side * kernel * kernel * channels // groups * filters
        lines.append(f"name: c{index}, kind: conv, filters: {filters}, kernel: {kernel}, "
                     f"stride: {stride}, pad: {pad}, groups: {groups}")  # fmt: skip
        channels = filters
    workload = layers(tmp_path_factory.getbasetemp(), (1, 4, size, size), *lines)
    assert workload.macs == expected


def test_mistakes_of_form_have_their_place(tmp_path):
    found = refused(
        tmp_path,
        "inputs: {x: [1, 3, 32, 32]}\n"
        "layers:\n"
        "  - {name: a, kind: convv, filters: 0, kernel: 3x}\n"
        "  - {name: b, kind: conv, filtrs: 16, kernel: 3}\n",
    )
    assert [(m.code, m.location.line) for m in found] == [
        ("C005", 4), ("C004", 4), ("C003", 4), ("C001", 5),
    ]  # fmt: skip
    assert "did you mean 'conv'" in found[0].hint


def test_mistakes_of_keys(tmp_path):
    found = refused(
        tmp_path,
        "inputs: {x: [1, 3, 32, 32]}\n"
        "layers:\n"
        "  - {name: a, kind: conv, filters: 4}\n"
        "  - {name: b, kind: relu, columns: 3}\n"
        "  - {name: c, kind: add, inputs: [x]}\n",
    )
    assert [(m.code, m.location.line) for m in found] == [("C002", 4), ("C001", 5), ("C004", 6)]


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("name: y, kind: conv, filters: 4, kernel: 40", "W122", "spans 40 of 8"),
        ("name: y, kind: conv, filters: 3, kernel: 1, groups: 2", "W122", "do not split into 2"),
        ("name: y, kind: relu, inputs: [z]", "W122", "reads 'z', which is not there"),
        ("name: x, kind: relu", "W122", "stands for something before it"),
        ("name: y, kind: add", "W122", "needs 2 'inputs'"),
        ("name: y, kind: matmul", "W122", "needs 'columns'"),
        ("name: y, kind: matmul, inputs: [x, x]", "W122", "does not fit"),
        ("name: y, kind: reshape, shape: [1, 3]", "W122", "for the elements of"),
        ("name: y, kind: reduce, axes: [4]", "W122", "axis 4"),
        ("name: y, kind: transpose, axes: [0, 1]", "W122", "axes [0, 1]"),
        ("name: y, kind: slice, shape: [1, 4, 9, 9]", "W122", "no part of"),
        ("name: y, kind: resize, size: 60000", "W107", "is too large"),
        ("name: y, kind: conv, filters: 4, kernel: 1, stride: 0", "C004", "between 1 and"),
        ("name: y, kind: conv, filters: 4, kernel: 1, pad: [1, 2, 3]", "C003", "how to pad"),
        ("name: y, kind: relu, dtype: int7", "C005", "int7"),
    ],
)
def test_layers_that_do_not_fit(tmp_path, line, code, part):
    found = refused(tmp_path, f"inputs: {{x: [1, 4, 8, 5]}}\nlayers:\n  - {{{line}}}\n")
    assert code in {m.code for m in found}, [str(m) for m in found]
    assert any(part in m.message for m in found), [str(m) for m in found]
    assert all(m.location.line == 4 for m in found)


def test_one_mistake_does_not_hide_another_or_make_one(tmp_path):
    found = refused(
        tmp_path,
        "inputs: {x: [1, 4]}\nlayers:\n  - {name: a, kind: matmul}\n  - {name: b, kind: relu}\n"
        "  - {name: c, kind: reshape, inputs: [x], shape: [5]}\noutputs: [nothing]\n",
    )
    assert [m.location.line for m in found] == [4, 6, 7]


def test_files_that_are_no_layer_list(tmp_path):
    path = tmp_path / "x.yaml"
    for text, code in (("", "C003"), ("schema: accelsim/run/v1\n", "C015"), ("a: [", "C010"),
                       ("inputs: {x: [1]}\nlayers: [{name: y, kind: relu}]\n", "C015"),
                       (HEAD, "C002")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(AccelsimError) as caught:
            read_layers(path)
        assert code in {m.code for m in caught.value.mistakes}
    with pytest.raises(AccelsimError, match="positive whole number"):
        read_layers(path, batch=0)
