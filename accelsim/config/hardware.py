"""The accelerator file: pydantic models of the machine, and of its parts that have no module of
their own (as array, memories, levels and energy do), used at this boundary only."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.array import ArrayPart, Side
from accelsim.config.energy import EnergyPart
from accelsim.config.fields import Amount, Cycles, Hertz, Nanometres, Part, Text, about, problem
from accelsim.config.levels import MOST_LEVELS, LevelPart, require_fitting
from accelsim.config.memories import (
    AccumulatorsPart,
    CompressionPart,
    DmaPart,
    DramPart,
    ScratchpadPart,
    SramPart,
)
from accelsim.errors import suggest

SLOWEST_HZ = 1000
"""No accelerator has a slower clock: a smaller number lacks its unit."""


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

    @field_validator("clock")
    @classmethod
    def _has_a_unit(cls, clock: int) -> int:
        if clock < SLOWEST_HZ:
            raise problem("C004", f"a clock of {clock} Hz; a unit seems to be missing", "'800 MHz'")
        return clock

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
