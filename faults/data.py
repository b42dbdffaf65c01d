"""Labelled evaluation images from an npz file, checked before memory is taken.

Layout: ``images`` [n, c, h, w], integers or floats (8-bit bytes as a rule), and ``labels`` [n],
integers from 0. A pixel becomes (x / divide_by - mean) / std, per channel, in float32.
"""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 2 * 1024**3
"""Largest array that is read, and largest set of normalised images that is made."""

SMALLEST, LARGEST = 1e-9, 1e9
"""Range of ``divide_by`` and ``std``, and of the size of ``mean``: within it a pixel of any integer
type stays finite and exact to float32's precision on its way through all three."""

_MEMBERS = {"images.npy": "images", "labels.npy": "labels"}
"""Member of the archive -> array. numpy.load would prefer a member called like the array itself."""

UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError, SyntaxError,
    OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError,
)  # fmt: skip
"""What the archive, its codecs and the array header raise for damaged bytes."""


@dataclass(frozen=True)
class EvalSet:
    """Normalised images, float32 [n, c, h, w], and their classes, int64 [n]."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _Header:
    """What a member of the archive says about itself."""

    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def load_data(
    file: str | Path,
    divide_by: float = 1.0,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    limit: int | None = None,
) -> EvalSet:
    """The first ``limit`` images of ``file`` (all without a limit), normalised, with labels.

    ``mean`` and ``std`` have one value, or one per channel. Raises AccelsimError (D2xx) for a file
    that is missing, no npz, damaged, too large, holds pickled objects or lacks an array, and for
    counts, types or values that cannot be: everything that can be told at once is told at once.
    """
    path = Path(file)
    try:
        if not path.is_file():
            hint = "give the path of an npz file with 'images' and 'labels'"
            raise AccelsimError(_fault(path, "D201", "no such file", hint))
        with zipfile.ZipFile(path) as archive:
            headers = _headers(path, archive)
            mistakes = _header_mistakes(path, headers, limit)
            mistakes += _normalisation_mistakes(headers.get("images"), divide_by, mean, std)
            if mistakes:
                raise AccelsimError(mistakes)
            raw, labels = (_array(path, archive, headers[name]) for name in _MEMBERS.values())
    except UNREADABLE as error:
        hint = "write it with numpy.savez(file, images=..., labels=...)"
        raise AccelsimError(_fault(path, "D202", f"not a readable npz ({error})", hint)) from error
    count = len(raw) if limit is None else min(limit, len(raw))
    return _checked(path, _normalise(raw[:count], divide_by, mean, std), labels[:count])


def _fault(path: Path, code: str, message: str, hint: str) -> Mistake:
    return Mistake(code, message, hint, Location(str(path)))


def _headers(path: Path, archive: zipfile.ZipFile) -> dict[str, _Header]:
    """Array name -> header, read from the first bytes of each member; an array that is there twice
    and one whose declared size does not fit its shape are refused."""
    found: dict[str, _Header] = {}
    for info in archive.infolist():
        name = _MEMBERS.get(info.filename)
        if name in found or info.filename in _MEMBERS.values():
            hint = "write it again with numpy.savez(file, images=..., labels=...)"
            array = name or info.filename
            message = f"'{array}' is there twice (a member '{info.filename}' too many)"
            raise AccelsimError(_fault(path, "D202", message, hint))
        if name is not None:
            with archive.open(info) as member:
                found[name] = _header(path, name, info, member)
    return found


def _header(path: Path, name: str, info: zipfile.ZipInfo, member: IO[bytes]) -> _Header:
    try:
        version = np.lib.format.read_magic(member)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(member)
        start = member.tell()
    except UNREADABLE as error:
        hint = "write it with numpy.savez"
        raise AccelsimError(
            _fault(path, "D202", f"'{name}' is not a numpy array ({error})", hint)
        ) from error
    whole = dtype.hasobject or math.prod(shape) * dtype.itemsize + start == info.file_size
    if not whole or any(size < 0 for size in shape):
        hint = "the file is damaged: write it again"
        raise AccelsimError(_fault(path, "D202", f"'{name}' has not the size it declares", hint))
    return _Header(info, tuple(int(n) for n in shape), dtype)


def _header_mistakes(path: Path, headers: dict[str, _Header], limit: int | None) -> list[Mistake]:
    """Everything wrong with names, types, shapes and sizes."""
    found = []
    for name, ndim in (("images", 4), ("labels", 1)):
        header = headers.get(name)
        if header is None:
            hint = "it needs 'images' [n, c, h, w] and 'labels' [n]"
            found.append(_fault(path, "D203", f"no array '{name}'", hint))
            continue
        found += _array_mistakes(path, name, header, ndim)
    images, labels = headers.get("images"), headers.get("labels")
    if images and labels and images.shape and labels.shape and not found:
        found += _count_mistakes(path, images, labels, limit)
    return found


def _array_mistakes(path: Path, name: str, header: _Header, ndim: int) -> list[Mistake]:
    if header.dtype.hasobject:
        hint = "pickled objects are never read: store plain number arrays"
        return [_fault(path, "D204", f"'{name}' holds Python objects", hint)]
    found = []
    allowed = "iu" if name == "labels" else "iuf"
    if header.dtype.kind not in allowed:
        hint = f"convert it to {'integers' if name == 'labels' else 'uint8 or float32'}"
        found.append(_fault(path, "D204", f"'{name}' has type {header.dtype}", hint))
    if len(header.shape) != ndim:
        hint = "images are [n, channels, height, width], labels [n]"
        found.append(_fault(path, "D205", f"'{name}' has shape {list(header.shape)}", hint))
    if math.prod(header.shape) * header.dtype.itemsize > MAX_BYTES:
        hint = "keep fewer images in the file"
        found.append(_fault(path, "D206", f"'{name}' is larger than {MAX_BYTES} bytes", hint))
    return found


def _count_mistakes(
    path: Path, images: _Header, labels: _Header, limit: int | None
) -> list[Mistake]:
    found = []
    if images.shape[0] != labels.shape[0]:
        text = f"{images.shape[0]} images but {labels.shape[0]} labels"
        found.append(_fault(path, "D205", text, "one label per image"))
    if math.prod(images.shape) == 0:
        found.append(_fault(path, "D205", "no images", "the set must hold at least one image"))
    if limit is not None and limit < 1:
        found.append(_fault(path, "D207", f"limit {limit} is below 1", "leave it out to use all"))
    count = images.shape[0] if limit is None else min(limit, images.shape[0])
    if count * math.prod(images.shape[1:]) * 4 > MAX_BYTES:
        text = f"{count} images need more than {MAX_BYTES} bytes as float32"
        found.append(_fault(path, "D206", text, "lower the limit"))
    return found


def _normalisation_mistakes(
    images: _Header | None, divide_by: float, mean: Sequence[float], std: Sequence[float]
) -> list[Mistake]:
    """What is wrong with the constants, whatever the file holds; they have no place in it."""
    found = []
    factor = f"it must be between {SMALLEST:g} and {LARGEST:g}"
    shift = f"it must be between {-LARGEST:g} and {LARGEST:g}"
    if not SMALLEST <= divide_by <= LARGEST:
        message = f"divide_by {divide_by:g} leaves no usable float32 pixels"
        found.append(Mistake("D207", message, f"{factor}, e.g. 255"))
    for name, values, hint in (("mean", mean, shift), ("std", std, factor)):
        low = -LARGEST if name == "mean" else SMALLEST
        bad = [value for value in values if not low <= value <= LARGEST]
        if bad:
            message = f"{name} {bad[0]:g} leaves no usable float32 pixels"
            found.append(Mistake("D207", message, f"{hint}; one number per channel"))
    channels = images.shape[1] if images and len(images.shape) == 4 else None
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != 1 and (not values or (channels and len(values) != channels)):
            text = f"{name} has {len(values)} values, the images {channels} channels"
            found.append(Mistake("D207", text, "give one number, or one per channel"))
    return found


def _array(path: Path, archive: zipfile.ZipFile, header: _Header) -> NDArray[np.generic]:
    """Exactly the member whose header was checked."""
    try:
        with archive.open(header.member) as member:
            found: NDArray[np.generic] = np.lib.format.read_array(member, allow_pickle=False)
    except UNREADABLE as error:
        hint = "the file is damaged: write it again"
        raise AccelsimError(_fault(path, "D202", f"cannot be read ({error})", hint)) from error
    return found


def _normalise(
    raw: NDArray[np.generic], divide_by: float, mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """Channel by channel with float32 operations only, so that results do not depend on blocks."""
    channels = raw.shape[1]
    means = [float(m) for m in mean] * (channels if len(mean) == 1 else 1)
    stds = [float(s) for s in std] * (channels if len(std) == 1 else 1)
    with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32: reported as D208
        images = raw.astype(np.float32)
    images /= np.float32(divide_by)
    images -= np.array(means, np.float32)[:, None, None]
    images /= np.array(stds, np.float32)[:, None, None]
    return images


def _checked(path: Path, images: NDArray[np.float32], labels: NDArray[np.generic]) -> EvalSet:
    found = []
    if not np.isfinite(images).all():
        text = "images hold NaN, infinite values or values beyond float32"
        found.append(_fault(path, "D208", text, "clean the set"))
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        found.append(_fault(path, "D208", f"label {low} is negative", "classes count from 0"))
    if high > np.iinfo(np.int64).max:
        found.append(_fault(path, "D208", f"label {high} is too large", "classes count from 0"))
    if found:
        raise AccelsimError(found)
    kept = cast("NDArray[np.float32]", np.ascontiguousarray(images))
    return EvalSet(kept, labels.astype(np.int64))
