"""Accelergy's energy and area reference tables (ERT.yaml, ART.yaml; versions 0.3 and 0.4) as rows
with positions. Energies are picojoules per action of one instance, areas um2 of one instance; a
name such as ``chip.PE[0..7].mac`` stands for eight instances."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from accelsim.config.yamlpos import Node, read_file
from accelsim.errors import AccelsimError, Location, Mistake

VERSIONS = ("0.3", "0.4")
MAX_INSTANCES = 10**9

_RANGE = re.compile(r"\[(\d{1,9})\.\.(\d{1,9})\]")
_INDEX = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class ErtRow:
    """One action of one component."""

    component: str
    action: str
    arguments: tuple[tuple[str, str], ...]
    energy_pj: float
    location: Location

    @property
    def name(self) -> str:
        """``component.action``, with the arguments if there are any."""
        inside = ",".join(f"{key}={value}" for key, value in self.arguments)
        return f"{self.component}.{self.action}" + (f"({inside})" if inside else "")


@dataclass(frozen=True)
class ArtRow:
    """The area of one instance of a component."""

    component: str
    area_um2: float
    location: Location


def read_ert(path: str, location: Location | None = None) -> tuple[ErtRow, ...]:
    """Rows of an ERT file. ``location``: where it was asked for.

    Raises AccelsimError with all mistakes: C007 to C012 unreadable YAML, E807 not an ERT.
    """
    reader = _Reader("ERT", "ERT_summary")
    rows: list[ErtRow] = []
    for table in reader.tables(read_file(path, location)):
        component = reader.text(table, "name")
        for action in reader.items(table, "actions"):
            name, energy = reader.text(action, "name"), reader.number(action, "energy")
            if None in (component, name, energy):
                continue
            arguments = reader.arguments(action)
            rows.append(
                ErtRow(component or "", name or "", arguments, energy or 0.0, action.location)
            )
    reader.unique(((row.name, row.location) for row in rows), "action")
    reader.finish()
    return tuple(rows)


def read_art(path: str, location: Location | None = None) -> tuple[ArtRow, ...]:
    """Rows of an ART file; raises as :func:`read_ert`."""
    reader = _Reader("ART", "ART_summary")
    rows: list[ArtRow] = []
    for table in reader.tables(read_file(path, location)):
        component, area = reader.text(table, "name"), reader.number(table, "area")
        if component is not None and area is not None:
            rows.append(ArtRow(component, area, table.location))
    reader.unique(((row.component, row.location) for row in rows), "component")
    reader.finish()
    return tuple(rows)


def instances(component: str) -> int:
    """How many instances a component's name stands for: the product of its ranges."""
    spans = [int(high) - int(low) + 1 for low, high in _RANGE.findall(component)]
    return min(MAX_INSTANCES, prod(max(1, span) for span in spans))


def bare(component: str) -> str:
    """A component's name without indices and ranges."""
    return _INDEX.sub("", component)


class _Reader:
    """Values of one file; collects what is wrong."""

    def __init__(self, kind: str, summary: str) -> None:
        self.kind, self.summary = kind, summary
        self.mistakes: list[Mistake] = []

    def wrong(self, message: str, at: Location, hint: str = "") -> None:
        self.mistakes.append(Mistake("E807", message, hint, at))

    def finish(self) -> None:
        if self.mistakes:
            raise AccelsimError(self.mistakes)

    def tables(self, root: Node) -> Iterator[Node]:
        """The components of the file."""
        top = root.entries.get(self.kind)
        if top is None:
            hint = f"a file that begins with '{self.kind}:', version 0.3 or 0.4"
            if self.summary in root.entries:
                hint = f"this is {self.summary}: give {self.kind}.yaml itself"
            self.wrong(f"'{self.kind}' is missing", root.location, hint)
            return
        version = top.node.entries.get("version")
        if version is None or str(version.node.value) not in VERSIONS:
            at = version.node.location if version else top.node.location
            shown = version.node.value if version else "missing"
            self.wrong(f"version is {shown}", at, "known: " + ", ".join(VERSIONS))
        yield from self.items(top.node, "tables")

    def items(self, node: Node, key: str) -> Iterator[Node]:
        """The mappings of a list."""
        found = self._get(node, key)
        if found is None:
            return
        if not isinstance(found.value, tuple):
            self.wrong(f"'{key}' is not a list", found.location)
            return
        for item in found.value:
            if isinstance(item.value, Mapping):
                yield item
            else:
                self.wrong(f"an entry of '{key}' is not a mapping", item.location)

    def text(self, node: Node, key: str) -> str | None:
        """A name."""
        return self._typed(node, key, "a name", lambda v: isinstance(v, str) and bool(v))

    def number(self, node: Node, key: str) -> float | None:
        """A finite number of at least 0."""
        found = self._typed(node, key, "a number of at least 0", _is_amount)
        return None if found is None else float(found)

    def arguments(self, node: Node) -> tuple[tuple[str, str], ...]:
        """The arguments of an action; none, null or empty are the same."""
        entry = node.entries.get("arguments")
        if entry is None or entry.node.value is None:
            return ()
        if not isinstance(entry.node.value, Mapping):
            self.wrong("'arguments' is not a mapping", entry.node.location)
        return tuple((key, str(e.node.plain)) for key, e in sorted(entry.node.entries.items()))

    def unique(self, names: Iterator[tuple[str, Location]], what: str) -> None:
        """Every row once."""
        seen: dict[str, Location] = {}
        for name, at in names:
            if name in seen:
                self.wrong(f"{what} '{name}' twice", at, f"first at {seen[name]}")
            seen.setdefault(name, at)

    def _typed(self, node: Node, key: str, what: str, fits: Callable[[object], bool]) -> str | None:
        found = self._get(node, key)
        if found is None:
            return None
        if not fits(found.value):
            self.wrong(f"'{key}' is {found.plain!r}, not {what}", found.location)
            return None
        return str(found.value)

    def _get(self, node: Node, key: str) -> Node | None:
        entry = node.entries.get(key)
        if entry is None:
            self.wrong(f"'{key}' is missing", node.location)
            return None
        return entry.node


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**18
