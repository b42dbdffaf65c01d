"""Real TensorFlow Lite networks: those shipped, and more of them where they lie beside."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("tflite", reason="the extra accelsim[tflite] is not installed")

from accelsim.workload.check import check_workload
from accelsim.workload.graph import Role
from accelsim.workload.tflite_reader import read_tflite

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "configs/models"
BESIDE = ROOT.parent / "shared/data/models"
MORE = sorted(BESIDE.glob("*.tflite"))

RESNET8 = (
    32 * 32 * 9 * (3 * 16 + 2 * 16 * 16)
    + 16 * 16 * (9 * (16 * 32 + 32 * 32) + 16 * 32)
    + 8 * 8 * (9 * (32 * 64 + 64 * 64) + 32 * 64)
    + 64 * 10
)
"""ResNet-8 (MLPerf Tiny) written out: stages of 16, 32, 64 channels, shortcuts, classifier."""


def test_resnet8():
    workload = read_tflite(SHIPPED / "resnet8_cifar10_int8.tflite")
    assert workload.macs == RESNET8 == 12_501_632
    kinds = Counter(op.kind.value for op in workload.ops)
    assert kinds == {"conv": 9, "add": 3, "average_pool": 1, "matmul": 1, "softmax": 1}
    types = {(t.dtype, t.role) for t in workload.tensors.values()}
    assert types == {
        ("int8", Role.INPUT), ("int8", Role.ACTIVATION), ("int8", Role.OUTPUT),
        ("int8", Role.WEIGHT), ("int32", Role.BIAS),
    }  # fmt: skip
    assert read_tflite(SHIPPED / "resnet8_cifar10_int8.tflite", batch=4).macs == 4 * RESNET8


def mobilenet_v2():
    """Multiply-accumulates from the table of the paper (Sandler et al., CVPR 2018, table 2)."""
    total, side, channels = 112 * 112 * 27 * 32, 112, 32
    for factor, out, repeat, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for index in range(repeat):
            wide = channels * factor
            total += side * side * channels * wide if factor > 1 else 0
            side //= stride if index == 0 else 1
            total += side * side * wide * (9 + out)
            channels = out
    return total + 49 * 320 * 1280 + 1280 * 1001


def test_mobilenet_v2():
    workload = read_tflite(SHIPPED / "mobilenet_v2_1.0_224_uint8.tflite")
    assert workload.macs == mobilenet_v2()
    assert workload.macs == 300_775_552
    assert sum(op.kind.value == "add" for op in workload.ops) == 10
    with pytest.raises(Exception, match="fixed batch 1"):
        read_tflite(SHIPPED / "mobilenet_v2_1.0_224_uint8.tflite", batch=2)


@pytest.mark.skipif(not MORE, reason=f"no further networks in {BESIDE}")
@pytest.mark.parametrize("path", MORE, ids=lambda path: path.stem)
def test_further_networks_load(path):
    workload = read_tflite(path)
    check_workload(workload)
    assert not workload.fallbacks


PLAIN = sorted((BESIDE / "plain").glob("*.graph.json"))


def counted(graph):
    """Multiply-accumulates from the plain description alone: every weight meets every output
    position of its filter."""
    shapes = {t["id"]: t["shape"] for t in graph["tensors"]}
    total = 0
    for op in graph["ops"]:
        if "CONV" not in op["op"] and op["op"] != "FULLY_CONNECTED":
            continue
        weight, out = shapes[op["inputs"][1]], shapes[op["outputs"][0]]
        total += math.prod(weight) * math.prod(out[:-1])
    return total


@pytest.mark.skipif(not PLAIN, reason=f"no plain descriptions in {BESIDE}")
@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name.split(".")[0])
def test_products_agree_with_the_plain_description(path):
    graph = json.loads(path.read_text())
    workload = read_tflite(BESIDE / path.name.replace(".graph.json", ".tflite"))
    assert workload.macs == counted(graph) > 0
