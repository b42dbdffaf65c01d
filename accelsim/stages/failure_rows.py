"""Exposure, outcome rates, areas and protections -> the rows of an FMEDA. Pure functions.

What is measured and what is assumed, block by block:

- contents of scratchpad (both halves of a split one), memory levels and accumulators: exposure from
  the trace, P(SDC | live) from the campaign. The bits are those ever allocated; memory that is
  never allocated is not safety-related and does not count, neither its upsets nor its area.
- registers of the array (those of all its dataflows) and of the vector unit, control and address
  flip-flops: bits from the architecture, always exposed. The stated safe fraction of unmeasured
  logic (50 % when nothing is known) already stands for the times at which a register holds nothing
  of use: a busy share on top would derate twice. A hang without a watchdog is dangerous.
- DRAM contents: weights and every activation that the plan keeps there at some time, each with a
  place of its own, exposed for the whole period, every upset taken as dangerous.
- permanent faults: a density times the area in use, every fault taken as dangerous.
- a protection's own hardware: harmless alone. Permanent faults are latent as far as nothing tests
  it; upsets of a further copy are seen by the comparison and stop the system for nothing.

A hardened flip-flop fails less often: that lowers its base rate and is no diagnostic coverage; its
larger area belongs to the block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import faults
from accelsim.arch.parts import Accelerator
from accelsim.arch.protection import Protection, mechanisms, own_coverage, protection_of
from accelsim.config.types import Rate, SafetyConfig
from accelsim.cost.area import LANE_REGISTER_BITS, AreaBreakdown
from accelsim.cost.kinds import CoreKind
from accelsim.cost.registers import pe_register_bits
from accelsim.execution import capacities
from accelsim.sim.exposure import Exposure
from accelsim.stages.campaign import structure_of

BITS_PER_MBIT = 1_000_000
MEMORIES = ("scratchpad", "weight_scratchpad", "accumulators")
"""On-chip memories in the order of their rows; memory levels follow."""
_MARKS = "SRDE"


@dataclass(frozen=True)
class SafetyInputs:
    """Everything the FMEDA of one run is made of."""

    accelerator: Accelerator
    safety: SafetyConfig
    exposures: Sequence[Exposure]
    campaign: faults.CampaignResult
    area: AreaBreakdown
    period_cycles: int
    """Inference period: the makespan when inferences run back to back."""
    scratchpad_bytes: int
    """Allocated part of the scratchpads of all cores: in each the highest address in use."""
    accumulator_bytes: int
    """Allocated part of the accumulator SRAMs."""
    dram_bytes: int
    """Tensors with a place in DRAM."""
    confidence: float
    kind: CoreKind | None = None
    """The cores that this is about, ``accelerator.cores`` of them; None: one, by itself."""
    weight_scratchpad_bytes: int = 0
    """Allocated part of the weight scratchpads of split ones."""
    level_bytes: Mapping[str, int] = field(default_factory=dict)
    """Memory level -> allocated part of it, likewise."""

    def allocated_bytes(self, memory: str) -> int:
        """Bytes of an on-chip memory that the plan ever allocates."""
        return {
            "scratchpad": self.scratchpad_bytes,
            "weight_scratchpad": self.weight_scratchpad_bytes,
            "accumulators": self.accumulator_bytes,
            **self.level_bytes,
        }[memory]

    @property
    def sizes(self) -> dict[str, int]:
        """On-chip memory of one core -> its bytes."""
        found = capacities(self.accelerator)
        first = [name for name in MEMORIES if name in found]
        return {name: found[name] for name in (*first, *found)}

    def protection(self, structure: str) -> Protection:
        """The protection of a structure."""
        return protection_of(self.accelerator, structure)


@dataclass(frozen=True)
class Dangerous:
    """P(SDC | live) with its bounds, and where it comes from."""

    lower: float
    point: float
    upper: float
    evidence: str
    source: str = ""


ALL_DANGEROUS = Dangerous(1.0, 1.0, 1.0, "assumed", "every one taken as dangerous")


def failure_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """All rows of the design, each safety-related block once per fault class."""
    return [
        *memory_rows(inputs),
        *flipflop_rows(inputs),
        *dram_rows(inputs),
        *permanent_rows(inputs),
        *copy_rows(inputs),
        *mechanism_rows(inputs),
    ]


def memory_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Transient rows of on-chip SRAM: raw rate split over the contents by their bit-time, so that
    a tensor that stays twice as long has twice the dangerous rate. Contents without injection
    results count as dangerous throughout."""
    measured = {s.structure: s.sdc for s in inputs.campaign.structures if s.sdc.n > 0}
    rate = inputs.safety.sram_soft
    rows = []
    for memory in inputs.sizes:
        contents = _bit_cycles(inputs, memory)
        total = sum(contents.values())
        for name, exposed in contents.items():
            bits = 8 * inputs.allocated_bytes(memory) * exposed / total
            sdc = measured.get(name)
            rows.append(
                _transient(
                    inputs,
                    name,
                    memory,
                    rate,
                    bits,
                    element="SRAM",
                    exposure=_live_share(inputs, memory),
                    dangerous=ALL_DANGEROUS
                    if sdc is None
                    else Dangerous(sdc.lower, sdc.mean, sdc.upper, "measured"),
                )
            )
    return rows


def _bit_cycles(inputs: SafetyInputs, memory: str) -> dict[str, int]:
    """Content of a memory -> bit-cycles of exposure, where there are any."""
    found: dict[str, int] = {}
    for e in inputs.exposures:
        if e.structure == memory and e.bit_cycles:
            name = structure_of(e)
            found[name] = found.get(name, 0) + e.bit_cycles
    return found


def _live_share(inputs: SafetyInputs, memory: str) -> float:
    """Share of the allocated bits' time in which they hold a value that will still be used."""
    room = 8 * inputs.allocated_bytes(memory) * inputs.period_cycles
    return sum(_bit_cycles(inputs, memory).values()) / room if room else 0.0


def flipflops(inputs: SafetyInputs) -> dict[str, dict[str, int]]:
    """Structure -> block -> flip-flops of all cores."""
    array, vector = inputs.accelerator.array, inputs.accelerator.vector
    cores, per_pe = inputs.accelerator.cores, pe_register_bits(array)
    control = inputs.accelerator.control_flipflops
    return {
        "array": {"array.registers": cores * array.rows * array.cols * per_pe},
        "vector": {"vector.registers": cores * vector.lanes * LANE_REGISTER_BITS},
        "control": {f"control.{block}": cores * bits for block, bits in control.items() if bits},
    }


def flipflop_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Transient rows of registers and control logic, none of which is injected here."""
    safe = inputs.safety.safe_fraction_unmeasured
    harmful = 1.0 - safe.value
    dangerous = Dangerous(
        harmful, harmful, harmful, "assumed", f"safe fraction: {safe.source} [{safe.mark}]"
    )
    rate = inputs.safety.flipflop_soft
    return [
        _transient(inputs, block, structure, rate, bits, element="flip-flop", dangerous=dangerous)
        for structure, blocks in flipflops(inputs).items()
        for block, bits in blocks.items()
    ]


def dram_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """DRAM contents (transient, all dangerous) and the device's permanent faults."""
    hard, bits = inputs.safety.dram_permanent, 8 * inputs.dram_bytes
    soft = inputs.safety.dram_soft
    return [
        _transient(inputs, "dram.content", "dram", soft, bits, element="DRAM"),
        _permanent(inputs, "dram.content", "dram", hard, hard.value, element="DRAM", bits=bits),
    ]


def permanent_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Permanent faults of the die's blocks by the area in use, hardened flip-flops included."""
    rate, area, rows = inputs.safety.die_permanent, inputs.area, []
    for block, bare in area.blocks.items():
        hardening = area.protection[block] - sum(area.mechanisms[block].values())
        used = (bare + hardening) * _used_share(inputs, block)
        if used > 0.0:
            element = "SRAM" if block in inputs.sizes else "logic"
            rows.append(_permanent(inputs, block, block, rate, rate.value * used, element=element))
    return rows


def _used_share(inputs: SafetyInputs, block: str) -> float:
    """Allocated share of a memory; 1 for logic."""
    size = inputs.sizes.get(block)
    if size is None:
        return 1.0
    return inputs.allocated_bytes(block) / (inputs.accelerator.cores * size)


def mechanism_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Permanent faults of the mechanisms' own hardware, for the part that guards memory in use."""
    rate, rows = inputs.safety.die_permanent, []
    for block, own in inputs.area.mechanisms.items():
        name = inputs.protection(block).name
        for mechanism in mechanisms(name):
            used = own.get(mechanism.name, 0.0) * _used_share(inputs, block)
            if used <= 0.0:
                continue
            found = own_coverage(mechanism, name)
            tested = f"{found:.4g} of its own faults found" if found else "nothing tests it"
            rows.append(
                faults.FmedaRow(
                    block=f"{block}.{mechanism.name}",
                    element="mechanism",
                    fault_class=faults.PERMANENT,
                    bits=0,
                    base_fit=rate.value * used,
                    exposure=1.0,
                    p_dangerous=1.0,
                    p_point=1.0,
                    p_lower=1.0,
                    evidence="assumed",
                    corrected=mechanism.corrected_permanent,
                    coverage_latent=found,
                    source=f"{rate.source} [{rate.mark}], by area; {tested}",
                    latent_only=True,
                    partner=block,
                    mark=rate.mark,
                )
            )
    return rows


def copy_rows(inputs: SafetyInputs) -> list[faults.FmedaRow]:
    """Upsets in further copies of a structure: false alarms of the comparison."""
    soft, rows = inputs.safety.flipflop_soft, []
    sizes = {name: (soft, sum(blocks.values())) for name, blocks in flipflops(inputs).items()}
    sizes["accumulators"] = (inputs.safety.sram_soft, 8 * inputs.accumulator_bytes)
    for structure, (rate, bits) in sizes.items():
        protection = inputs.protection(structure)
        for mechanism in mechanisms(protection.name):
            if mechanism.copies == 0 or bits == 0:
                continue
            live = _live_share(inputs, structure) if structure in inputs.sizes else 1.0
            copied = mechanism.copies * bits
            rows.append(
                faults.FmedaRow(
                    block=f"{structure}.{mechanism.name}",
                    element="mechanism",
                    fault_class=faults.TRANSIENT,
                    bits=copied,
                    base_fit=rate.value * protection.rate_factor * copied / BITS_PER_MBIT,
                    exposure=live,
                    p_dangerous=1.0,
                    p_point=1.0,
                    p_lower=1.0,
                    evidence="assumed",
                    mechanism=mechanism.name,
                    coverage=mechanism.coverage_transient,
                    corrected=mechanism.corrected_transient,
                    source=_rate_source(rate, protection) + "; upsets of the copies",
                    latent_only=True,
                    partner=structure,
                    mark=_rate_mark(rate, protection),
                )
            )
    return rows


def _transient(
    inputs: SafetyInputs,
    block: str,
    structure: str,
    rate: Rate,
    bits: float,
    *,
    element: str,
    exposure: float = 1.0,
    dangerous: Dangerous = ALL_DANGEROUS,
) -> faults.FmedaRow:
    """Upsets of ``bits`` bits at ``rate`` per Mbit, under the structure's protection."""
    protection = inputs.protection(structure)
    return faults.FmedaRow(
        block=block,
        element=element,
        fault_class=faults.TRANSIENT,
        bits=round(bits),
        base_fit=rate.value * protection.rate_factor * bits / BITS_PER_MBIT,
        exposure=exposure,
        p_dangerous=dangerous.upper,
        p_point=dangerous.point,
        p_lower=dangerous.lower,
        evidence=dangerous.evidence,
        mechanism=protection.name,
        coverage=protection.coverage_transient,
        corrected=protection.corrected_transient,
        source=_joined(
            _rate_source(rate, protection), dangerous.source, _coverage_source(protection)
        ),
        mark=_rate_mark(rate, protection),
    )


def _permanent(
    inputs: SafetyInputs,
    block: str,
    structure: str,
    rate: Rate,
    base: float,
    *,
    element: str,
    bits: int = 0,
) -> faults.FmedaRow:
    """Permanent faults at ``base`` FIT, all dangerous, under the structure's protection."""
    protection = inputs.protection(structure)
    basis = ", by area" if rate.unit == "FIT/mm2" else ""
    return faults.FmedaRow(
        block=block,
        element=element,
        fault_class=faults.PERMANENT,
        bits=bits,
        base_fit=base,
        exposure=ALL_DANGEROUS.upper,
        p_dangerous=ALL_DANGEROUS.upper,
        p_point=ALL_DANGEROUS.point,
        p_lower=ALL_DANGEROUS.lower,
        evidence=ALL_DANGEROUS.evidence,
        mechanism=protection.name,
        coverage=protection.coverage_permanent,
        corrected=protection.corrected_permanent,
        coverage_latent=protection.coverage_latent,
        source=_joined(
            f"{rate.source} [{rate.mark}]{basis}",
            ALL_DANGEROUS.source,
            _coverage_source(protection),
        ),
        mark=rate.mark,
    )


def _rate_source(rate: Rate, protection: Protection) -> str:
    """Source of an upset rate, with the reduction by hardened cells where there is one."""
    text = f"{rate.source} [{rate.mark}]"
    if protection.rate_factor == 1.0:
        return text
    return f"{text}, x {protection.rate_factor:g} by {protection.name} [{protection.mark}]"


def _rate_mark(rate: Rate, protection: Protection) -> str:
    """Mark of an upset rate: the weaker one of the rate and of what reduces it."""
    used = rate.mark if protection.rate_factor == 1.0 else rate.mark + protection.mark
    return max(used, key=_MARKS.index)


def _coverage_source(protection: Protection) -> str:
    return "" if protection.name == "none" else f"{protection.name}: {protection.source}"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
