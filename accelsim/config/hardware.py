"""The accelerator file: pydantic models of the machine's parts, used at this boundary only."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.array import ArrayPart, Side
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
from accelsim.config.levels import MOST_LEVELS, LevelPart, power_of_two, require_fitting
from accelsim.errors import suggest


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

    fuses: Annotated[
        bool, about("requantisation and activation behind the array take one pass together")
    ] = False

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
    weight_scratchpad: Annotated[str, about("of a split scratchpad, e.g. secded, parity")] = "none"
    accumulators: Annotated[str, about("e.g. secded, parity")] = "none"
    array: Annotated[str, about("the systolic array, e.g. hardened, dmr")] = "none"
    vector: Annotated[str, about("vector unit, e.g. hardened, dmr")] = "none"
    control: Annotated[str, about("control flip-flops, e.g. hardened, tmr")] = "none"
    dram: Annotated[str, about("DRAM content, e.g. secded")] = "none"

    @field_validator("*")
    @classmethod
    def _applies(cls, name: str, info: ValidationInfo) -> str:
        return require_fitting(name, info.field_name or "")


class AcceleratorPart(Part):
    """One core with its memories (a file of its own has ``schema: accelsim/accelerator/v1``)."""

    name: Annotated[Text, about("shown in reports")]
    description: Annotated[str, about("free text")] = ""
    clock: Annotated[Hertz, about("every cycle count counts this clock", unit="Hz")]
    technology: Annotated[Nanometres, about("node of the logic, e.g. '45 nm'", unit="nm")]
    array: Annotated[ArrayPart, about("the systolic array")]
    vector: Annotated[VectorPart, about("the element-wise engine")]
    scratchpad: Annotated[ScratchpadPart, about("the software-managed SRAM")]
    weight_scratchpad: Annotated[
        SramPart | None,
        about("splits the scratchpad: an SRAM for weights and biases alone; left out: one for all"),
    ] = None
    accumulators: Annotated[AccumulatorsPart, about("the SRAM for partial sums")]
    dram: Annotated[DramPart, about("the off-chip memory")]
    dma: Annotated[DmaPart, about("the copy engines")] = DmaPart()
    weight_memory: Annotated[
        DramPart | None, about("backing memory of weights and biases; left out: the dram")
    ] = None
    levels: Annotated[
        list[LevelPart],
        Field(max_length=MOST_LEVELS),
        about("memories between scratchpad and backing memories, the nearest one first"),
    ] = Field(default_factory=list)
    compression: Annotated[
        CompressionPart | None, about("weights stored compressed; left out: as they are")
    ] = None
    cores: Annotated[
        int, Field(ge=1, le=256), about("equal cores that share the backing memories", unit="cores")
    ] = 1
    energy: Annotated[EnergyPart, about("where energy figures come from")] = EnergyPart()
    control_flipflops: Annotated[ControlPart, about("control logic by block")] = ControlPart()
    protection: Annotated[ProtectionPart, about("safety mechanism by structure")] = ProtectionPart()

    @field_validator("accumulators")
    @classmethod
    def _sums_fit(cls, part: AccumulatorsPart, info: ValidationInfo) -> AccumulatorsPart:
        array = info.data.get("array")
        if array is not None:
            size = -(-array.accumulator_bits // 8)
            if part.size < 2 * size:
                message = f"{part.size} bytes hold no two sums of {size} bytes, one in each half"
                raise problem("C009", message, f"size: {2 * size}, or much more")
        return part

    @field_validator("protection")
    @classmethod
    def _protects_what_is_there(cls, part: ProtectionPart, info: ValidationInfo) -> ProtectionPart:
        split = info.data.get("weight_scratchpad", ...) is not None  # absent: wrong in itself
        if part.weight_scratchpad != "none" and not split:
            message = "there is no weight_scratchpad to protect: the scratchpad is not split"
            raise problem("C009", message, "scratchpad: " + part.weight_scratchpad)
        return part

    @field_validator("dram")
    @classmethod
    def _refreshes_end(cls, part: DramPart, info: ValidationInfo) -> DramPart:
        clock = info.data.get("clock")
        if part.model == "banked" and clock is not None:
            from accelsim.arch.dram_kinds import KINDS, in_cycles

            kind = KINDS[part.kind.upper()]
            stopped = in_cycles(kind.t_rfc, clock) + in_cycles(kind.t_rcd, clock)
            if kind.t_rfc and in_cycles(kind.t_refi, clock) < 4 * stopped:
                message = f"a clock of {clock} Hz is too slow for {part.kind}'s delays in cycles"
                raise problem("C009", message, "model: bandwidth, or a faster clock")
        return part

    @field_validator("levels")
    @classmethod
    def _levels_differ(cls, levels: list[LevelPart]) -> list[LevelPart]:
        names = [level.name for level in levels]
        for name in names:
            if names.count(name) > 1:
                raise problem("C009", f"two levels are called '{name}'", "names of their own")
        return levels

    @field_validator("cores")
    @classmethod
    def _levels_of_one_core(cls, cores: int, info: ValidationInfo) -> int:
        if cores > 1 and info.data.get("levels"):
            message = f"memory levels belong to one core, there are {cores}"
            raise problem("C009", message, "cores: 1, or leave levels out")
        return cores

    @field_validator("weight_memory")
    @classmethod
    def _weights_stream(cls, part: DramPart | None) -> DramPart | None:
        if part is not None and part.model != "bandwidth":
            message = f"the weight memory has no model '{part.model}'"
            raise problem("C009", message, "model: bandwidth (the dram can be banked)")
        return part
