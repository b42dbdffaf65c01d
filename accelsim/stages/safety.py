"""Exposure, outcome rates and protections -> FMEDA rows -> SPFM, LFM, PMHF.

After ISO 26262-5 and -11, as public guides give them.

What is measured and what is assumed, block by block:

- scratchpad contents and accumulators: exposure from the trace, P(SDC | live) from the campaign
  (upper confidence bound). The bits are those ever allocated; memory that is never allocated is
  not safety-related and does not count.
- registers of the array: bits from the architecture, exposure = the array's busy share of the
  period (an upper bound of the live windows), P from the stated safe fraction of unmeasured logic.
- control and address flip-flops: an input of the accelerator, always exposed, same safe fraction;
  a hang without a watchdog is dangerous.
- DRAM contents: the stored weights, always exposed, every upset taken as dangerous.
- permanent faults: the die's rate shared out by area, every fault taken as dangerous.
- each protection adds its own hardware, whose faults are latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import faults
from accelsim.arch.parts import Accelerator, SystolicArray
from accelsim.arch.protection import Protection, resolve
from accelsim.config.types import RunConfig, SafetyConfig
from accelsim.cost.area import AreaBreakdown
from accelsim.figures import Simulated, accumulator_bytes_used
from accelsim.sim.exposure import Exposure
from accelsim.sim.summary import busy_cycles
from accelsim.stages.campaign import structure_of
from accelsim.workload.graph import Workload

BITS_PER_MBIT = 1_000_000


@dataclass(frozen=True)
class SafetyInputs:
    """Everything the FMEDA of one run is made of."""

    accelerator: Accelerator
    workload: Workload
    safety: SafetyConfig
    exposures: Sequence[Exposure]
    campaign: faults.CampaignResult
    area: AreaBreakdown
    period_cycles: int
    """Inference period: the makespan when inferences run back to back."""
    array_busy_cycles: int
    scratchpad_bytes: int
    """Allocated part of the scratchpad: the highest address in use."""
    accumulator_bytes: int
    """Allocated part of the accumulator SRAM."""
    confidence: float


@dataclass(frozen=True)
class Assessment:
    """The FMEDA twice: with point estimates, and with every measured probability at its bound."""

    point: faults.Fmeda
    bound: faults.Fmeda


def safety_inputs(
    done: Simulated, config: RunConfig, campaign: faults.CampaignResult
) -> SafetyInputs:
    """Collect what the FMEDA needs from a simulated and injected variant."""
    assert config.safety is not None
    assert config.faults is not None
    period = config.safety.inference_period_s
    clock = done.accelerator.clock_hz
    return SafetyInputs(
        accelerator=done.accelerator,
        workload=done.workload,
        safety=config.safety,
        exposures=done.exposures,
        campaign=campaign,
        area=done.area,
        period_cycles=max(done.trace.cycles, round(period * clock) if period else 0),
        array_busy_cycles=busy_cycles(done.trace)["array"],
        scratchpad_bytes=done.plan.peak_bytes,
        accumulator_bytes=accumulator_bytes_used(done),
        confidence=config.faults.confidence,
    )


def assess(inputs: SafetyInputs) -> Assessment:
    """The FMEDA of a simulated and injected design."""
    rows = [
        *memory_rows(inputs),
        *register_rows(inputs),
        *control_rows(inputs),
        *dram_rows(inputs),
        *permanent_rows(inputs),
        *mechanism_rows(inputs),
    ]
    hours = inputs.safety.mission_hours
    return Assessment(
        point=faults.fmeda([replace(r, p_dangerous=r.p_point) for r in rows], mission_hours=hours),
        bound=faults.fmeda(rows, mission_hours=hours, confidence=inputs.confidence),
    )


def _protection(inputs: SafetyInputs, structure: str) -> Protection:
    return resolve(inputs.accelerator.protection.get(structure, "none"))


def memory_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Transient rows of on-chip SRAM: raw rate split over the contents by their bit-time, so that
    a tensor that stays twice as long has twice the dangerous rate (specs: safety, section 5)."""
    bit_cycles: dict[str, int] = {}
    for e in inputs.exposures:
        name = structure_of(e)
        bit_cycles[name] = bit_cycles.get(name, 0) + e.bit_cycles
    measured = {s.structure: s.sdc for s in inputs.campaign.structures}
    allocated = {
        "scratchpad": 8 * inputs.scratchpad_bytes,
        "accumulators": 8 * inputs.accumulator_bytes,
    }
    rate = inputs.safety.sram_soft
    rows = []
    for name, exposed in bit_cycles.items():
        block = name.split(".")[0]
        if exposed == 0 or name not in measured:
            continue
        total = sum(v for k, v in bit_cycles.items() if k.split(".")[0] == block)
        bits = round(allocated[block] * exposed / total)
        protection = _protection(inputs, block)
        rows.append(
            faults.FmedaRow(
                block=name,
                element="SRAM",
                fault_class=faults.TRANSIENT,
                bits=bits,
                base_fit=rate.value * bits / BITS_PER_MBIT,
                exposure=min(1.0, exposed / (bits * inputs.period_cycles)),
                p_dangerous=measured[name].upper,
                p_point=measured[name].mean,
                evidence="measured",
                mechanism=protection.name,
                coverage=protection.coverage_transient,
                corrected=protection.corrected,
                source=f"{rate.source} [{rate.mark}]; coverage: {protection.source}",
            )
        )
    return rows


def array_registers(array: SystolicArray) -> dict[str, int]:
    """Register bits of the array by purpose, for each dataflow (specs: systolic, sections 1, 3)."""
    pes = array.rows * array.cols
    held = array.weight_bits if array.dataflow == "ws" else array.operand_bits
    moving = array.operand_bits if array.dataflow == "ws" else array.weight_bits
    if array.dataflow == "os":
        registers = {
            "array.operand": pes * (array.operand_bits + array.weight_bits),
            "array.accumulator": pes * array.accumulator_bits,
        }
        if array.overlap in ("full", "column"):
            registers["array.drain"] = pes * array.accumulator_bits
        return registers
    registers = {
        "array.operand": pes * moving,
        "array.held": pes * held,
        "array.partial_sum": pes * array.accumulator_bits,
    }
    if array.overlap in ("full", "column"):
        registers["array.shadow"] = pes * held
    return registers


def _unmeasured(
    inputs: SafetyInputs, block: str, structure: str, bits: int, exposure: float
) -> faults.FmedaRow:
    """A transient row of flip-flops without injection evidence."""
    protection = _protection(inputs, structure)
    rate, safe = inputs.safety.flipflop_soft, inputs.safety.safe_fraction_unmeasured
    return faults.FmedaRow(
        block=block,
        element="flip-flop",
        fault_class=faults.TRANSIENT,
        bits=bits,
        base_fit=rate.value * bits / BITS_PER_MBIT,
        exposure=exposure,
        p_dangerous=1.0 - safe.value,
        p_point=1.0 - safe.value,
        evidence="assumed",
        mechanism=protection.name,
        coverage=protection.coverage_transient,
        corrected=protection.corrected,
        source=f"{rate.source} [{rate.mark}]; safe fraction: {safe.source} [{safe.mark}]; "
        f"coverage: {protection.source}",
    )


def register_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Transient rows of the array's registers, exposed while the array works."""
    busy = inputs.array_busy_cycles / inputs.period_cycles if inputs.period_cycles else 0.0
    registers = array_registers(inputs.accelerator.array)
    return [
        _unmeasured(inputs, block, "array", bits, min(1.0, busy))
        for block, bits in registers.items()
    ]


def control_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Transient rows of control and address logic: never left out of an estimate."""
    return [
        _unmeasured(inputs, f"control.{block}", "control", bits, 1.0)
        for block, bits in inputs.accelerator.control_flipflops.items()
        if bits
    ]


def dram_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Stored weights in DRAM (transient, all dangerous) and the device's permanent faults."""
    protection = _protection(inputs, "dram")
    bits = 8 * inputs.workload.weight_bytes
    soft, hard = inputs.safety.dram_soft, inputs.safety.dram_permanent
    classes = (
        (faults.TRANSIENT, soft, soft.value * bits / BITS_PER_MBIT, protection.coverage_transient),
        (faults.PERMANENT, hard, hard.value, protection.coverage_permanent),
    )
    return [
        faults.FmedaRow(
            block="dram.content",
            element="DRAM",
            fault_class=fault_class,
            bits=bits,
            base_fit=base,
            exposure=1.0,
            p_dangerous=1.0,
            p_point=1.0,
            evidence="assumed",
            mechanism=protection.name,
            coverage=coverage,
            corrected=protection.corrected,
            coverage_latent=protection.coverage_latent,
            source=f"{rate.source} [{rate.mark}]; coverage: {protection.source}",
        )
        for fault_class, rate, base, coverage in classes
    ]


def permanent_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Permanent faults of the die, by area; without injection evidence all are dangerous."""
    rate = inputs.safety.die_permanent
    blocks = inputs.area.blocks
    total = inputs.area.total_mm2
    rows = []
    for block, area in blocks.items():
        structure = block if block != "vector" else "array"
        protection = _protection(inputs, structure)
        rows.append(
            faults.FmedaRow(
                block=block,
                element="SRAM" if block in ("scratchpad", "accumulators") else "logic",
                fault_class=faults.PERMANENT,
                bits=0,
                base_fit=rate.value * area / total,
                exposure=1.0,
                p_dangerous=1.0,
                p_point=1.0,
                evidence="assumed",
                mechanism=protection.name,
                coverage=protection.coverage_permanent,
                corrected=protection.corrected,
                coverage_latent=protection.coverage_latent,
                source=f"{rate.source} [{rate.mark}], by area; coverage: {protection.source}",
            )
        )
    return rows


def mechanism_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """The protections' own hardware: harmless alone, latent until the guarded block fails too."""
    rate = inputs.safety.die_permanent
    rows = []
    for block, area in inputs.area.protection.items():
        if area <= 0:
            continue
        protection = _protection(inputs, block)
        rows.append(
            faults.FmedaRow(
                block=f"{block}.{protection.name}",
                element="mechanism",
                fault_class=faults.PERMANENT,
                bits=0,
                base_fit=rate.value * area / inputs.area.total_mm2,
                exposure=1.0,
                p_dangerous=1.0,
                p_point=1.0,
                evidence="assumed",
                coverage_latent=protection.coverage_latent,
                source=f"{rate.source} [{rate.mark}], by area",
                latent_only=True,
                partner=block,
            )
        )
    return rows
