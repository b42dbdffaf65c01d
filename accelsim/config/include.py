"""Files that name files: ``extends``, and parts given as a path.

A string where ``accelerator`` or ``safety`` expects a mapping is a file, relative to the file that
names it. ``extends`` lays a run config over another one. Every node keeps the position in the file
that really holds it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from accelsim.config.merge import expand, merge, without
from accelsim.config.problems import Problems
from accelsim.config.schema import ACCELERATOR, RUN, SAFETY
from accelsim.config.yamlpos import Entry, Node, read_file
from accelsim.errors import AccelsimError, Location, suggest

PARTS = {"accelerator": ACCELERATOR, "safety": SAFETY}
"""Keys that take a path, and the schema of the file it leads to."""

_WORDS = {RUN: "a run config", ACCELERATOR: "an accelerator file", SAFETY: "a safety file"}

Chain = tuple[tuple[str, str], ...]
"""Files being read, outermost first: (identity, name as shown)."""


def load_tree(
    path: str, schema: str, problems: Problems, chain: Chain = (), location: Location | None = None
) -> Node:
    """Read a config file with all it names.

    Args:
        path: file to read.
        schema: what its ``schema`` key must be.
        problems: takes the mistakes (C007 to C012, C015).
        chain: files that led here, for cycles.
        location: where the file was named.

    Returns:
        The tree without ``schema`` and ``extends``; an empty ``broken`` mapping if unreadable.
    """
    here = location or Location(path)
    nothing = Node({}, here, os.path.dirname(path) or ".", broken=True)
    identity = os.path.realpath(path)
    names = [name for _, name in chain]
    if identity in [known for known, _ in chain]:
        shown = " -> ".join([*names, path])
        problems.add("C008", f"a config includes itself: {shown}", "break the circle", here)
        return nothing
    try:
        root = read_file(path, location)
    except AccelsimError as error:
        problems.extend(error)
        return nothing
    chain = (*chain, (identity, path))
    if not _right_kind(root, path, schema, problems):
        follow(root, problems, chain)
        return nothing
    return _extended(follow(root, problems, chain), schema, problems, chain)


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


def follow(root: Node, problems: Problems, chain: Chain) -> Node:
    """The tree with its own parts, and those of its variants, read in."""
    root = include_parts(root, problems, chain)
    variants = root.entries.get("variants")
    if variants is None or not isinstance(variants.node.value, Mapping):
        return root
    read = {
        name: Entry(entry.key, include_parts(entry.node, problems, chain))
        for name, entry in variants.node.value.items()
    }
    return _with(root, "variants", replace(variants.node, value=read))


def include_parts(root: Node, problems: Problems, chain: Chain) -> Node:
    """Replace the path of a part by the part; the part remembers that it came whole."""
    for key, schema in PARTS.items():
        entry = root.entries.get(key)
        if entry is None or not isinstance(entry.node.value, str):
            continue
        path = os.path.normpath(os.path.join(entry.node.folder, entry.node.value))
        part = load_tree(path, schema, problems, chain, entry.node.location)
        root = _with(root, key, replace(part, whole=True))
    return root


def _extended(root: Node, schema: str, problems: Problems, chain: Chain) -> Node:
    """The tree laid over the one it extends."""
    entry = root.entries.get("extends")
    root = without(root, ("schema", "extends"))
    if entry is None or entry.node.value is None:
        return root
    if not isinstance(entry.node.value, str):
        problems.add("C003", "extends must be the path of a file", "", entry.node.location)
        return root
    path = os.path.normpath(os.path.join(entry.node.folder, entry.node.value))
    base = load_tree(path, schema, problems, chain, entry.node.location)
    return merge(base, expand(root, problems))


def _with(root: Node, key: str, node: Node) -> Node:
    entries = dict(root.entries)
    entries[key] = Entry(entries[key].key, node)
    return replace(root, value=entries)
