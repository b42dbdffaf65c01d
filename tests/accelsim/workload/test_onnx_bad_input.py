"""Bad files and requests end in one AccelsimError that says what to do."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_builders import info, model, node, one, onnx, save, weights

from accelsim.errors import AccelsimError
from accelsim.workload import read_onnx


def refused(path, **kwargs):
    with pytest.raises(AccelsimError) as caught:
        read_onnx(path, **kwargs)
    assert caught.value.exit_code == 2
    return caught.value.mistakes


def codes(path, **kwargs):
    return [m.code for m in refused(path, **kwargs)]


def conv():
    return one("Conv", [[1, 3, 8, 8]], {"w": weights(4, 3, 3, 3), "b": weights(4)})


def test_missing_folder_empty_and_garbage(tmp_path):
    assert codes(tmp_path / "none.onnx") == ["W101"]
    assert codes(tmp_path) == ["W101"]
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"")
    assert codes(path) == ["W101"]
    path.write_text("not a network, just some prose about networks\n" * 50)
    (mistake,) = refused(path)
    assert mistake.code.startswith("W1")
    assert mistake.hint
    assert mistake.location.file == str(path)


def test_random_bytes(tmp_path):
    path = tmp_path / "random.onnx"
    generator = np.random.default_rng(0)
    for size in (1, 2, 7, 50, 400, 3000):
        for _ in range(40):
            path.write_bytes(generator.bytes(size))
            assert all(code.startswith("W1") for code in codes(path))


def test_every_truncation_is_refused(tmp_path):
    content = conv().SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(content), 3):
        path.write_bytes(content[:length])
        assert all(code.startswith("W1") for code in codes(path))


def test_flipped_bytes_never_escape_the_error_taxonomy(tmp_path):
    content = bytearray(conv().SerializeToString())
    path = tmp_path / "flipped.onnx"
    generator = np.random.default_rng(1)
    refusals = 0
    for _ in range(600):
        damaged = bytearray(content)
        for position in generator.integers(0, len(content), 3):
            damaged[position] = generator.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            read_onnx(path)
        except AccelsimError:
            refusals += 1
    assert refusals > 50


def test_unsupported_operators_are_all_named(tmp_path):
    nodes = [
        node("Hardmax", ["x"], "a", "gate"),
        node("Relu", ["a"], "b"),
        node("LpNormalization", ["b"], "c"),
        node("Mystery", ["c"], "y", "odd", domain="com.example"),
    ]
    found = refused(save(model(nodes, [info("x", [1, 4])], ["y"]), tmp_path))
    assert [m.code for m in found] == ["W102"] * 3
    text = "\n".join(str(m) for m in found)
    for expected in (
        "Hardmax",
        "'gate'",
        "LpNormalization",
        "'LpNormalization_2'",
        "com.example.Mystery",
        "'odd'",
    ):
        assert expected in text
    assert all("fallback" in m.hint for m in found)


def test_fallback_of_an_unknown_operator_needs_a_shape(tmp_path):
    nodes = [node("Mystery", ["x"], "m", "odd", domain="com.example"), node("Relu", ["m"], "y")]
    proto = model(nodes, [info("x", [1, 4])], ["y"])
    (first, *_) = refused(save(proto, tmp_path), unsupported="fallback")
    assert first.code == "W103"
    assert "'m'" in first.message
    proto = model(nodes, [info("x", [1, 4])], ["y"], value_info=[info("m", [1, 4])])
    workload = read_onnx(save(proto, tmp_path), unsupported="fallback")
    assert workload.fallbacks == ("odd (com.example.Mystery)",)


def test_what_a_rule_cannot_do_is_named(tmp_path):
    nodes = [
        node("Conv", ["x", "w"], "c", "volume"),
        node("MaxPool", ["p"], ["m", "where"], "indices", kernel_shape=[2, 2]),
    ]
    proto = model(
        nodes,
        [info("x", [1, 1, 4, 4, 4]), info("p", [1, 1, 4, 4])],
        ["c", "m", info("where", None, "int64")],
        {"w": weights(1, 1, 2, 2, 2)},
    )
    found = refused(save(proto, tmp_path))
    assert [m.code for m in found] == ["W102", "W102"]
    assert "'volume'" in found[0].message
    assert "3-D" in found[0].message
    assert "'where'" in found[1].message


def test_control_flow_is_refused_even_with_fallback(tmp_path):
    body = helper.make_graph([node("Relu", ["x"], "t")], "then", [], [info("t", [1, 4])])
    n = node("If", ["c"], "y", "branch", then_branch=body, else_branch=body)
    inputs = [info("x", [1, 4]), helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    path = save(model([n], inputs, ["y"]), tmp_path)
    assert codes(path, unsupported="fallback") == ["W102"]


def test_free_dimensions_name_the_tensor(tmp_path):
    proto = conv()
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_param, dims[3].dim_param = "height", "width"
    found = refused(save(proto, tmp_path))
    assert [m.code for m in found] == ["W103", "W103"]
    assert "'x0'" in found[0].message
    assert "height" in found[0].message
    assert found[0].hint


def test_input_without_shape(tmp_path):
    proto = model([node("Relu", ["x"], "y")], [info("x", None)], ["y"])
    assert codes(save(proto, tmp_path)) == ["W103"]


def test_fixed_batch_is_not_changed_silently(tmp_path):
    path = save(one("Relu", [[4, 3]]), tmp_path)
    (mistake,) = refused(path)
    assert mistake.code == "W103"
    assert "4" in mistake.hint
    assert read_onnx(path, batch=4).tensors["x0"].shape == (4, 3)


@pytest.mark.parametrize("batch", [0, -1, 1.5, True, "2"])
def test_batch_must_be_a_positive_number(tmp_path, batch):
    assert codes(save(conv(), tmp_path), batch=batch) == ["W103"]


def test_unknown_policy(tmp_path):
    assert codes(save(conv(), tmp_path), unsupported="ignore") == ["U001"]


def test_invalid_graphs(tmp_path):
    wrong = one("Conv", [[1, 2, 8, 8]], {"w": weights(4, 3, 3, 3)})
    assert codes(save(wrong, tmp_path)) == ["W106"]
    cycle = model(
        [node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b")], [info("x", [1, 4])], ["b"]
    )
    assert codes(save(cycle, tmp_path)) == ["W106"]
    missing = model([node("Add", ["x", "none"], "y")], [info("x", [1, 4])], ["y"])
    assert codes(save(missing, tmp_path)) == ["W106"]
    malformed = model(
        [node("QLinearAdd", ["x"], "y", "add", "com.microsoft")], [info("x", [1, 4])], ["y"]
    )
    (mistake,) = refused(save(malformed, tmp_path))
    assert mistake.code == "W106"
    assert "'add'" in mistake.message


def test_constant_results_are_refused(tmp_path):
    nodes = [node("Relu", ["k"], "c", "fixed"), node("Add", ["x", "c"], "y")]
    path = save(model(nodes, [info("x", [1, 4])], ["y"], {"k": weights(4)}), tmp_path)
    (mistake,) = refused(path)
    assert mistake.code == "W102"
    assert "fold" in mistake.message
    only_view = model([node("Flatten", ["x"], "y")], [info("x", [1, 4])], ["y"])
    assert codes(save(only_view, tmp_path)) == ["W101"]


def test_element_types_without_storage_size(tmp_path):
    proto = conv()
    proto.graph.initializer[0].data_type = TensorProto.COMPLEX64
    assert codes(save(proto, tmp_path)) == ["W105"]


def test_tensor_shorter_than_its_shape(tmp_path):
    proto = conv()
    proto.graph.initializer[0].dims[0] = 10**12
    (mistake,) = refused(save(proto, tmp_path))
    assert mistake.code == "W106"
    assert "'w'" in mistake.message


def external(folder, location, content=None, **entries):
    """The conv network with its weight in another file."""
    proto = conv()
    tensor = proto.graph.initializer[0]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    if content is not None:
        (folder / "w.bin").write_bytes(raw if content == "whole" else content)
    return save(proto, folder)


def test_external_data_beside_the_model_is_read(tmp_path):
    path = external(tmp_path, "w.bin", "whole")
    assert read_onnx(path).macs == 4 * 36 * 27


def test_large_external_data_is_checked_but_not_loaded(tmp_path):
    proto = one("Gemm", [[1, 64]], {"w": weights(64, 32)})
    path = tmp_path / "tiny.onnx"
    (tmp_path / "deep").mkdir()
    onnx.save(proto, path, save_as_external_data=True, location="deep/w.bin", size_threshold=0)
    assert read_onnx(path).weight_bytes == 4 * 64 * 32
    (tmp_path / "deep/w.bin").write_bytes(bytes(100))
    (mistake,) = refused(path)
    assert mistake.code == "W104"
    assert "100" in mistake.message


def test_external_data_never_leaves_the_folder(tmp_path):
    outside = tmp_path / "secret.bin"
    outside.write_bytes(bytes(4 * 4 * 27))
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "link.bin").symlink_to(outside)
    for location in (
        "../secret.bin", str(outside), "a/../../secret.bin", "link.bin", "",
        "..\\secret.bin", "C:\\secret.bin", "\\\\host\\share",
    ):  # fmt: skip
        (mistake,) = refused(external(folder, location))
        assert mistake.code == "W104"
        assert "outside" in mistake.message


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (None, {}),
        (b"short", {}),
        ("whole", {"offset": 4}),
        ("whole", {"offset": -1}),
        ("whole", {"length": 8}),
        ("whole", {"length": "many"}),
    ],
)
def test_external_data_must_be_whole(tmp_path, content, entries):
    assert codes(external(tmp_path, "w.bin", content, **entries)) == ["W104"]
