"""The compute array in the accelerator file: pydantic models, used at this boundary only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, field_validator
from pydantic_core import CoreSchema
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.fields import Cycles, OneOf, Part, about, problem
from accelsim.dataflow.gemm import SPATIAL, overlaps_of

OVERLAPS: dict[str, tuple[str, ...]] = {
    "ws": ("none", "preload", "full", "column"),
    "os": ("none", "full", "column"),
    "is": ("none", "preload", "full", "column"),
    "rs": ("none",),
    "dot": ("full",),
}
"""Dataflow -> what of the next tile it can hide behind the current one."""


def _known(overlaps: list[tuple[str, ...]]) -> str:
    """Hint: what is in all of these."""
    common = [name for name in overlaps[0] if all(name in others for others in overlaps[1:])]
    return ("they all have: " if len(overlaps) > 1 else "it has: ") + ", ".join(common)


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


def _names(value: object) -> object:
    """A name, or a list of them: a list of one is the name."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise problem("C003", f"must be a name or a list of names, not {str(value)[:40]!r}")
    if not value:
        raise problem("C009", "names no dataflow", "e.g. ws, or [ws, os]")
    return value[0] if len(value) == 1 else list(value)


@dataclass(frozen=True)
class SomeOf(OneOf):
    """Annotation of a field with one name, or with a list of those that a machine chooses from."""

    def check(self, value: str | list[str]) -> str | list[str]:  # type: ignore[override]
        """The value itself, if all names are known and differ."""
        if isinstance(value, str):
            return super().check(value)
        for name in value:
            super().check(name)
            if value.count(name) > 1:
                raise problem("C009", f"names {self.what} '{name}' twice")
        return value

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = {"type": "string", "enum": list(self.known)}
        several = {"type": "array", "items": name, "minItems": 1, "uniqueItems": True}
        return {"anyOf": [name, several]}


def _flows(info: ValidationInfo) -> tuple[str, ...]:
    """The array's dataflows; none if they are not valid."""
    named = info.data.get("dataflow")
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else tuple(named)


def _first(info: ValidationInfo, *wrong: str) -> str | None:
    """The first of the array's dataflows that is one of these."""
    return next((flow for flow in _flows(info) if flow in wrong), None)


class ArrayPart(Part):
    """The systolic array."""

    rows: Annotated[Side, about("rows of processing elements", unit="PEs")]
    cols: Annotated[Side, about("columns of processing elements", unit="PEs")]
    dataflow: Annotated[
        str | list[str],
        SomeOf(tuple(OVERLAPS), "dataflow"),
        BeforeValidator(_names, json_schema_input_type=str | list[str]),
        about(
            "what stays in the PEs: ws weights, os outputs, is inputs, rs rows of filters and "
            "inputs; dot: an array of dot products (rows: input channels, cols: units side by "
            "side); a list of ws, os, is: the mapping chooses for every operator"
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

    @field_validator("dataflow")
    @classmethod
    def _can_share_an_array(cls, named: str | list[str]) -> str | list[str]:
        alone = [flow for flow in named if flow not in SPATIAL] if isinstance(named, list) else []
        if alone:
            message = f"dataflow '{alone[0]}' shares its array with no other"
            raise problem("C009", message, "one name, or a list of " + ", ".join(SPATIAL))
        return named

    @field_validator("overlap")
    @classmethod
    def _dataflow_has_overlap(cls, overlap: str, info: ValidationInfo) -> str:
        for flow in _flows(info):
            if overlap not in OVERLAPS[flow]:
                message = f"dataflow '{flow}' has no overlap '{overlap}'"
                raise problem("C009", message, _known([OVERLAPS[f] for f in _flows(info)]))
        return overlap

    @field_validator("microarchitecture")
    @classmethod
    def _mesh_runs(cls, name: str, info: ValidationInfo) -> str:
        overlap, flows = info.data.get("overlap"), _flows(info)
        if name == "generic" or overlap is None:
            return name
        for flow in flows:
            if flow not in SPATIAL:
                raise problem("C009", f"the mesh '{name}' has no dataflow '{flow}'", "os, ws, is")
            if overlap not in overlaps_of(flow, name):
                message = f"the mesh '{name}' has no overlap '{overlap}' for dataflow '{flow}'"
                raise problem("C009", message, _known([overlaps_of(f, name) for f in flows]))
        return name

    @field_validator("mac_input")
    @classmethod
    def _registers_matter(cls, name: str, info: ValidationInfo) -> str:
        flow = _first(info, "rs", "dot")
        if name == "registered" and flow:
            raise problem("C009", f"dataflow '{flow}' has no registered MAC input")
        return name

    @field_validator("skip_idle")
    @classmethod
    def _columns_idle(cls, skip: bool, info: ValidationInfo) -> bool:
        if skip and _first(info, "dot"):
            raise problem("C009", "dataflow 'dot' has no idle columns to wait for")
        return skip

    @field_validator("packing")
    @classmethod
    def _products_pack(cls, packing: bool, info: ValidationInfo) -> bool:
        flow = _first(info, "rs", "dot")
        if packing and flow:
            raise problem("C009", f"dataflow '{flow}' does not pack products", "ws, os or is")
        if packing and info.data.get("sparsity"):
            raise problem("C009", "packing and sparsity do not go together")
        return packing

    @field_validator("spads")
    @classmethod
    def _rows_have_spads(cls, spads: SpadsPart | None, info: ValidationInfo) -> SpadsPart | None:
        flow = _first(info, *(flow for flow in OVERLAPS if flow != "rs"))
        if spads is not None and flow:
            raise problem("C009", f"dataflow '{flow}' has no spads", "rs")
        return spads

    @field_validator("dot")
    @classmethod
    def _units_divide(cls, dot: DotPart | None, info: ValidationInfo) -> DotPart | None:
        flows, cols = _flows(info), info.data.get("cols")
        if dot is None or not flows or cols is None:
            return dot
        if flows != ("dot",):
            raise problem("C009", f"dataflow '{flows[0]}' has no dot products", "dataflow: dot")
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
        flow = _first(info, *(flow for flow in OVERLAPS if flow != "ws"))
        if flow:
            message = f"dataflow '{flow}' does not skip zero weights"
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
