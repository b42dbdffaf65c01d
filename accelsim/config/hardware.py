"""The accelerator file: pydantic models of the machine's parts, used at this boundary only."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.fields import (
    Amount,
    Bytes,
    BytesPerSecond,
    Cycles,
    Exact,
    File,
    Hertz,
    Nanometres,
    OneOf,
    Part,
    Text,
    about,
    problem,
)
from accelsim.errors import AccelsimError, suggest

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
    return tuple(value) if isinstance(value, list) else value


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
            "inputs; dot: an array of dot products (rows: input channels, cols: output channels)"
        ),
    ] = "ws"
    overlap: Annotated[
        str,
        OneOf(("none", "preload", "full", "column"), "overlap"),
        about(
            "what of the next tile hides behind the current one (none everywhere; ws and is: "
            "preload, full, column; os: full, column)"
        ),
    ] = "full"
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
    accumulator_bits: Annotated[Bits, about("width of a partial sum", unit="bit")] = 32

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
        return pair

    @field_validator("accumulator_bits")
    @classmethod
    def _holds_a_product(cls, bits: int, info: ValidationInfo) -> int:
        product = info.data.get("operand_bits", 0) + info.data.get("weight_bits", 0)
        if bits < product:
            message = f"{bits} accumulator bits cannot hold one product of {product} bits"
            raise problem("C009", message, f"use {product} or more")
        return bits


class VectorPart(Part):
    """The element-wise engine."""

    lanes: Annotated[Side, about("elements processed at once", unit="lanes")]
    startup_cycles: Annotated[Cycles, about("charged once per vector task", unit="cycles")] = 0
    cycles_per_op: Annotated[
        dict[str, Annotated[int, Field(ge=1, le=10**6)]],
        about(
            "operator kind -> cycles per element operation and lane, 1 where absent", unit="cycles"
        ),
    ] = Field(default_factory=dict)

    @field_validator("cycles_per_op")
    @classmethod
    def _kinds_exist(cls, table: dict[str, int]) -> dict[str, int]:
        from accelsim.workload.graph import OpKind

        for kind in table:
            if kind not in list(OpKind):
                raise problem(
                    "C005", f"unknown operator kind '{kind}'", suggest(kind, list(OpKind))
                )
        return table


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise problem("C004", f"must be a power of two, is {value}")
    return value


class ScratchpadPart(Part):
    """The software-managed SRAM for activations, weights and stream buffers."""

    size: Annotated[Bytes, about("capacity", unit="B")]
    alignment: Annotated[
        Bytes, AfterValidator(_power_of_two), about("of every placed buffer", unit="B")
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
        about("equal macros, one of which an access opens: energy and area only", unit="banks"),
    ] = 1

    @field_validator("banks")
    @classmethod
    def _banks_divide(cls, banks: int, info: ValidationInfo) -> int:
        size = info.data.get("size", 0)
        if size % banks:
            raise problem("C009", f"{size} bytes do not divide into {banks} banks")
        return banks


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


class AccelergyPart(Part):
    """A table of your own: the reference tables that Accelergy writes."""

    ert: Annotated[File, about("ERT.yaml, version 0.3 or 0.4: pJ per action")]
    art: Annotated[File | None, about("ART.yaml: um2 per component; left out: estimated")] = None
    node: Annotated[Nanometres, about("of the figures, e.g. '45 nm'", unit="nm")]
    map: Annotated[
        dict[str, str],
        about("our figure -> component.action of the ERT, e.g. scratchpad.read: buffer.read"),
    ] = Field(default_factory=dict)
    bits: Annotated[
        dict[str, Annotated[int, Field(ge=1, le=2**20)]],
        about("memory taken from the ERT -> bits that one of its accesses moves", unit="bit"),
    ] = Field(default_factory=dict)
    areas: Annotated[
        dict[str, list[str]], about("block -> components of the ART that make it up")
    ] = Field(default_factory=dict)


class EnergyPart(Part):
    """Where energy figures come from."""

    table: Annotated[
        str, about("one published table (accelergy: your own, below); sources are never mixed")
    ] = "horowitz_45nm"
    fill_from: Annotated[
        list[str], about("tables that supply what this one lacks, in order; the report says what")
    ] = Field(default_factory=list)
    scale: Annotated[
        bool, about("scale figures of another node to the technology of the accelerator")
    ] = False
    vdd: Annotated[
        float | None,
        Field(ge=0.5, le=1.2),
        about("supply voltage to scale to; left out: the same on both sides", unit="V"),
    ] = None
    clock_gating: Annotated[
        Exact, Field(le=1), about("share of an idle unit's clock energy that is saved", unit="1")
    ] = Field(default=0, validate_default=True)
    leakage_mw_per_mm2: Annotated[Exact, about("static power per area", unit="mW/mm2")] = Field(
        default=0, validate_default=True
    )
    leakage_by_block: Annotated[
        dict[str, Exact],
        about("block (array, vector, scratchpad, ...) -> its own leakage", unit="mW/mm2"),
    ] = Field(default_factory=dict)
    accelergy: Annotated[AccelergyPart | None, about("your own table (with table: accelergy)")] = (
        None
    )

    @field_validator("table")
    @classmethod
    def _table_exists(cls, table: str) -> str:
        from accelsim.cost.accelergy import OWN
        from accelsim.cost.tables import TABLES

        known = (*TABLES, OWN)
        if table not in known:
            raise problem("C005", f"unknown energy table '{table}'", suggest(table, known))
        return table

    @field_validator("fill_from")
    @classmethod
    def _donors_exist(cls, tables: list[str]) -> list[str]:
        from accelsim.cost.tables import TABLES

        for table in tables:
            if table not in TABLES:
                hint = suggest(table, list(TABLES))
                raise problem("C005", f"unknown energy table '{table}'", hint)
        return tables

    @field_validator("vdd")
    @classmethod
    def _voltage_scales(cls, vdd: float | None, info: ValidationInfo) -> float | None:
        if vdd is not None and not info.data.get("scale"):
            raise problem("C009", "vdd without scale has no effect", "scale: true")
        return vdd

    @field_validator("leakage_by_block")
    @classmethod
    def _blocks_exist(cls, leakage: dict[str, Fraction]) -> dict[str, Fraction]:
        from accelsim.cost.accelergy import BLOCKS

        for block in leakage:
            if block not in BLOCKS:
                raise problem("C005", f"unknown block '{block}'", suggest(block, BLOCKS))
        return leakage

    @field_validator("accelergy")
    @classmethod
    def _own_is_chosen(
        cls, part: AccelergyPart | None, info: ValidationInfo
    ) -> AccelergyPart | None:
        table = info.data.get("table")
        if part is not None and table not in (None, "accelergy"):
            message = f"accelergy is given, but the table is '{table}'"
            raise problem("C009", message, "table: accelergy")
        return part


class ControlPart(Part):
    """Flip-flops of control logic, by block: an input, no simulation gives them."""

    array: Annotated[Amount, about("sequencer of the array", unit="flip-flops")] = 0
    dma: Annotated[Amount, about("copy engines", unit="flip-flops")] = 0
    core: Annotated[Amount, about("command decode and everything else", unit="flip-flops")] = 0


class ProtectionPart(Part):
    """Safety mechanism of each structure; names join with '+' (``secded+self_test``)."""

    scratchpad: Annotated[str, about("e.g. secded, parity")] = "none"
    accumulators: Annotated[str, about("e.g. secded, parity")] = "none"
    array: Annotated[str, about("the systolic array, e.g. hardened, dmr")] = "none"
    vector: Annotated[str, about("vector unit, e.g. hardened, dmr")] = "none"
    control: Annotated[str, about("control flip-flops, e.g. hardened, tmr")] = "none"
    dram: Annotated[str, about("DRAM content, e.g. secded")] = "none"

    @field_validator("*")
    @classmethod
    def _applies(cls, name: str, info: ValidationInfo) -> str:
        from accelsim.arch.protection import PROTECTIONS, resolve

        structure = info.field_name or ""
        fitting = sorted(n for n, p in PROTECTIONS.items() if structure in p.applies_to)
        for part in name.split("+"):
            known = PROTECTIONS.get(part)
            if known is None:
                hint = suggest(part, fitting)
                raise problem("C005", f"unknown protection '{part}' for {structure}", hint)
            if structure not in known.applies_to:
                message = f"protection '{part}' does not apply to {structure}"
                raise problem("C009", message, "possible: " + ", ".join(fitting))
        try:
            resolve(name)
        except AccelsimError as error:
            raise problem("C009", error.mistakes[0].message, error.mistakes[0].hint) from None
        return name


class AcceleratorPart(Part):
    """One core with its memories (a file of its own has ``schema: accelsim/accelerator/v1``)."""

    name: Annotated[Text, about("shown in reports")]
    description: Annotated[str, about("free text")] = ""
    clock: Annotated[Hertz, about("every cycle count counts this clock", unit="Hz")]
    technology: Annotated[Nanometres, about("node of the logic, e.g. '45 nm'", unit="nm")]
    array: Annotated[ArrayPart, about("the systolic array")]
    vector: Annotated[VectorPart, about("the element-wise engine")]
    scratchpad: Annotated[ScratchpadPart, about("the software-managed SRAM")]
    accumulators: Annotated[AccumulatorsPart, about("the SRAM for partial sums")]
    dram: Annotated[DramPart, about("the off-chip memory")]
    dma: Annotated[DmaPart, about("the copy engines")] = DmaPart()
    weight_memory: Annotated[
        DramPart | None, about("backing memory of weights and biases; left out: the dram")
    ] = None
    compression: Annotated[
        CompressionPart | None, about("weights stored compressed; left out: as they are")
    ] = None
    cores: Annotated[
        int, Field(ge=1, le=256), about("equal cores that share the backing memories", unit="cores")
    ] = 1
    energy: Annotated[EnergyPart, about("where energy figures come from")] = EnergyPart()
    control_flipflops: Annotated[ControlPart, about("control logic by block")] = ControlPart()
    protection: Annotated[ProtectionPart, about("safety mechanism by structure")] = ProtectionPart()
