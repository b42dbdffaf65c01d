"""Slices behind windows: read as onnx reads them, and never the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from accelsim.workload.onnx_reader import read_onnx

READ = """
import sys
from accelsim.errors import AccelsimError
from accelsim.workload.reader import read_network
try:
    read_network(sys.argv[1])
except AccelsimError as error:
    sys.exit("refused: " + str(error))
"""


def save(path: Path, nodes: list[onnx.NodeProto], size: int, constants: dict[str, object]) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, size, size])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def conv(source: str, made: str, kernel: int) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, f"w{kernel}"], [made], name=made)


def weight(kernel: int) -> dict[str, object]:
    return {f"w{kernel}": np.ones((4, 4, kernel, kernel), np.float32)}


BOUNDS: dict[str, object] = {
    "first": np.array([0], np.int64), "last": np.array([1000], np.int64),
    "back": np.array([-1000], np.int64), "rows": np.array([2], np.int64),
    "two": np.array([2], np.int64), "minus": np.array([-1], np.int64),
}  # fmt: skip


@pytest.mark.parametrize(
    "bounds", [("first", "last", "rows", "two"), ("last", "back", "rows", "minus")]
)
def test_a_slice_of_less_than_nothing_is_refused_not_fatal(
    tmp_path: Path, bounds: tuple[str, ...]
) -> None:
    nodes = [conv("image", "c", 9), helper.make_node("Slice", ["c", *bounds], ["out"], name="s")]
    path = save(tmp_path / "net.onnx", nodes, 4, weight(9) | BOUNDS)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "refused" in done.stderr
    assert "its window spans 9 along axis 0, the padded input only 4" in done.stderr


def test_slices_one_behind_the_other_have_the_shapes_that_onnx_says(tmp_path: Path) -> None:
    nodes = []
    source = "image"
    for stage in range(4):
        made = f"c{stage}"
        nodes.append(conv(source, made, 3))
        source = "out" if stage == 3 else f"s{stage}"
        nodes.append(helper.make_node("Slice", [made, "first", "last", "rows", "two"], [source]))
    path = save(tmp_path / "net.onnx", nodes, 128, weight(3) | BOUNDS)
    workload = read_onnx(path)
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    said = {
        info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in (*inferred.graph.value_info, *inferred.graph.output)
    }
    names = [name for name in said if name in workload.tensors]
    assert len(names) == 8
    assert {name: workload.tensors[name].shape for name in names} == {n: said[n] for n in names}


def test_a_file_with_slices_is_not_changed_for_other_readers(tmp_path: Path) -> None:
    nodes = [conv("image", "c", 3), helper.make_node("Slice", ["c", "first", "last"], ["out"])]
    path = save(tmp_path / "net.onnx", nodes, 16, weight(3) | BOUNDS)
    before = path.read_bytes()
    assert read_onnx(path).tensors["out"].shape == (1, 4, 14, 14)
    assert path.read_bytes() == before
