"""The text inside trace files: gzip of JSON, read with suspicion.

Same document, same bytes. Sizes are checked before memory is taken for them. Whatever is wrong with
a file is AccelsimError R501.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import Any, NoReturn

from accelsim.errors import AccelsimError, Mistake

MAX_TEXT_BYTES = 256 * 2**20
"""Limit of the JSON text inside a file."""


def packed(document: dict[str, Any], what: str) -> bytes:
    """``document`` as a file. AccelsimError R502 when ``what`` it holds is too long to be read."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()
    if len(text) > MAX_TEXT_BYTES:
        raise too_long(what)
    stream = io.BytesIO()
    # No name and no time in the gzip header: the bytes depend on the document alone.
    with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as file:
        file.write(text)
    return stream.getvalue()


def too_long(what: str) -> AccelsimError:
    """The error for a trace that no file holds."""
    hint = "simulate a smaller batch, or leave the trace out of the run folder"
    return AccelsimError(Mistake("R502", f"{what} is too long", hint))


def unpacked(data: bytes) -> dict[str, Any]:
    """The document in a file, with its ``schema``, which the caller judges."""
    stream = zlib.decompressobj(wbits=31)
    try:
        text = stream.decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error as error:
        bad(f"it is no gzip file ({error})")
    if len(text) > MAX_TEXT_BYTES:
        bad(f"it unpacks to more than {MAX_TEXT_BYTES} bytes")
    if not stream.eof or stream.unused_data:
        bad("it is cut short or has something behind its end")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        bad(f"it holds no JSON ({type(error).__name__})")
    if not isinstance(document, dict):
        bad("it holds no JSON object")
    return document


def bad(why: str) -> NoReturn:
    """Raise the error for a file that cannot be read."""
    hint = "the file is damaged or no trace of accelsim; run the simulation again"
    raise AccelsimError(Mistake("R501", f"cannot read the trace: {why}", hint))


def items_of(item: object, what: str) -> list[Any]:
    """``item``, which must be a list."""
    if not isinstance(item, list):
        bad(f"{what} must be a list")
    return item


def names_of(item: object, what: str) -> tuple[str, ...]:
    """``item``, which must be a list of names."""
    if not all(isinstance(name, str) for name in items_of(item, what)):
        bad(f"{what} must be names")
    return tuple(items_of(item, what))


def integers_of(item: object) -> tuple[int, ...]:
    """``item``, which must be a list of whole numbers of 64 bits."""
    numbers = items_of(item, "numbers")
    if any(type(number) is not int or not -(2**63) <= number < 2**63 for number in numbers):
        bad("numbers must be whole and fit 64 bits")
    return tuple(numbers)
