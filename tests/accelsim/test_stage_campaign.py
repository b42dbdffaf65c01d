"""The campaign stage: what validation finds before anything is simulated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accelsim.config.types import DataConfig, FaultsConfig
from accelsim.errors import AccelsimError
from accelsim.stages.campaign import check_campaign

ROOT = Path(__file__).resolve().parents[2]
MODEL = str(ROOT / "configs" / "models" / "resnet20_cifar10_int8.onnx")
FLOAT = str(ROOT / "configs" / "models" / "resnet20_cifar10.onnx")
EXPOSURE = FaultsConfig(mode="exposure", images_per_fault=4)


def data(folder: Path, shape: tuple[int, ...] = (3, 32, 32), top: int = 9) -> DataConfig:
    file = folder / "set.npz"
    labels = np.array([0, 1, 2, 3, 4, 5, 6, top])
    np.savez(file, images=np.zeros((8, *shape), np.uint8), labels=labels)
    return DataConfig(str(file), divide_by=255)


def codes(model: str, config: DataConfig, faults: FaultsConfig) -> list[str]:
    with pytest.raises(AccelsimError) as error:
        check_campaign(model, config, faults)
    return [m.code for m in error.value.mistakes]


def test_what_a_campaign_takes_passes(tmp_path: Path) -> None:
    check_campaign(MODEL, data(tmp_path), EXPOSURE)
    check_campaign(FLOAT, data(tmp_path), FaultsConfig("rate", images_per_fault=4, rates=(1e-5,)))


def test_what_a_campaign_would_refuse_is_found(tmp_path: Path) -> None:
    assert codes(MODEL, data(tmp_path, top=10), EXPOSURE) == ["F506"]
    assert codes(MODEL, data(tmp_path, shape=(3, 28, 28)), EXPOSURE) == ["F507"]
    assert codes(MODEL, data(tmp_path), replace(EXPOSURE, images_per_fault=9)) == ["F501"]
    assert codes(str(tmp_path / "none.onnx"), data(tmp_path), EXPOSURE) == ["F502"]
    rate = FaultsConfig("rate", images_per_fault=4, rates=(1e-5,), clip="zero")
    assert codes(MODEL, data(tmp_path), rate) == ["F508"]
    bounds = tmp_path / "bounds.json"
    bounds.write_text('{"relu1": 3.0}')
    assert set(codes(FLOAT, data(tmp_path), replace(rate, bounds=str(bounds)))) == {"F509"}
