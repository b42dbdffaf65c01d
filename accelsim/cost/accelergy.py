"""A user's own energy table, from Accelergy's ERT and ART.

Our figures are named ``<structure>.<action>`` (:data:`FIGURES`). The mapping says which
``component.action`` of the ERT each one is; a component may be given by the end of its name and
without ranges, an action with several rows needs its arguments: ``PE.fifo.write(data_delta=1)``.
Where the mapping is silent, a component whose last name is one of :data:`COMPONENTS` and an action
that is one of :data:`ACTIONS` are taken, if they are the only ones. A memory's energy is divided by
the bits that one access moves. What nothing uses is listed in the table's notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from accelsim.cost.accelergy_file import ArtRow, ErtRow, bare, instances, read_art, read_ert
from accelsim.cost.tables import EnergyTable, Entry
from accelsim.errors import AccelsimError, Location, Mistake, suggest

MEMORIES = ("dram", "weight_memory", "scratchpad", "weight_scratchpad", "accumulators")
BLOCKS = ("array", "vector", "scratchpad", "weight_scratchpad", "accumulators", "control")

FIGURES: tuple[str, ...] = (
    *(f"{memory}.{way}" for memory in MEMORIES for way in ("read", "write")),
    "mac.compute", "vector.compute", "register.write", "register.idle",
    *(f"{block}.leak" for block in BLOCKS),
)  # fmt: skip
"""What a table can give: memories per bit, one MAC, one element operation, one register bit that
takes a value or keeps it for a cycle, leakage of a block in a cycle."""

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "dram": ("dram", "main_memory"),
    "scratchpad": ("scratchpad", "buffer", "global_buffer", "shared_glb", "glb"),
    "weight_scratchpad": ("weight_scratchpad", "weight_sram", "weight_buffer", "weight_glb"),
    "accumulators": ("accumulators", "accumulator_buffer", "psum_buffer", "psum_glb"),
    "mac": ("mac", "macs", "intmac", "mac_unit"),
    "array": ("array", "mac", "macs", "intmac", "mac_unit"),
    "vector": ("vector", "vector_unit", "simd"),
    "control": ("control", "controller"),
}
"""Structure -> last names of components that are taken for it, in small letters."""

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "read": ("read", "random_read"),
    "write": ("write", "random_write", "update"),
    "compute": ("compute", "mac", "mac_random"),
    "leak": ("leak", "idle"),
}
"""Our action -> theirs, in order of preference."""

OWN = "accelergy"
"""Name of a user's own table."""


@dataclass(frozen=True)
class AccelergyFiles:
    """Where a user's table lies and how to read it."""

    ert: str
    node_nm: int
    art: str | None = None
    map: Mapping[str, str] = field(default_factory=dict)
    """Our figure -> ``component.action``."""
    bits: Mapping[str, int] = field(default_factory=dict)
    """Memory (or ``register``) -> bits that one access moves."""
    areas: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Block -> components of the ART that make it up."""
    location: Location | None = None
    """Where it is asked for."""


def own_table(files: AccelergyFiles) -> EnergyTable:
    """Read a user's table.

    Raises AccelsimError with all mistakes: those of :func:`accelsim.cost.accelergy_file.read_ert`,
    and E808 for a mapping to what is not there, is not unique, or lacks its bits.
    """
    rows = read_ert(files.ert, files.location)
    shapes = read_art(files.art, files.location) if files.art else ()
    chooser = _Chooser(files)
    entries: dict[str, Entry] = {}
    for figure in FIGURES:
        row = chooser.row(figure, rows)
        if row is not None:
            chooser.used.add(row.name)
            name, entry = chooser.entry(figure, row)
            entries[name] = entry
    areas = {block: area for block in BLOCKS if (area := chooser.area(block, shapes))}
    if chooser.mistakes:
        raise AccelsimError(chooser.mistakes)
    notes = chooser.notes(rows, shapes)
    return EnergyTable(OWN, files.node_nm, entries, None, areas, notes)


class _Chooser:
    """Finds the rows for our figures; collects what is wrong and what was used."""

    def __init__(self, files: AccelergyFiles) -> None:
        self.files = files
        self.used: set[str] = set()
        self.by_name: list[str] = []
        self.mistakes: list[Mistake] = []
        for what, given, known in (
            ("figure", files.map, FIGURES), ("memory", files.bits, (*MEMORIES, "register")),
            ("block", files.areas, BLOCKS),
        ):  # fmt: skip
            for name in given:
                if name not in known:
                    self.wrong(f"there is no {what} {name!r}", suggest(name, known))

    def wrong(self, message: str, hint: str = "") -> None:
        self.mistakes.append(Mistake("E808", message, hint, self.files.location))

    def row(self, figure: str, rows: Sequence[ErtRow]) -> ErtRow | None:
        """The row of a figure; None if there is none."""
        wanted = self.files.map.get(figure)
        if wanted is not None:
            found = [row for row in rows if _is_end(wanted, row)]
            if len(found) != 1:
                names = tuple(row.name for row in (found or rows))
                what = "stands for several actions" if found else "is not in the ERT"
                hint = "one of: " + ", ".join(names) if found else suggest(wanted, names)
                self.wrong(f"{figure}: {wanted!r} {what}", hint)
                return None
            return found[0]
        structure, action = figure.split(".")
        for theirs in ACTIONS.get(action, ()):
            found = [row for row in rows if row.action == theirs and _called(row, structure)]
            if len(found) == 1:
                self.by_name.append(f"{figure} = {found[0].name}")
                return found[0]
        return None

    def entry(self, figure: str, row: ErtRow) -> tuple[str, Entry]:
        """Our name and the figure in our unit."""
        structure, action = figure.split(".")
        value, unit = row.energy_pj, "pJ"
        if (structure in MEMORIES and action != "leak") or structure == "register":
            bits = self.files.bits.get(structure)
            if bits is None:
                hint = f"bits: {{{structure}: 64}}"
                self.wrong(f"{figure}: how many bits does one {row.name} move?", hint)
            value, unit = value / (bits or 1), "pJ/bit"
        if action == "leak":
            value, unit = value * instances(row.component), "pJ/cycle"
        name = {"register.write": "register_bit", "register.idle": "register_idle_bit"}.get(figure)
        source = f"{row.name} of the user's ERT, line {row.location.line}"
        return name or figure, Entry(value, unit, source, self.files.node_nm, "S")

    def area(self, block: str, rows: Sequence[ArtRow]) -> Entry | None:
        """Area of a block: its components times their instances."""
        wanted = self.files.areas.get(block)
        if wanted is None:
            found = [row for row in rows if _called(row, block)]
            if len(found) != 1:
                return None
            self.by_name.append(f"area of {block} = {found[0].component}")
        else:
            found = [row for name in wanted for row in self._components(block, name, rows)]
        self.used.update(row.component for row in found)
        um2 = sum(row.area_um2 * instances(row.component) for row in found)
        names = ", ".join(row.component for row in found)
        return Entry(um2, "um2", f"{names} of the user's ART", self.files.node_nm, "S")

    def _components(self, block: str, wanted: str, rows: Sequence[ArtRow]) -> list[ArtRow]:
        found = [row for row in rows if _ends_with(row.component, wanted)]
        if not found:
            names = tuple(row.component for row in rows)
            self.wrong(f"{block}: {wanted!r} is not in the ART", suggest(wanted, names))
        return found

    def notes(self, rows: Iterable[ErtRow], shapes: Iterable[ArtRow]) -> tuple[str, ...]:
        """What was matched by name, and what nothing uses."""
        found = []
        if self.by_name:
            found.append("energy: taken from the ERT and ART by name: " + "; ".join(self.by_name))
        idle = [row.name for row in rows if row.name not in self.used]
        if idle:
            found.append("energy: not used of the ERT: " + ", ".join(idle))
        bare_areas = [row.component for row in shapes if row.component not in self.used]
        if bare_areas:
            found.append("area: not used of the ART: " + ", ".join(bare_areas))
        return tuple(found)


def _is_end(wanted: str, row: ErtRow) -> bool:
    """Whether ``component.action``, with or without arguments, means this row."""
    head, _, arguments = wanted.partition("(")
    component, _, action = head.rpartition(".")
    if action != row.action or not _ends_with(row.component, component):
        return False
    given = {part.strip() for part in arguments.rstrip(")").split(",") if part.strip()}
    return given <= {f"{key}={value}" for key, value in row.arguments}


def _ends_with(component: str, wanted: str) -> bool:
    spelled: tuple[Callable[[str], str], ...] = (str, bare)
    return any(f".{spell(component)}".endswith(f".{wanted}") for spell in spelled)


def _called(row: ErtRow | ArtRow, structure: str) -> bool:
    """Whether a component's last name is one of a structure's."""
    return bare(row.component).rsplit(".", 1)[-1].lower() in COMPONENTS.get(structure, ())
