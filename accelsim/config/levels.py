"""Memory levels between the scratchpad and the backing memories: pydantic model of a level."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.arch.parts import RESERVED
from accelsim.config.fields import Bytes, BytesPerSecond, Cycles, Exact, Part, about, problem
from accelsim.errors import AccelsimError, suggest

MOST_LEVELS = 8

_NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")
_OTHERS = re.compile(r"(core|dma)[0-9]*")


def power_of_two(value: int) -> int:
    """``value`` if it is one; else the problem C004."""
    if value & (value - 1):
        raise problem("C004", f"must be a power of two, is {value}")
    return value


def require_fitting(name: str, structure: str, called: str = "") -> str:
    """``name`` if it is a protection, or several joined, that ``structure`` (``called`` so in
    messages) can have; else the problems C005 and C009."""
    from accelsim.arch.protection import PROTECTIONS, resolve

    fitting = sorted(n for n, p in PROTECTIONS.items() if structure in p.applies_to)
    for part in name.split("+"):
        known = PROTECTIONS.get(part)
        if known is None:
            hint = suggest(part, fitting)
            raise problem("C005", f"unknown protection '{part}' for {called or structure}", hint)
        if structure not in known.applies_to:
            message = f"protection '{part}' does not apply to {called or structure}"
            raise problem("C009", message, "possible: " + ", ".join(fitting))
    try:
        resolve(name)
    except AccelsimError as error:
        raise problem("C009", error.mistakes[0].message, error.mistakes[0].hint) from None
    return name


class LevelPart(Part):
    """A software-managed SRAM between scratchpad and backing memories, with a port of its own."""

    name: Annotated[str, about("of the level, e.g. l2: in reports, timelines and failure rows")]
    size: Annotated[Bytes, about("capacity", unit="B")]
    width: Annotated[
        Bytes, about("of its port: what its energy and area are counted in", unit="B")
    ] = 32
    bandwidth: Annotated[
        BytesPerSecond | None,
        about("of its port, shared by all DMA channels; left out: its width per cycle", unit="B/s"),
    ] = None
    latency_cycles: Annotated[Cycles, about("charged once per transfer", unit="cycles")] = 0
    alignment: Annotated[
        Bytes, AfterValidator(power_of_two), about("of every tensor in it", unit="B")
    ] = 16
    banks: Annotated[
        int, Field(ge=1, le=1024), about("equal macros: energy and area only", unit="banks")
    ] = 1
    pj_per_byte: Annotated[
        Exact | None,
        about(
            "energy of an access; left out: an SRAM of its size by the energy table", unit="pJ/B"
        ),
    ] = None
    protection: Annotated[str, about("e.g. secded, parity")] = "none"

    @field_validator("name")
    @classmethod
    def _may_be_called_so(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            message = f"'{name}' is no name of a level"
            raise problem("C004", message, "lower-case letters, digits and _, e.g. l2")
        if name in RESERVED or _OTHERS.fullmatch(name):
            message = f"another part of the machine is called '{name}'"
            raise problem("C009", message, "another name, e.g. l2")
        return name

    @field_validator("banks")
    @classmethod
    def _banks_divide(cls, banks: int, info: ValidationInfo) -> int:
        size = info.data.get("size", 0)
        if size % banks:
            raise problem("C009", f"{size} bytes do not divide into {banks} banks")
        return banks

    @field_validator("protection")
    @classmethod
    def _protects_memories(cls, name: str) -> str:
        return require_fitting(name, "scratchpad", "a level")
