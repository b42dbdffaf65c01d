"""Evaluation sets: known values, and every kind of bad file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelsim.errors import AccelsimError
from faults import data as data_module
from faults.data import load_data


def write(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def good(count: int = 4) -> dict[str, Any]:
    images = np.arange(count * 3 * 2 * 2, dtype=np.uint8).reshape(count, 3, 2, 2)
    return {"images": images, "labels": np.arange(count, dtype=np.uint8)}


def codes(error: pytest.ExceptionInfo[AccelsimError]) -> list[str]:
    return [m.code for m in error.value.mistakes]


def test_known_pixels(tmp_path: Path) -> None:
    file = write(tmp_path / "e.npz", **good())
    found = load_data(file, 255, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0), limit=3)
    assert found.images.dtype == np.float32
    assert found.labels.dtype == np.int64
    assert len(found) == 3
    # Second image, channel 1, last pixel: byte 12 + 7 = 19.
    assert found.images[1, 1, 1, 1] == np.float32((19 / 255 - 0.25) / 0.25)
    assert found.images[0, 2, 0, 0] == np.float32(8 / 255 / 2)


def test_defaults_leave_floats_alone(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(2, 1, 3, 3)).astype(np.float32)
    file = write(tmp_path / "e.npz", images=images, labels=np.array([0, 1]))
    assert (load_data(file).images == images).all()


def test_limit_above_the_set_uses_all(tmp_path: Path) -> None:
    assert len(load_data(write(tmp_path / "e.npz", **good()), limit=99)) == 4


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"images": None}, "D203"),
        ({"labels": None}, "D203"),
        ({"labels": np.arange(3)}, "D205"),
        ({"labels": np.zeros((4, 1), int)}, "D205"),
        ({"labels": np.array([0.0, 1, 2, 3])}, "D204"),
        ({"labels": np.array([0, 1, -1, 3])}, "D208"),
        ({"images": np.zeros((4, 3, 2), np.uint8)}, "D205"),
        ({"images": np.zeros((4, 3, 2, 2), complex)}, "D204"),
        ({"images": np.full((4, 3, 2, 2), np.nan)}, "D208"),
        ({"images": np.full((4, 3, 2, 2), np.inf)}, "D208"),
        ({"images": np.zeros((4, 0, 2, 2), np.uint8)}, "D205"),
        ({"images": np.array([[object()]], object)}, "D204"),
        ({"labels": np.array(["a", "b", "c", "d"])}, "D204"),
    ],
)
def test_bad_arrays(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    arrays = {k: v for k, v in {**good(), **change}.items() if v is not None}
    with pytest.raises(AccelsimError) as error:
        load_data(write(tmp_path / "e.npz", **arrays))
    assert code in codes(error)
    assert all(m.hint and m.location is not None for m in error.value.mistakes)


@pytest.mark.parametrize(
    "arguments",
    [
        {"divide_by": 0.0},
        {"divide_by": float("nan")},
        {"mean": (0.1, 0.2)},
        {"mean": ()},
        {"std": (1.0, 0.0, 1.0)},
        {"std": (float("inf"),)},
        {"mean": (1e38,)},
        {"mean": (float("nan"),)},
        {"std": (1e308,)},
        {"std": (1e-45,)},
        {"divide_by": 1e-45},
        {"divide_by": 1e300},
        {"limit": 0},
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(AccelsimError) as error:
        load_data(write(tmp_path / "e.npz", **good()), **arguments)
    assert codes(error) == ["D207"]
    assert error.value.mistakes[0].message.startswith(next(iter(arguments)))


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "e.npz", images=np.zeros((4, 3), np.uint8))
    with pytest.raises(AccelsimError) as error:
        load_data(file, divide_by=-1)
    assert sorted(codes(error)) == ["D203", "D205", "D207"]


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(AccelsimError) as error:
        load_data(tmp_path / "none.npz")
    assert codes(error) == ["D201"]
    rng = np.random.default_rng(3)
    for content in (b"", b"PK", b"\x80\x04K\x01.", rng.bytes(500), b"\x93NUMPY"):
        file = tmp_path / "x.npz"
        file.write_bytes(content)
        with pytest.raises(AccelsimError) as error:
            load_data(file)
        assert codes(error) == ["D202"]


def test_truncation_and_flipped_bytes_never_give_a_traceback(tmp_path: Path) -> None:
    whole = write(tmp_path / "e.npz", **good()).read_bytes()
    file = tmp_path / "cut.npz"
    expected = load_data(tmp_path / "e.npz")
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        for content in (whole[:at], bytes(damaged)):
            file.write_bytes(content)
            try:
                found = load_data(file)
            except AccelsimError:
                continue
            else:  # a byte of no consequence, e.g. a timestamp
                assert (found.images == expected.images).all()


def test_sizes_are_bounded_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "bomb.npz", images=np.zeros((64, 3, 64, 64), np.uint8),
                 labels=np.zeros(64, int))  # fmt: skip
    assert file.stat().st_size < 10_000
    monkeypatch.setattr(data_module, "MAX_BYTES", 500_000)
    monkeypatch.setattr(np.lib.format, "read_array", None)  # must not be reached
    with pytest.raises(AccelsimError) as error:
        load_data(file)
    assert set(codes(error)) == {"D206"}


def test_a_header_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 3, 32, 32)}
    )
    file = tmp_path / "lie.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", buffer.getvalue() + b"123")
    with pytest.raises(AccelsimError) as error:
        load_data(file)
    assert codes(error) == ["D202"]


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def archive(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return path


SHADOWS = {
    "plain bytes": ("images", b"hello"),
    "another array": ("images", npy(np.zeros((2, 1, 2, 2), np.uint8))),
    "labels": ("labels", npy(np.zeros(4, int))),
}


@pytest.mark.parametrize("shadow", SHADOWS)
def test_a_member_that_numpy_would_prefer_is_refused(tmp_path: Path, shadow: str) -> None:
    whole = good()
    members = [(f"{name}.npy", npy(array)) for name, array in whole.items()]
    file = archive(tmp_path / "e.npz", *members, SHADOWS[shadow])
    with pytest.raises(AccelsimError) as error:
        load_data(file)
    assert codes(error) == ["D202"]
    assert "is there twice" in error.value.mistakes[0].message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    members = [(f"{name}.npy", npy(array)) for name, array in good().items()]
    file = archive(tmp_path / "e.npz", *members, ("images.npy", npy(np.zeros((4, 3, 8, 8)))))
    with pytest.raises(AccelsimError) as error:
        load_data(file)
    assert codes(error) == ["D202"]


def test_a_negative_dimension_is_refused(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -2, 1, 4)}\n"
    images = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"0" * 16
    file = archive(tmp_path / "e.npz", ("images.npy", images), ("labels.npy", npy(np.arange(4))))
    with pytest.raises(AccelsimError) as error:
        load_data(file)
    assert codes(error) == ["D202"]


@pytest.mark.filterwarnings("error")
def test_values_beyond_float32_and_int64_are_told_apart_from_the_constants(tmp_path: Path) -> None:
    whole = good()
    whole["images"] = whole["images"] * 1e300
    whole["labels"] = whole["labels"] + np.uint64(2**63)
    with pytest.raises(AccelsimError) as error:
        load_data(write(tmp_path / "e.npz", **whole))
    assert codes(error) == ["D208", "D208"]
    assert "label 9223372036854775811 is too large" in error.value.mistakes[1].message


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(AccelsimError) as error:
        load_data(tmp_path / ("a" * 5000))
    assert codes(error) == ["D202"]
