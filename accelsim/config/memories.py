"""The memories in the accelerator file, and what moves data between them: pydantic models, used at
this boundary only. Levels between scratchpad and DRAM are in :mod:`accelsim.config.levels`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.fields import (
    Bytes,
    BytesPerSecond,
    Cycles,
    Exact,
    OneOf,
    Part,
    about,
    problem,
)
from accelsim.config.levels import power_of_two
from accelsim.errors import suggest

MOST_LINE = 4096
"""Bytes of a line in a bank with ports of its own."""


class SramPart(Part):
    """A software-managed SRAM: the weights' half of a split scratchpad."""

    size: Annotated[Bytes, about("capacity", unit="B")]
    alignment: Annotated[
        Bytes, AfterValidator(power_of_two), about("of every placed buffer", unit="B")
    ] = 16
    width: Annotated[
        Bytes, about("of a port: bytes per cycle, and what SRAM energy is counted in", unit="B")
    ] = 32
    ports: Annotated[
        int,
        Field(ge=1, le=3),
        about(
            "3: array, vector unit and DMA have one each; fewer: fixed time slots, each gets a "
            "third of what there is",
            unit="ports",
        ),
    ] = 3
    buffering: Annotated[
        int, Field(ge=1, le=16), about("slots of a tile buffer; 2: double buffering", unit="slots")
    ] = 2
    banks: Annotated[
        int,
        Field(ge=1, le=1024),
        about(
            "equal macros, one of which an access opens: energy and area; time with bank_ports",
            unit="banks",
        ),
    ] = 1

    @field_validator("width")
    @classmethod
    def _port_within(cls, width: int, info: ValidationInfo) -> int:
        size = info.data.get("size")
        if size is not None and width > size:
            message = f"a port of {width} bytes is wider than the scratchpad, which has {size}"
            raise problem("C009", message, f"width: at most {size}")
        return width

    @field_validator("banks")
    @classmethod
    def _banks_divide(cls, banks: int, info: ValidationInfo) -> int:
        size = info.data.get("size", 0)
        if size % banks:
            raise problem("C009", f"{size} bytes do not divide into {banks} banks")
        return banks

    bank_ports: Annotated[
        int | None,
        Field(ge=1, le=2),
        about(
            "of each bank, in place of ports: bank conflicts take time; left out: they take none",
            unit="ports",
        ),
    ] = None

    @field_validator("bank_ports")
    @classmethod
    def _banks_have_lines(cls, ports: int | None, info: ValidationInfo) -> int | None:
        if ports is None:
            return ports
        shared = info.data.get("ports", 3)
        if shared != 3:
            message = f"the scratchpad as a whole has ports: {shared}, so its banks have none"
            raise problem("C009", message, "either ports or bank_ports")
        width, alignment = info.data.get("width", 1), info.data.get("alignment", 1)
        if width > MOST_LINE:
            raise problem("C009", f"lines of {width} bytes: at most {MOST_LINE} with bank_ports")
        if alignment % width:
            message = f"buffers aligned to {alignment} bytes begin within a line of {width}"
            hint = f"alignment: {1 << (width - 1).bit_length()}"
            if width & (width - 1):
                hint = "width: a power of two, and an alignment of a multiple of it"
            raise problem("C009", message, hint)
        return ports


class ScratchpadPart(SramPart):
    """The software-managed SRAM for activations, weights and stream buffers."""

    cacheless: Annotated[
        bool, about("stream buffers only: nothing stays from tile to tile or operator to operator")
    ] = False

    layout: Annotated[
        str | None,
        OneOf(("nhwc", "nchw"), "layout"),
        about("with bank_ports: how feature maps lie in the banks; left out: nhwc"),
    ] = None

    @field_validator("layout")
    @classmethod
    def _layout_matters(cls, layout: str | None, info: ValidationInfo) -> str | None:
        if layout is not None and info.data.get("bank_ports", 1) is None:
            message = "layout without bank_ports has no effect"
            raise problem("C009", message, "bank_ports: 1, or 2")
        return layout


class AccumulatorsPart(Part):
    """The SRAM for partial sums."""

    size: Annotated[Bytes, about("capacity; half of it is filled while the other drains", unit="B")]
    width: Annotated[
        Bytes | None,
        about("of each of its two ports, per cycle; left out: one row of the array", unit="B"),
    ] = None


class DramPart(Part):
    """The off-chip memory."""

    kind: Annotated[
        str, Field(min_length=1, max_length=60), about("e.g. LPDDR4: selects its energy")
    ]
    bandwidth: Annotated[BytesPerSecond, about("shared by all DMA channels", unit="B/s")]
    latency_cycles: Annotated[Cycles, about("charged once per transfer", unit="cycles")] = 0
    model: Annotated[
        str,
        OneOf(("bandwidth", "banked"), "memory model"),
        about("bandwidth: bytes / rate; banked: row buffers and refresh as well"),
    ] = "bandwidth"

    @field_validator("model")
    @classmethod
    def _rows_known(cls, model: str, info: ValidationInfo) -> str:
        from accelsim.arch.dram_kinds import KINDS

        kind = str(info.data.get("kind", "")).upper()
        if model == "banked" and kind and kind not in KINDS:
            hint = "model: bandwidth, or a kind of " + ", ".join(sorted(KINDS))
            raise problem("C009", f"no row timing is known for {kind}: not banked", hint)
        return model

    @field_validator("kind")
    @classmethod
    def _kind_known(cls, kind: str) -> str:
        from accelsim.cost.tables import DRAM

        if kind.upper() not in DRAM:
            raise problem(
                "C005", f"no energy is known for DRAM '{kind}'", suggest(kind, list(DRAM))
            )
        return kind


class DmaPart(Part):
    """The copy engines."""

    channels: Annotated[int, Field(ge=1, le=64), about("transfers in flight", unit="channels")] = 2
    setup_cycles: Annotated[Cycles, about("charged once per transfer", unit="cycles")] = 0


class CompressionPart(Part):
    """Weights stored compressed, decoded on the way in."""

    ratio: Annotated[Exact, Field(gt=0, le=1), about("stored bytes / bytes", unit="1")]
    decode_bytes_per_cycle: Annotated[
        int, Field(ge=1, le=65_536), about("decoded bytes per cycle", unit="B/cycle")
    ]
