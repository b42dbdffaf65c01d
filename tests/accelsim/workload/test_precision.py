"""An int8 array refuses numbers it cannot hold, unless the run asks for the int8 twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.arch.parts import SystolicArray
from accelsim.errors import AccelsimError
from accelsim.workload.graph import Role
from accelsim.workload.onnx_reader import read_onnx
from accelsim.workload.precision import as_int8, require_precision

MODELS = Path(__file__).resolve().parents[3] / "configs" / "models"


def test_a_float_network_is_refused_by_name_and_count() -> None:
    workload = read_onnx(MODELS / "resnet20_cifar10.onnx")
    with pytest.raises(AccelsimError, match=r"conv1.*float32.*more") as caught:
        require_precision(workload, SystolicArray(16, 16))
    assert "workload.precision" in caught.value.mistakes[0].hint


def test_the_int8_network_fits_eight_bits_and_not_four() -> None:
    workload = read_onnx(MODELS / "resnet20_cifar10_int8.onnx")
    require_precision(workload, SystolicArray(16, 16))
    with pytest.raises(AccelsimError, match="4-bit"):
        require_precision(workload, SystolicArray(16, 16, weight_bits=4))


def test_the_int8_twin_has_the_same_shapes_and_the_quantised_files_weight_bytes() -> None:
    twin = as_int8(read_onnx(MODELS / "resnet20_cifar10.onnx"))
    real = read_onnx(MODELS / "resnet20_cifar10_int8.onnx")
    require_precision(twin, SystolicArray(16, 16))
    assert twin.macs == real.macs
    assert twin.weight_bytes == real.weight_bytes
    assert {t.dtype for t in twin.tensors.values() if t.role is Role.BIAS} == {"int32"}
    assert as_int8(real) == real, "an int8 network is its own twin"
