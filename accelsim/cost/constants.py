"""The constants of one run: one table, and nothing that was not asked for.

What the chosen table lacks comes from the tables of ``fill_from``, in order, or is a mistake that
says who has it. Figures of registers, clock and wires are optional: without them those components
are not counted, and a note says so. Figures of another node are scaled when ``scale`` says so;
otherwise they are a mistake.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from accelsim.arch.parts import Accelerator
from accelsim.cost.scaling import (
    SAME_VOLTAGE,
    logic_energy_factor,
    power_law,
    scaling_mark,
    sram_energy_factor,
)
from accelsim.cost.tables import DRAM, TABLES, EnergyTable, Entry, group_of
from accelsim.errors import AccelsimError, Mistake, suggest

EXPONENTS = {"int_mult": 2.0, "mac": 2.0, "int_add": 1.0}
"""Group -> power of the operand width when a table has one width only: a multiplier's cells grow
with the product of its operands' widths."""

OPTIONAL: Mapping[str, str] = {
    "register": "registers of the array and the vector unit",
    "register_idle": "clock power of flip-flops",
    "wire": "wires between processing elements",
}
"""Group -> what is not counted without it."""


@dataclass(frozen=True)
class Constants:
    """Energy figures of a run by name, at the node of the accelerator."""

    table: str
    entries: Mapping[str, Entry]
    notes: tuple[str, ...] = ()
    """What a reader must know: figures filled in, scaled, or missing and therefore not counted."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """Group -> ``low`` or ``high``: take that end of its published spread."""

    def has(self, group: str) -> bool:
        """Whether there is any figure of a group."""
        return any(group_of(name) == group for name in self.entries)

    def value(self, group: str, size: float = 1.0) -> float:
        """The figure of a group at a size (bits or bytes): a power law through its points, or
        through its only point with the exponent of :data:`EXPONENTS` (0 if it has none)."""
        points = _series(self.entries, group)
        assert points, f"no figures of {group}"
        values = [(float(at), entry.value) for at, entry in points]
        if len(values) > 1:
            found = power_law(values, size)
        else:
            found = values[0][1] * math.pow(size / values[0][0], EXPONENTS.get(group, 0.0))
        end = self.ends.get(group)
        return found * _band(points, size, end) if end else found

    def at(self, ends: Mapping[str, str]) -> Constants:
        """These constants with some groups at an end of their spread."""
        return replace(self, ends=ends)

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group with a figure, sorted."""
        return tuple(sorted({group_of(name) for name in self.entries}))


def constants(accelerator: Accelerator) -> Constants:
    """The constants of a run on this accelerator.

    Raises AccelsimError with all mistakes: E801 unknown DRAM kind, E802 unknown table, E803 table
    of another node, E805 missing figures, E806 a node or voltage that scaling does not cover.
    """
    tables, mistakes = _tables(accelerator)
    if mistakes:
        raise AccelsimError(mistakes)
    chosen = tables[0]
    wanted = ("rf", *OPTIONAL) if accelerator.array.dataflow == "rs" else tuple(OPTIONAL)
    needed = [level.name for level in accelerator.levels if level.pj_per_byte is None]
    entries, origin, lacking = _gather(tables, wanted, needed)
    mistakes = [
        *_wrong_node(accelerator, {origin[name].name: origin[name] for name in entries}, chosen),
        *_wrong_dram(accelerator, entries),
        *lacking,
    ]
    if mistakes:
        raise AccelsimError(mistakes)
    notes = _notes(accelerator, chosen, entries, origin)
    scaled = {name: _scaled(name, entries[name], origin[name], accelerator) for name in entries}
    for name, kind in _memories(accelerator).items():
        if f"{name}.read" not in scaled:
            scaled[f"{name}_bit"] = DRAM[kind.upper()]
    return Constants(chosen.name, scaled, notes)


def _tables(accelerator: Accelerator) -> tuple[list[EnergyTable], list[Mistake]]:
    """The chosen table and those to fill from."""
    options = accelerator.energy_options
    names = [accelerator.energy_table, *options.fill_from]
    found = [options.own_table] if options.own_table else []
    mistakes = []
    for name in names[1:] if options.own_table else names:
        if name in TABLES:
            found.append(TABLES[name])
        else:
            hint = suggest(name, tuple(TABLES))
            mistakes.append(Mistake("E802", f"unknown energy table {name!r}", hint))
    return found, mistakes


def _required(
    entries: Mapping[str, Entry], levels: Sequence[str]
) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    """What is needed -> the groups that make it, one alternative sufficing. ``levels``: memory
    levels that do not state an energy."""
    arithmetic = (("mac",), ("int_mult", "int_add"))
    yield "MACs of the array", (("mac.compute",), *arithmetic)
    yield "operations of the vector unit", (("vector.compute",), ("int_mult", "int_add"), ("mac",))
    for name in ("scratchpad", "accumulators"):
        yield f"accesses to the {name}", ((f"{name}.read", f"{name}.write"), ("sram",))
    for name in levels:
        yield f"accesses to the level {name} (or state its pj_per_byte)", (("sram",),)


def _gather(
    tables: Sequence[EnergyTable], wanted: Sequence[str], levels: Sequence[str] = ()
) -> tuple[dict[str, Entry], dict[str, EnergyTable], list[Mistake]]:
    """Entries by name, where each came from, and what is in no table: the first table that has a
    group gives all of it, and groups are taken only as far as something needs them; ``wanted``
    ones may be in no table."""
    chosen = tables[0]
    entries = dict(chosen.entries)
    origin = dict.fromkeys(entries, chosen)
    mistakes = []

    def take(group: str, table: EnergyTable) -> None:
        for name, entry in table.entries.items():
            if group_of(name) == group:
                entries[name], origin[name] = entry, table

    for what, alternatives in _required(entries, levels):
        if any(_covers(entries, groups) for groups in alternatives):
            continue
        choices = [(t, g) for t in tables[1:] for g in alternatives if _covers(t.entries, g)]
        if choices:
            for group in choices[0][1]:
                take(group, choices[0][0])
            continue
        having = [
            t.name
            for t in TABLES.values()
            if any(_covers(t.entries, groups) for groups in alternatives)
        ]
        mistakes.append(
            Mistake(
                "E805",
                f"energy table {chosen.name!r} has no figures for {what}",
                f"these tables have: {', '.join(having)}; name one in energy.fill_from",
            )
        )
    for group in wanted:
        donors = [t for t in tables if group in t.groups]
        if donors and not _covers(entries, (group,)):
            take(group, donors[0])
    return entries, origin, mistakes


def _covers(entries: Mapping[str, Entry], groups: Sequence[str]) -> bool:
    have = {group_of(name) for name in entries}
    return all(group in have for group in groups)


def _wrong_node(
    accelerator: Accelerator, used: Mapping[str, EnergyTable], chosen: EnergyTable
) -> list[Mistake]:
    """Tables of another node than the accelerator's, unless they are to be scaled."""
    options, node = accelerator.energy_options, accelerator.technology_nm
    if not options.scale:
        return [
            Mistake(
                "E803",
                f"energy table {table.name!r} is for {table.node_nm} nm, the accelerator is "
                f"{node} nm",
                "use a table of the same node, or energy.scale: true (figures are not scaled "
                "silently)",
            )
            for table in used.values()
            if table.node_nm != node
        ]
    mistakes = []
    for table in used.values():
        if options.vdd is not None and table.vdd is None:
            message = f"the source of {table.name!r} states no supply voltage to scale from"
            mistakes.append(Mistake("E806", message, "leave energy.vdd out"))
            continue
        try:
            _logic_factor(table, accelerator)
        except AccelsimError as error:
            mistakes += error.mistakes
    return mistakes


def _memories(accelerator: Accelerator) -> dict[str, str]:
    """Backing memory -> kind."""
    found = {"dram": accelerator.dram.kind}
    if accelerator.weight_memory is not None:
        found["weight_memory"] = accelerator.weight_memory.kind
    return found


def _wrong_dram(accelerator: Accelerator, entries: Mapping[str, Entry]) -> list[Mistake]:
    return [
        Mistake("E801", f"no energy known for DRAM kind {kind!r}", suggest(kind, tuple(DRAM)))
        for name, kind in _memories(accelerator).items()
        if f"{name}.read" not in entries and kind.upper() not in DRAM
    ]


def _logic_factor(table: EnergyTable, accelerator: Accelerator) -> float:
    volts = accelerator.energy_options.vdd
    if volts is None or table.vdd is None:
        return logic_energy_factor(table.node_nm, accelerator.technology_nm)
    return logic_energy_factor(table.node_nm, accelerator.technology_nm, table.vdd, volts)


def _scaled(name: str, entry: Entry, table: EnergyTable, accelerator: Accelerator) -> Entry:
    """An entry at the accelerator's node and voltage. SRAM has its own law, without voltage; DRAM
    is another chip."""
    node, kind = accelerator.technology_nm, name.split(".")[0]
    if not accelerator.energy_options.scale or kind in ("dram", "weight_memory"):
        return entry
    if group_of(name) == "sram":
        factor, mark = sram_energy_factor(int(name.split("_")[1]), table.node_nm, node), "D"
    elif kind in ("scratchpad", "weight_scratchpad", "accumulators"):
        size = _capacities(accelerator)[kind]
        factor, mark = sram_energy_factor(size, table.node_nm, node), "D"
    else:
        factor, mark = _logic_factor(table, accelerator), scaling_mark(table.node_nm, node)
    return entry if factor == 1.0 else entry.times(factor, node, mark)


def _capacities(accelerator: Accelerator) -> dict[str, int]:
    split = accelerator.weight_sram
    return {
        "scratchpad": accelerator.scratchpad.bytes,
        "weight_scratchpad": split.bytes if split else accelerator.scratchpad.bytes,
        "accumulators": accelerator.accumulators.bytes,
    }


def _notes(
    accelerator: Accelerator,
    chosen: EnergyTable,
    entries: Mapping[str, Entry],
    origin: Mapping[str, EnergyTable],
) -> tuple[str, ...]:
    found = list(chosen.notes)
    node, options = accelerator.technology_nm, accelerator.energy_options
    filled: dict[str, list[str]] = {}
    for name in entries:
        if origin[name] is not chosen:
            groups = filled.setdefault(origin[name].name, [])
            if group_of(name) not in groups:
                groups.append(group_of(name))
    for table, groups in filled.items():
        found.append(f"energy: {', '.join(groups)} filled in from table {table}")
    used = {origin[name].name: origin[name] for name in entries}
    volts = f"{SAME_VOLTAGE:g} V on both sides" if options.vdd is None else f"{options.vdd:g} V"
    found += [
        f"energy: figures of {table.name} scaled from {table.node_nm} to {node} nm "
        f"(logic at {volts}; SRAM by its own law)"
        for table in used.values()
        if options.scale and (table.node_nm != node or options.vdd is not None)
    ]
    missing = [what for group, what in OPTIONAL.items() if not _covers(entries, (group,))]
    if missing:
        found.append(
            f"energy: table {chosen.name} has no figures for {', '.join(missing)}: not counted"
        )
    return tuple(found)


def _series(entries: Mapping[str, Entry], group: str) -> list[tuple[int, Entry]]:
    found = [(_size(name), entry) for name, entry in entries.items() if group_of(name) == group]
    return sorted(found, key=lambda pair: pair[0])


def _size(name: str) -> int:
    last = name.rsplit("_", 1)[-1]
    return int(last) if last.isdigit() else 1


def _band(points: Sequence[tuple[int, Entry]], size: float, end: str) -> float:
    """End of the spread over the value, between points interpolated, beyond them the nearest."""
    ratios = [(float(at), _end(entry, end) / entry.value) for at, entry in points if entry.value]
    if not ratios:
        return 1.0
    bounded = min(max(size, ratios[0][0]), ratios[-1][0])
    return power_law(ratios, bounded) if len(ratios) > 1 else ratios[0][1]


def _end(entry: Entry, end: str) -> float:
    found = entry.low if end == "low" else entry.high
    return entry.value if found is None else found
