"""TensorFlow Lite files that are damaged, hostile or beyond the reader: a clear error, quickly."""

import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tflite", reason="the extra accelsim[tflite] is not installed")

from test_tflite_operators import lstm_net
from tflite_builders import VALID, N, Net, T, conv_net, one, zeros

from accelsim.errors import AccelsimError
from accelsim.workload.graph import OpKind
from accelsim.workload.tflite_reader import read_tflite


def refused(path, **kwargs):
    before = time.process_time()
    with pytest.raises(AccelsimError) as caught:
        read_tflite(path, **kwargs)
    assert time.process_time() - before < 5
    assert caught.value.exit_code == 2
    assert all(m.location.file == str(path) for m in caught.value.mistakes)
    return caught.value.mistakes


def write(folder, content):
    path = folder / "net.tflite"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "it is too short"),
        (b"TFL3", "it is too short"),
        (b"\x08\x00\x00\x00ONNX" + bytes(100), "bytes 5 to 8 are b'ONNX'"),
        (b"\x00\x00\x00\x00TFL3", ""),
        (b"\xff\xff\xff\x7fTFL3" + bytes(100), "leads nowhere"),
        (b"\x08\x00\x00\x00TFL3" + bytes(100), "schema version 0"),
    ],
)
def test_files_that_are_no_networks(tmp_path, content, part):
    (mistake,) = refused(write(tmp_path, content))
    assert mistake.code == "W101"
    assert part in mistake.message


def test_paths_that_are_no_files(tmp_path):
    assert "no such file" in refused(tmp_path / "missing.tflite")[0].message
    assert "is a folder" in refused(tmp_path)[0].message


def whatever(path):
    """Reads; a result or an AccelsimError, nothing else, and soon."""
    before = time.process_time()
    try:
        workload = read_tflite(path)
    except AccelsimError:
        workload = None
    assert time.process_time() - before < 5
    return workload


CASES = {"conv": conv_net().bytes(), "lstm": lstm_net().bytes()}


@pytest.mark.parametrize("name", CASES)
def test_a_file_cut_short_anywhere(tmp_path, name):
    whole = CASES[name]
    for length in range(0, len(whole) - 1, max(1, len(whole) // 200)):
        assert whatever(write(tmp_path, whole[:length])) is None, length


@settings(max_examples=150)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_flipped_bits(tmp_path_factory, name, data):
    content = bytearray(CASES[name])
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(8, len(content) - 1))
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    whatever(write(tmp_path_factory.getbasetemp(), bytes(content)))


@settings(max_examples=150)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_numbers_replaced(tmp_path_factory, name, data):
    """Aligned words: lengths, offsets, dimensions and indices."""
    content = bytearray(CASES[name])
    position = data.draw(st.integers(2, len(content) // 4 - 1)) * 4
    numbers = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16, 2**20)
    content[position : position + 4] = data.draw(st.sampled_from(numbers)).to_bytes(4, "little")
    whatever(write(tmp_path_factory.getbasetemp(), bytes(content)))


def two_unknown():
    tensors = [T("x", (1, 4)), T("a", (1, 4)), T("b", (1, 4)), T("y", (1, 4))]
    ops = [
        N("CUSTOM", ["x"], ["a"], custom="Mystery"),
        N("CUMSUM", ["a"], ["b"]),
        N("RELU", ["b"], ["y"]),
    ]
    return Net(tensors, ops, ["x"], ["y"])


def test_all_unknown_operators_are_named_at_once(tmp_path):
    first, second = refused(two_unknown().save(tmp_path))
    assert {first.code, second.code} == {"W102"}
    assert "operator 0 (custom Mystery)" in first.message
    assert "operator 1 (CUMSUM)" in second.message
    assert "fallback" in first.hint


def test_unknown_operators_as_fallbacks(tmp_path):
    workload = read_tflite(two_unknown().save(tmp_path), unsupported="fallback")
    assert [op.kind for op in workload.ops[:2]] == [OpKind.FALLBACK] * 2
    assert workload.fallbacks == ("custom_mystery_0 (custom Mystery)", "cumsum_1 (CUMSUM)")
    assert workload.ops[0].vector_ops == 4


def test_control_flow_is_never_costed(tmp_path):
    path = one("WHILE", [(1, 4)], (1, 4)).save(tmp_path)
    (mistake,) = refused(path, unsupported="fallback")
    assert (mistake.code, "graph of its own" in mistake.message) == ("W102", True)


def open_net(*signature):
    net = conv_net()
    net.tensors[0].signature = signature
    return net


def test_dimensions_that_are_open(tmp_path):
    (mistake,) = refused(open_net(-1, 8, -1, 3).save(tmp_path))
    assert (mistake.code, "dimension 2 of input 'x0'" in mistake.message) == ("W103", True)
    found = refused(one("RELU", [(1, 0)], (1, 0)).save(tmp_path))
    assert all(m.code == "W103" and "is empty or open" in m.message for m in found)


def test_a_batch_that_the_file_does_not_take(tmp_path):
    (mistake,) = refused(conv_net().save(tmp_path), batch=2)
    assert (mistake.code, "fixed batch 1, asked for 2" in mistake.message) == ("W103", True)
    (mistake,) = refused(open_net(-1, 8, 8, 3).save(tmp_path), batch=2)  # the output stays at 1
    assert (mistake.code, "a batch of 1" in mistake.hint) == ("W106", True)
    for batch in (0, -1, True, 1.5):
        with pytest.raises(AccelsimError, match="positive whole number"):
            read_tflite(tmp_path / "x", batch=batch)
    with pytest.raises(AccelsimError, match="neither 'refuse' nor 'fallback'"):
        read_tflite(tmp_path / "x", unsupported="maybe")


@pytest.mark.parametrize(
    ("net", "code", "part"),
    [
        (conv_net(StrideH=0), "W106", "strides (0, 1)"),
        (conv_net(StrideH=-3), "W106", "strides (-3, 1)"),
        (conv_net(DilationHFactor=0), "W106", "dilations (0, 1)"),
        (conv_net(act=9), "W106", "fused activation number 9"),
        (conv_net(Padding=7), "W106", "padding number 7"),
        (one("CONV_2D", [(1, 2, 2, 3)], (1, 1, 1, 4), [zeros(4, 3, 3, 3)],
             ("Conv2DOptions", {"StrideH": 1, "StrideW": 1, "Padding": VALID})),
         "W106", "spans 3 of 2 elements"),
        (one("CONV_2D", [(1, 8, 8, 3)], (1, 9, 8, 4), [zeros(4, 3, 3, 3)],
             ("Conv2DOptions", {"StrideH": 1, "StrideW": 1})), "W106", "output of shape"),
        (one("CONV_2D", [(1, 8, 8, 3)], (1, 8, 8, 4), [zeros(4, 3, 3, 2)]), "W106", "filters"),
        (one("CONV_2D", [(1, 8, 8, 3)], (1, 8, 8, 4)), "W106", "an operand is missing"),
        (one("CONV_2D", [(8, 8, 3)], (1, 8, 8, 4), [zeros(4, 3, 3, 3)]), "W106", "four dim"),
        (one("FULLY_CONNECTED", [(1, 8)], (1, 4), [zeros(4, 7)]), "W106", "weights [4, 7]"),
        (one("FULLY_CONNECTED", [(1, 8)], (1, 5), [zeros(4, 8)]), "W106", "product of 4"),
        (one("FULLY_CONNECTED", [(1, 8)], (1, 4), [zeros(4, 8), zeros(3)]), "W106", "a bias of 3"),
        (one("BATCH_MATMUL", [(1, 4, 5), (1, 6, 7)], (1, 4, 7)), "W106", "inner dimensions"),
        (one("ADD", [(1, 4), (1, 3)], (1, 4)), "W106", "operands of shapes [1, 4], [1, 3]"),
        (one("ADD", [(1, 4), (1, 4)], (1, 5)), "W106", "output of shape [1, 5]"),
        (one("ADD", [(1, 4)], (1, 4)), "W106", "an operand is missing"),
        (one("ADD", [(1, 4)], (1, 4), options=("MulOptions", {})), "W106", "options of another"),
        (one("RESHAPE", [(1, 4)], (1, 5)), "W106", "output of 5 elements from 4"),
        (one("CONCATENATION", [(1, 4), (1, 4)], (1, 9)), "W106", "inputs of 8"),
        (one("SLICE", [(1, 4)], (1, 5)), "W106", "larger than its input"),
        (one("MEAN", [(1, 4)], (1,), [np.array([5], np.int32)]), "W106", "axes [5]"),
        (one("MEAN", [(1, 4), (1, 1)], (1,)), "W102", "axes that are computed"),
        (one("PAD", [(1, 4)], (1, 5), [np.array([0, 0, -1, 2], np.int32)]), "W106", "paddings"),
        (one("TRANSPOSE", [(1, 4)], (4, 1), [np.array([0, 3], np.int32)]), "W106", "the axes"),
        (one("SVDF", [(1, 4)], (1, 4)), "W106", "an operand is missing"),
        (one("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 4)], (1, 4)), "W106", "[batch, time, features]"),
        (one("RELU", [(2**15, 2**15)], (2**15, 2**15)), "W107", "more than"),
        (one("FULLY_CONNECTED", [(2**21, 4)], (2**21, 4), [zeros(4, 4)]), "W107", "2097152 rows"),
        (one("RELU", [(1, 4)], (1, 4), dtype="string"), "W105", "element type STRING"),
        (lstm_net(steps=600), "W107", "600 steps"),
        (Net([T("x", (1, 4))], [], ["x"], ["x"]), "W101", "holds no operators"),
        (Net([T("x", (1, 4)), T("y", (1, 4))], [N("RELU", ["x"], ["y"])], ["x"], []),
         "W101", "no outputs"),
        (Net([T("x", (1, 4)), T("y", (1, 4)), T("z", (1, 4))],
             [N("ADD", ["x", "z"], ["y"]), N("RELU", ["y"], ["z"])], ["x"], ["z"]),
         "W106", "reads 'z' before it is made"),
        (Net([T("x", (1, 4)), T("y", (1, 4))],
             [N("RELU", ["x"], ["y"]), N("TANH", ["x"], ["y"])], ["x"], ["y"]),
         "W106", "overwrites 'y'"),
        (Net([T("x", (1, 4)), T("y", (1, 4), "int8", zeros(1, 4)), T("z", (1, 4))],
             [N("RELU", ["x"], ["z"])], ["x"], ["z", "y"]), "W106", "output 'y' is a constant"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be(tmp_path, net, code, part):
    shape = net.tensors[0].shape
    found = refused(net.save(tmp_path), batch=shape[0] if shape[0] > 1 else 1)
    assert code in {m.code for m in found}, [str(m) for m in found]
    assert any(part in m.message for m in found), [str(m) for m in found]


def test_constants_that_are_not_whole(tmp_path):
    net = conv_net()
    net.tensors[1].data = zeros(4, 3, 3, 2)
    (mistake,) = refused(net.save(tmp_path))
    assert (mistake.code, "holds 72 bytes" in mistake.message) == ("W106", True)
    weights = np.full((4, 4), np.nan, np.float32)
    path = one("FULLY_CONNECTED", [(1, 4)], (1, 4), [weights], dtype="float32").save(tmp_path)
    assert "'c0' holds NaN" in refused(path)[0].message


def test_weights_of_four_bits_are_refused_by_name(tmp_path):
    net = one("FULLY_CONNECTED", [(1, 4)], (1, 4), [zeros(4, 4)])
    net.tensors[1].dtype = "int4"
    (mistake,) = refused(net.save(tmp_path))
    assert (mistake.code, "'c0' has the element type INT4" in mistake.message) == ("W105", True)


def test_peepholes_are_refused(tmp_path):
    net = lstm_net()
    net.tensors.append(T("peep", (5,), "int16", zeros(5, dtype=np.int16)))
    net.ops[0].inputs[9] = "peep"
    (mistake,) = refused(net.save(tmp_path))
    assert (mistake.code, "peephole" in mistake.message) == ("W102", True)


def test_the_schema_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite", None)
    (mistake,) = refused(write(tmp_path, CASES["conv"]))
    assert mistake.code == "W108"
    assert "pip install 'accelsim[tflite]'" in mistake.hint
