"""The compute array in the accelerator file: pydantic models, used at this boundary only."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.fields import Cycles, OneOf, Part, about, problem

OVERLAPS: dict[str, tuple[str, ...]] = {
    "ws": ("none", "preload", "full", "column"),
    "os": ("none", "full", "column"),
    "is": ("none", "preload", "full", "column"),
    "rs": ("none",),
    "dot": ("full",),
}
"""Dataflow -> what of the next tile it can hide behind the current one."""

Bits = Annotated[int, Field(ge=1, le=64)]
Side = Annotated[int, Field(ge=1, le=16_384)]


Words = Annotated[int, Field(ge=1, le=65_536)]


class SpadsPart(Part):
    """Registers of a row-stationary PE, in words, and words per cycle of each bus."""

    ifmap_words: Annotated[Words, about("input row segment in a PE", unit="words")] = 12
    filter_words: Annotated[Words, about("filter rows in a PE", unit="words")] = 224
    psum_words: Annotated[Words, about("partial sums in a PE", unit="words")] = 24
    ifmap_bus_words: Annotated[Words, about("input words per cycle", unit="words")] = 1
    filter_bus_words: Annotated[Words, about("filter words per cycle", unit="words")] = 4
    psum_bus_words: Annotated[Words, about("partial sums per cycle", unit="words")] = 4


def _pair(value: object) -> object:
    """YAML has lists where the field is a tuple."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise problem("C003", f"must be a list of two whole numbers, not {str(value)[:40]!r}")
    return tuple(value)


Positions = Annotated[int, Field(ge=1, le=256)]


class DotPart(Part):
    """Weights and inputs of an array of dot products."""

    positions: Annotated[
        tuple[Positions, Positions],
        BeforeValidator(_pair, json_schema_input_type=list[int]),
        about("[rows, columns] of outputs at once, with the same weights; they share the cols"),
    ] = (1, 1)
    burst: Annotated[
        int, Field(ge=1, le=256), about("cycles of work in a set of weights", unit="cycles")
    ] = 1
    set_cycles: Annotated[
        int, Field(ge=1, le=65_536), about("from one set of weights to the next", unit="cycles")
    ] = 1
    depthwise: Annotated[
        bool, about("units can work on a channel each; else one group after the other")
    ] = True
    input_buffer: Annotated[
        bool, about("inputs leave the scratchpad once per tile, for an SRAM inside the array")
    ] = False


class ArrayPart(Part):
    """The systolic array."""

    rows: Annotated[Side, about("rows of processing elements", unit="PEs")]
    cols: Annotated[Side, about("columns of processing elements", unit="PEs")]
    dataflow: Annotated[
        str,
        OneOf(tuple(OVERLAPS), "dataflow"),
        about(
            "what stays in the PEs: ws weights, os outputs, is inputs, rs rows of filters and "
            "inputs; dot: an array of dot products (rows: input channels, cols: units side by side)"
        ),
    ] = "ws"
    overlap: Annotated[
        str,
        OneOf(("none", "preload", "full", "column"), "overlap"),
        about(
            "what of the next tile hides behind the current one (none everywhere; ws and is: "
            "preload, full, column; os: full, column)"
        ),
    ] = Field("full", validate_default=True)
    mac_input: Annotated[
        str,
        OneOf(("arriving", "registered"), "MAC input"),
        about("the operand a MAC reads: the one arriving at the PE, or the one in its register"),
    ] = "arriving"
    skip_idle: Annotated[bool, about("do not wait for columns that a tile leaves idle")] = False
    microarchitecture: Annotated[
        str,
        OneOf(("generic", "gemmini"), "micro-architecture"),
        about("how PEs are built: generic, or the mesh of the Gemmini generator (ws, os)"),
    ] = "generic"
    sparsity: Annotated[
        tuple[int, int] | None,
        BeforeValidator(_pair, json_schema_input_type=list[int]),
        about("[N, M]: at most N non-zero weights in M; only those are stored and multiplied (ws)"),
    ] = None
    packing: Annotated[
        bool, about("small independent products (groups, heads) share the array side by side")
    ] = False
    startup_cycles: Annotated[Cycles, about("charged once per array task", unit="cycles")] = 0
    spads: Annotated[SpadsPart | None, about("rs: registers of a PE and the array's buses")] = None
    dot: Annotated[DotPart | None, about("dot: how weights and inputs reach the units")] = None
    operand_bits: Annotated[Bits, about("width of an activation operand", unit="bit")] = 8
    weight_bits: Annotated[Bits, about("width of a weight", unit="bit")] = 8
    accumulator_bits: Annotated[Bits, about("width of a partial sum", unit="bit")] = Field(
        32, validate_default=True
    )

    @field_validator("overlap")
    @classmethod
    def _dataflow_has_overlap(cls, overlap: str, info: ValidationInfo) -> str:
        known = OVERLAPS.get(info.data.get("dataflow", ""))
        if known and overlap not in known:
            message = f"dataflow '{info.data['dataflow']}' has no overlap '{overlap}'"
            raise problem("C009", message, "it has: " + ", ".join(known))
        return overlap

    @field_validator("microarchitecture")
    @classmethod
    def _mesh_runs(cls, name: str, info: ValidationInfo) -> str:
        dataflow, overlap = info.data.get("dataflow"), info.data.get("overlap")
        if name == "generic" or dataflow is None or overlap is None:
            return name
        from accelsim.dataflow.gemm import overlaps_of

        if dataflow not in ("os", "ws", "is"):
            raise problem("C009", f"the mesh '{name}' has no dataflow '{dataflow}'", "os, ws, is")
        known = overlaps_of(dataflow, name)
        if overlap not in known:
            message = f"the mesh '{name}' has no overlap '{overlap}' for dataflow '{dataflow}'"
            raise problem("C009", message, "it has: " + ", ".join(known))
        return name

    @field_validator("mac_input")
    @classmethod
    def _registers_matter(cls, name: str, info: ValidationInfo) -> str:
        dataflow = info.data.get("dataflow")
        if name == "registered" and dataflow in ("rs", "dot"):
            raise problem("C009", f"dataflow '{dataflow}' has no registered MAC input")
        return name

    @field_validator("skip_idle")
    @classmethod
    def _columns_idle(cls, skip: bool, info: ValidationInfo) -> bool:
        if skip and info.data.get("dataflow") == "dot":
            raise problem("C009", "dataflow 'dot' has no idle columns to wait for")
        return skip

    @field_validator("packing")
    @classmethod
    def _products_pack(cls, packing: bool, info: ValidationInfo) -> bool:
        dataflow = info.data.get("dataflow")
        if packing and dataflow in ("rs", "dot"):
            raise problem("C009", f"dataflow '{dataflow}' does not pack products", "ws, os or is")
        if packing and info.data.get("sparsity"):
            raise problem("C009", "packing and sparsity do not go together")
        return packing

    @field_validator("spads")
    @classmethod
    def _rows_have_spads(cls, spads: SpadsPart | None, info: ValidationInfo) -> SpadsPart | None:
        if spads is not None and info.data.get("dataflow") not in (None, "rs"):
            raise problem("C009", f"dataflow '{info.data['dataflow']}' has no spads", "rs")
        return spads

    @field_validator("dot")
    @classmethod
    def _units_divide(cls, dot: DotPart | None, info: ValidationInfo) -> DotPart | None:
        dataflow, cols = info.data.get("dataflow"), info.data.get("cols")
        if dot is None or dataflow is None or cols is None:
            return dot
        if dataflow != "dot":
            raise problem("C009", f"dataflow '{dataflow}' has no dot products", "dataflow: dot")
        if cols % (dot.positions[0] * dot.positions[1]):
            message = f"{cols} units do not divide into positions {list(dot.positions)}"
            raise problem("C009", message)
        return dot

    @field_validator("sparsity")
    @classmethod
    def _is_structured(
        cls, pair: tuple[int, int] | None, info: ValidationInfo
    ) -> tuple[int, int] | None:
        if pair is None:
            return None
        if not 1 <= pair[0] <= pair[1] <= 64:
            message = f"sparsity {list(pair)}: N of M needs 1 <= N <= M <= 64"
            raise problem("C004", message, "e.g. [2, 4]")
        if info.data.get("dataflow", "ws") != "ws":
            message = f"dataflow '{info.data['dataflow']}' does not skip zero weights"
            raise problem("C009", message, "dataflow: ws")
        if info.data.get("microarchitecture") == "gemmini":
            raise problem("C009", "the mesh 'gemmini' does not skip zero weights", "generic")
        return pair

    @field_validator("accumulator_bits")
    @classmethod
    def _holds_a_product(cls, bits: int, info: ValidationInfo) -> int:
        product = info.data.get("operand_bits", 0) + info.data.get("weight_bits", 0)
        if bits < product:
            message = f"{bits} accumulator bits cannot hold one product of {product} bits"
            hint = f"use {product} or more" if product <= 64 else "narrower operands or weights"
            raise problem("C009", message, hint)
        return bits
