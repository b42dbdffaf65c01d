"""Files that name files: ``extends``, and parts given as a path.

A string where ``accelerator``, ``safety`` or ``system`` expects a mapping is a file, relative to
the file that names it; so is the accelerator of a system's core. ``extends`` lays a file over
another one of its kind. Every node keeps the position in the file that really holds it. Only a run
config has parts; every file is read once, and how many there are and how far they lead is bounded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accelsim.config.merge import expand, merge, misplaced, without
from accelsim.config.problems import Problems
from accelsim.config.schema import ACCELERATOR, RUN, SAFETY, SYSTEM
from accelsim.config.yamlpos import Entry, Node, read_file
from accelsim.errors import AccelsimError, Location, suggest

PARTS = {"accelerator": ACCELERATOR, "safety": SAFETY, "system": SYSTEM}
"""Keys that take a path, and the schema of the file it leads to."""

MAX_FILES = 100
"""Most files of one study."""

MAX_NAMED = 10_000
"""How often files may be named, the same file included."""

MAX_CHAIN = 20
"""Most files on the way from the config to the last one that it leads to."""

_WORDS = {
    RUN: "a run config",
    ACCELERATOR: "an accelerator file",
    SAFETY: "a safety file",
    SYSTEM: "a file of a system of cores",
}

Chain = tuple[tuple[str, str], ...]
"""Files being read, outermost first: (identity, name as shown)."""


@dataclass
class Files:
    """The files of one study; ``problems`` takes their mistakes (C003, C007 to C012, C015)."""

    problems: Problems
    _parsed: dict[str, Node | None] = field(default_factory=dict)
    """Path -> tree as written, None if unreadable."""
    _whole: dict[tuple[str, str], Node] = field(default_factory=dict)
    """(path, schema) -> tree with all that the file names."""
    _named: int = 0
    _closed: bool = False

    def read(self, path: str, location: Location) -> Node | None:
        """The file as written; None (and a mistake) if it cannot be read or is one too many."""
        if path not in self._parsed:
            if len(self._parsed) >= MAX_FILES:
                self._full(f"the config leads to more than {MAX_FILES} files", location)
                return None
            try:
                self._parsed[path] = read_file(path, location)
            except AccelsimError as error:
                self.problems.extend(error)
                if any(m.location == location for m in error.mistakes):
                    return None  # to be reported wherever it is named
                self._parsed[path] = None
        return self._parsed[path]

    def _full(self, message: str, location: Location) -> None:
        """The first file too many stands for all others: it is reported once."""
        if not self._closed:
            self.problems.add("C012", message, "put parts into fewer files", location)
        self._closed = True

    def load(self, path: str, schema: str, chain: Chain, location: Location | None) -> Node:
        """See :func:`load_tree`."""
        key, here = (path, schema), location or Location(path)
        self._named += 1
        if self._named > MAX_NAMED:
            self._full(f"files are named more than {MAX_NAMED} times", here)
            return _nothing(path, here)
        if key not in self._whole:
            found = _load(path, schema, self, chain, here)
            if found.broken:
                return found
            self._whole[key] = found
        return self._whole[key]


def load_tree(
    path: str, schema: str, files: Files, chain: Chain = (), location: Location | None = None
) -> Node:
    """Read a config file with all it names.

    Args:
        path: file to read.
        schema: what its ``schema`` key must be.
        files: what was read before, and the mistakes.
        chain: files that led here, for cycles.
        location: where the file was named.

    Returns:
        The tree without ``schema`` and ``extends``; an empty ``broken`` mapping if unreadable.
    """
    return files.load(path, schema, chain, location)


def _nothing(path: str, here: Location) -> Node:
    """What stands for a file that cannot be used."""
    return Node({}, here, os.path.dirname(path) or ".", broken=True)


def _load(path: str, schema: str, files: Files, chain: Chain, here: Location) -> Node:
    """A file that was not loaded before."""
    problems = files.problems
    nothing = _nothing(path, here)
    if "\0" in path:
        message = f"cannot read {path!r}: a path holds no NUL character"
        problems.add("C007", message, "the path counts from the file that names it", here)
        return nothing
    identity = os.path.realpath(path)
    if identity in [known for known, _ in chain]:
        shown = " -> ".join([*(name for _, name in chain), path])
        problems.add("C008", f"a config includes itself: {shown}", "break the circle", here)
        return nothing
    if len(chain) >= MAX_CHAIN:
        message = f"'{path}' is the end of a chain of more than {MAX_CHAIN} files"
        problems.add("C012", message, "let files extend fewer others", here)
        return nothing
    root = files.read(path, here)
    if root is None:
        return nothing
    chain = (*chain, (identity, path))
    if not _right_kind(root, path, schema, problems):
        if schema == RUN:
            follow(root, files, chain)
        return nothing
    if schema == RUN:
        root = follow(root, files, chain)
    return _extended(root, schema, files, chain)


def _right_kind(root: Node, path: str, schema: str, problems: Problems) -> bool:
    """Whether the file is what it was named as, by its ``schema`` key."""
    if not isinstance(root.value, Mapping):
        what = "is empty" if root.value is None else "is not a mapping (key: value)"
        problems.add("C003", f"'{path}' {what}", f"it begins with schema: {schema}", root.location)
        return False
    entry = root.value.get("schema")
    if entry is None:
        problems.add("C015", "'schema' is missing", f"write schema: {schema}", root.location)
        return True
    found = entry.node.value
    if found == schema:
        return True
    if isinstance(found, str) and found in _WORDS:
        message = f"'{path}' is {_WORDS[found]}; {_WORDS[schema]} is needed here"
        problems.add("C015", message, f"schema: {schema}", entry.node.location)
        return False
    message = f"unknown schema {entry.node.plain!r}"
    hint = suggest(str(found), list(_WORDS)) if schema != RUN else f"write schema: {RUN}"
    problems.add("C015", message, hint, entry.node.location)
    return True


def follow(root: Node, files: Files, chain: Chain) -> Node:
    """The tree with its own parts, and those of its variants, read in."""
    root = include_parts(root, files, chain)
    variants = root.entries.get("variants")
    if variants is None or not isinstance(variants.node.value, Mapping):
        return root
    read = {
        name: Entry(entry.key, include_parts(entry.node, files, chain))
        for name, entry in variants.node.value.items()
    }
    return _with(root, "variants", replace(variants.node, value=read))


def include_parts(root: Node, files: Files, chain: Chain) -> Node:
    """Replace the path of a part by the part; the part remembers that it came whole."""
    for key, schema in PARTS.items():
        entry = root.entries.get(key)
        if entry is None or not isinstance(entry.node.value, str):
            continue
        path = os.path.normpath(os.path.join(entry.node.folder, entry.node.value))
        part = load_tree(path, schema, files, chain, entry.node.location)
        root = _with(root, key, replace(part, whole=True))
    return root


def include_cores(system: Node, files: Files, chain: Chain) -> Node:
    """The accelerators of a system's cores read in where they are named, each with its overrides
    laid over it. Anything that is no such list is left to the models."""
    entry = system.entries.get("cores")
    if entry is None or not isinstance(entry.node.value, tuple):
        return system
    cores = tuple(_core(core, files, chain) for core in entry.node.value)
    return _with(system, "cores", replace(entry.node, value=cores))


def _core(core: Node, files: Files, chain: Chain) -> Node:
    if isinstance(core.value, str):  # short for {accelerator: path}
        core = replace(core, value={"accelerator": Entry(core.location, core)})
    core = include_parts(core, files, chain)
    machine, over = core.entries.get("accelerator"), core.entries.get("overrides")
    if machine is None or over is None or not isinstance(over.node.value, Mapping):
        return core
    laid = expand(over.node, files.problems)
    for path, value, at in misplaced(machine.node, laid):
        message = f"cannot set a key of '{path}': it is {str(value.plain)[:40]!r}, not a mapping"
        files.problems.add("C003", message, f"it is given at {value.location}", at)
    return _with(core, "accelerator", merge(machine.node, laid))


def _extended(root: Node, schema: str, files: Files, chain: Chain) -> Node:
    """The tree laid over the one it extends."""
    entry = root.entries.get("extends")
    root = without(root, ("schema", "extends"))
    if entry is None or entry.node.value is None:
        return root
    if not isinstance(entry.node.value, str):
        files.problems.add("C003", "extends must be the path of a file", "", entry.node.location)
        return root
    path = os.path.normpath(os.path.join(entry.node.folder, entry.node.value))
    base = load_tree(path, schema, files, chain, entry.node.location)
    return merge(base, expand(root, files.problems))


def _with(root: Node, key: str, node: Node) -> Node:
    entries = dict(root.entries)
    entries[key] = Entry(entries[key].key, node)
    return replace(root, value=entries)
