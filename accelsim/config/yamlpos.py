"""YAML 1.2 text to a tree in which every value knows where it was written.

The tree is built from the parser's events, so size, depth and alias expansion are bounded while
reading, and scalars follow the YAML 1.2 core schema: ``no`` is text, ``1e-6`` is a number, ``0777``
is 777. Keys are always text. Tags, merge keys, several documents and duplicate keys are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelsim.errors import AccelsimError, Location, Mistake

MAX_BYTES = 1 << 20
MAX_NODES = 10_000
MAX_DEPTH = 40

_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Entry:
    """A value of a mapping and where its key stands."""

    key: Location
    node: Node


@dataclass(frozen=True)
class Node:
    """A YAML value: a scalar, a tuple of nodes, or a mapping of text to entries."""

    value: Scalar | tuple[Node, ...] | Mapping[str, Entry]
    location: Location
    folder: str
    """Directory that relative paths in this value count from."""
    whole: bool = False
    """Came from another file: replaces what it overrides instead of merging into it."""
    broken: bool = False
    """Stands for something that could not be read (already reported)."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The entries of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def plain(self) -> Any:
        """The value as nested dict, list and scalars."""
        if isinstance(self.value, Mapping):
            return {key: entry.node.plain for key, entry in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain for node in self.value]
        return self.value


def read_file(path: str, location: Location | None = None) -> Node:
    """Read a YAML file.

    Args:
        path: file to read; messages show it as given.
        location: where the file was asked for, for a file that cannot be read.

    Raises:
        AccelsimError: C007 unreadable, C010 syntax, C011 duplicate key, C012 too large.
    """
    where = location or Location(path)
    try:
        if Path(path).is_dir():
            raise _bad("C007", f"'{path}' is a directory, not a file", "give the file", where)
        if Path(path).exists() and not Path(path).is_file():  # reading a pipe may never end
            hint = "save what it gives as a file; files are read more than once"
            raise _bad("C007", f"'{path}' is a pipe or a device, not a file", hint, where)
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "the path counts from the file that names it" if location else ""
        raise _bad("C007", f"cannot read '{path}': {reason.lower()}", hint, where) from None
    if len(data) > MAX_BYTES:
        raise _bad("C012", f"'{path}' is larger than {MAX_BYTES} bytes", "split it", where)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _bad("C010", "not UTF-8 text", "save as UTF-8", Location(path, line, 1)) from None
    return parse(text, Location(path), str(Path(path).parent))


def parse(text: str, origin: Location, folder: str, *, lines: bool = True) -> Node:
    """Parse one YAML document.

    Args:
        text: the document; empty text is null.
        origin: names the file.
        folder: directory that relative paths count from.
        lines: whether locations carry line and column (false for a command-line value).

    Raises:
        AccelsimError: C010 syntax, C011 duplicate key, C012 too large; with position.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    builder = _Builder(origin, folder, lines)
    try:
        # The C++-style error handling of the scanner also leaks these two for "\UFFFFFFFF".
        return builder.document(iter(YAML(typ="safe", pure=True).parse(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = builder.at(mark) if mark else origin
        raise _syntax(str(error.problem or error.context), where) from None
    except YAMLError as error:
        raise _syntax(str(error).splitlines()[0], origin) from None
    except (OverflowError, ValueError):
        raise _syntax("a number or character code is out of range", origin) from None


def _syntax(problem: str, where: Location) -> AccelsimError:
    hint = ""
    if "\\t" in problem:
        problem, hint = "a tab where YAML wants spaces", "indent with spaces"
    elif "mapping values are not allowed" in problem:
        hint = (
            "a key with its ':' stands here; check the indentation, or quote text that holds ': '"
        )
    elif "expected <block end>" in problem:
        hint = "this line is indented differently from its neighbours"
    return _bad("C010", f"not valid YAML: {problem}", hint, where)


def _bad(code: str, message: str, hint: str, where: Location) -> AccelsimError:
    return AccelsimError(Mistake(code, message, hint, where))


@dataclass
class _Builder:
    """Events to nodes, counting as it goes."""

    origin: Location
    folder: str
    lines: bool
    count: int = 0
    anchors: dict[str, Node] = field(default_factory=dict)
    duplicates: list[Mistake] = field(default_factory=list)

    def at(self, mark: Any) -> Location:
        """The location of a parser mark."""
        if not self.lines:
            return self.origin
        return Location(self.origin.file, mark.line + 1, mark.column + 1)

    def document(self, events: Iterator[Any]) -> Node:
        """The only document of the stream."""
        root: Node | None = None
        for event in events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                if root is not None:
                    hint = "keep one document per file"
                    where = self.at(event.start_mark)
                    raise _bad("C010", "a second YAML document ('---')", hint, where)
                root = self.node(next(events), events, 0)
        if self.duplicates:
            raise AccelsimError(self.duplicates)
        return root or Node(None, self.at_start(), self.folder)

    def at_start(self) -> Location:
        """The beginning of the file."""
        return Location(self.origin.file, 1, 1) if self.lines else self.origin

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        """The node that begins with ``event``."""
        where = self.at(event.start_mark)
        self.grow(1, where)
        self.check_depth(depth, where)
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self.alias(event.anchor, where, depth)
        tag = getattr(event, "ctag", None) or getattr(event, "tag", None)
        if tag is not None and str(tag) not in ("None", "!"):
            hint = "leave the tag out; quote what should be text"
            raise _bad("C010", f"a YAML tag ({tag})", hint, where)
        if kind == "ScalarEvent":
            plain = event.implicit[0] and event.style is None
            made = Node(self.scalar(event.value, plain, where), where, self.folder)
        elif kind == "SequenceStartEvent":
            made = Node(tuple(self.items(events, depth)), where, self.folder)
        else:
            made = Node(self.mapping(events, depth), where, self.folder)
        if event.anchor is not None:
            self.anchors[str(event.anchor)] = made
        return made

    def alias(self, anchor: str, where: Location, depth: int) -> Node:
        """The anchored node again; its whole size counts against the bound."""
        target = self.anchors.get(str(anchor))
        if target is None:
            raise _bad("C010", f"alias '*{anchor}' has no complete anchor before it", "", where)
        size, height = _extent(target)
        self.grow(size, where)
        self.check_depth(depth + height, where)
        return target

    def check_depth(self, depth: int, where: Location) -> None:
        """Bound the nesting, so that walking the tree never exhausts the stack."""
        if depth > MAX_DEPTH:
            raise _bad("C012", f"nested deeper than {MAX_DEPTH} levels", "", where)

    def grow(self, by: int, where: Location) -> None:
        """Count nodes, aliases expanded."""
        self.count += by
        if self.count > MAX_NODES:
            message = f"more than {MAX_NODES} values once aliases are expanded"
            raise _bad("C012", message, "aliases may be used, sparingly", where)

    def items(self, events: Iterator[Any], depth: int) -> Iterator[Node]:
        """The nodes of a sequence."""
        while type(event := next(events)).__name__ != "SequenceEndEvent":
            yield self.node(event, events, depth + 1)

    def mapping(self, events: Iterator[Any], depth: int) -> dict[str, Entry]:
        """The entries of a mapping."""
        found: dict[str, Entry] = {}
        while type(event := next(events)).__name__ != "MappingEndEvent":
            where = self.at(event.start_mark)
            if type(event).__name__ != "ScalarEvent":
                raise _bad("C010", "a key that is not plain text", "keys are words", where)
            name = str(event.value)
            self.check_text(name, where)
            if name == "<<" and event.implicit[0]:
                hint = "YAML 1.2 has no merge keys; use 'extends:' or 'variants:'"
                raise _bad("C010", "a merge key ('<<')", hint, where)
            node = self.node(next(events), events, depth + 1)
            if name in found:
                hint = f"first written at {found[name].key}; keep one"
                self.duplicates.append(Mistake("C011", f"key '{name}' twice", hint, where))
            else:
                found[name] = Entry(where, node)
        return found

    def scalar(self, text: str, plain: bool, where: Location) -> Scalar:
        """A scalar by the YAML 1.2 core schema."""
        self.check_text(text, where)
        if not plain:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text) or re.fullmatch(r"0o[0-7]+|0x[0-9a-fA-F]+", text, re.ASCII):
            if len(text) > 40:
                raise _bad("C010", "a number of more than 40 digits", "", where)
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)
        return float(text) if _FLOAT.fullmatch(text) else text

    def check_text(self, text: str, where: Location) -> None:
        """Refuse what cannot be written to a file again."""
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise _bad("C010", "half of a surrogate pair", "write the character itself", where)


def _extent(node: Node) -> tuple[int, int]:
    """Nodes and levels below and including ``node``, aliases expanded; both are bounded."""
    children: list[Node] = [entry.node for entry in node.entries.values()]
    if isinstance(node.value, tuple):
        children = list(node.value)
    extents = [_extent(child) for child in children]
    return 1 + sum(e[0] for e in extents), 1 + max((e[1] for e in extents), default=0)
