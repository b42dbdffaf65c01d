"""Names from files on a terminal: what would steer it, or reorder a line, is shown, not obeyed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

_ACTIVE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode categories: controls (escape sequences, line ends), format characters (bidirectional
overrides, zero-width ones), lone surrogates, line and paragraph separators."""


def printable(text: str, keep: str = "") -> str:
    """``text`` with every active character written as an escape, e.g. ``\\x1b`` or ``\\u202e``.

    Characters in ``keep`` (a line feed, say) stay as they are. Printable text is not changed.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _ACTIVE and char not in keep
        else char
        for char in text
    )


def printable_lines(text: str) -> str:
    """A message of several lines: further lines are indented, so that a line feed in a name cannot
    pass for a message of its own."""
    return re.sub(r"\n(?! {4})", "\n    ", printable(text, keep="\n"))


def printable_tree(value: T, keep: str = "") -> T:
    """``value`` with every text in it made printable, keys included: frozen dataclasses, mappings,
    sequences and scalars; anything else as it is. ``keep``: see :func:`printable`."""
    found: Any = value
    if isinstance(value, str) and not isinstance(value, Enum):
        found = printable(value, keep)
    elif isinstance(value, Mapping):
        found = {printable_tree(k, keep): printable_tree(v, keep) for k, v in value.items()}
    elif isinstance(value, list | tuple):
        found = type(value)(printable_tree(item, keep) for item in value)
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(
            value, **{f.name: printable_tree(getattr(value, f.name), keep) for f in fields(value)}
        )
    kept: T = found
    return kept
