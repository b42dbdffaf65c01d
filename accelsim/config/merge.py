"""Overriding: one tree laid over another, dotted keys, and ``--set`` values as trees."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from accelsim.config.problems import Problems
from accelsim.config.yamlpos import Entry, Node, parse
from accelsim.errors import AccelsimError, Location, Mistake

MAX_KEYS = 20
"""Most keys of a dotted path."""


def merge(base: Node, over: Node) -> Node:
    """``over`` laid on ``base``: mappings merge key by key, anything else replaces.

    A mapping that came from a file of its own (``Node.whole``) replaces too. Overrides of what
    should be a mapping but is not are ``broken``: what they lack is not worth a mistake.
    """
    if isinstance(over.value, Mapping) and isinstance(base.value, str | int | float | tuple):
        return over if over.whole else replace(over, broken=True)
    if over.whole or not isinstance(base.value, Mapping) or not isinstance(over.value, Mapping):
        return over
    entries = dict(base.value)
    for key, entry in over.value.items():
        old = entries.get(key)
        merged = merge(old.node, entry.node) if old else entry.node
        entries[key] = Entry(old.key if old and merged is not entry.node else entry.key, merged)
    return Node(entries, base.location, base.folder, base.whole, base.broken)


def misplaced(base: Node, over: Node, path: str = "") -> Iterator[tuple[str, Node, Location]]:
    """What :func:`merge` would lose: values of ``base`` that ``over`` has a mapping for.

    Yields:
        The dotted path, the value, and where the mapping was given.
    """
    for key, entry in over.entries.items():
        old, inner = base.entries.get(key), f"{path}.{key}" if path else key
        if old is None or entry.node.whole or not isinstance(entry.node.value, Mapping):
            continue
        if isinstance(old.node.value, str | int | float | tuple):
            yield inner, old.node, entry.key
        else:
            yield from misplaced(old.node, entry.node, inner)


def without(node: Node, keys: Sequence[str]) -> Node:
    """The mapping less some keys."""
    entries = {key: entry for key, entry in node.entries.items() if key not in keys}
    return Node(entries, node.location, node.folder, node.whole, node.broken)


def put(path: Sequence[str], entry: Entry, folder: str) -> Node:
    """A mapping that holds ``entry`` at ``path`` and nothing else."""
    made = entry
    for key in reversed(path):
        made = Entry(entry.key, Node({key: made}, entry.key, folder))
    return made.node


def expand(node: Node, problems: Problems) -> Node:
    """Dotted keys of a mapping as nested mappings (``a.b: 1`` as ``a: {b: 1}``).

    Shorter paths apply first, so ``accelerator: file`` and ``accelerator.array.rows: 64`` stand
    together. The same value given in two spellings, and a value given beside one inside of it
    (``a: null`` and ``a.b: 1``), are C011.
    """
    result = Node({}, node.location, node.folder, node.whole, node.broken)
    given = _Given()
    for key, entry in sorted(node.entries.items(), key=lambda item: item[0].count(".")):
        path = key.split(".")
        if not all(path):
            problems.add("C001", f"'{key}' is not a dotted key", "write e.g. a.b.c", entry.key)
            continue
        if len(path) > MAX_KEYS:
            message = f"'{key[:40]}...' leads through more than {MAX_KEYS} levels"
            problems.add("C012", message, "no value lies that deep", entry.key)
            continue
        nested = put(path, entry, node.folder)
        fits = entry.node.whole or given.take(nested, entry.key, problems)
        if fits or entry.node.value is not None:  # one mistake, not also all that a null takes out
            result = merge(result, nested)
    return result


@dataclass
class _Given:
    """Dotted paths that have a value, to find two that exclude each other."""

    leaves: dict[str, tuple[Location, bool]] = field(default_factory=dict)
    """Path -> where, and whether nothing can lie inside (an empty mapping can be filled)."""
    inner: dict[str, tuple[str, Location]] = field(default_factory=dict)
    """Path of a mapping with something in it -> the first leaf inside."""

    def take(self, tree: Node, where: Location, problems: Problems) -> bool:
        """Take in all leaves; False, and C011 for each that excludes another, if one does."""
        before = len(problems)
        for leaf, node in _leaves(tree):
            other = self._add(leaf, where, closed=not isinstance(node.value, Mapping))
            if other is not None:
                name, first = other
                twice = f"'{leaf}' is given twice"
                message = twice if name == leaf else f"'{leaf}' and '{name}' are both given"
                problems.add("C011", message, f"first given at {first}; keep one", where)
        return len(problems) == before

    def _add(self, leaf: str, where: Location, *, closed: bool) -> tuple[str, Location] | None:
        """Take in a leaf; what it excludes, if something: its path, and where it stands."""
        other = (leaf, self.leaves[leaf][0]) if leaf in self.leaves else None
        if closed and leaf in self.inner:
            other = other or self.inner[leaf]
        outer = leaf
        while "." in outer:
            outer = outer.rpartition(".")[0]
            if outer in self.leaves and self.leaves[outer][1]:
                other = other or (outer, self.leaves[outer][0])
            self.inner.setdefault(outer, (leaf, where))
        self.leaves[leaf] = (where, closed)
        return other


def _leaves(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    if isinstance(node.value, Mapping) and node.value:
        for key, entry in node.value.items():
            yield from _leaves(entry.node, f"{path}.{key}" if path else key)
    else:
        yield path, node


def as_node(value: object, origin: Location, folder: str) -> Node:
    """A ``--set`` value: text is read as YAML, Python values are taken as they are.

    Raises:
        AccelsimError: C003 for another type, or what the YAML reader raises.
    """
    if isinstance(value, str):
        return parse(value, origin, folder, lines=False)
    return _python(value, origin, folder, 0)


def _python(value: object, origin: Location, folder: str, depth: int) -> Node:
    if value is None or isinstance(value, bool | int | float | str):
        return Node(value, origin, folder)
    if isinstance(value, os.PathLike):
        return Node(str(os.fspath(value)), origin, folder)
    if depth > 20:
        raise AccelsimError(Mistake("C012", "nested deeper than 20 levels", "", origin))
    if isinstance(value, list | tuple):
        items = tuple(_python(item, origin, folder, depth + 1) for item in value)
        return Node(items, origin, folder)
    if isinstance(value, Mapping):
        entries = {
            str(key): Entry(origin, _python(item, origin, folder, depth + 1))
            for key, item in value.items()
        }
        return Node(entries, origin, folder)
    kind = type(value).__name__
    hint = "use text, numbers, booleans, None, lists and mappings"
    raise AccelsimError(Mistake("C003", f"a value of type {kind} has no place here", hint, origin))
