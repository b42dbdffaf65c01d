"""Report files at a place the user names: checked before the work, written as a whole after it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from accelsim.errors import AccelsimError, Location, Mistake

MAX_OLD_BYTES = 64 << 20
"""Largest existing report that is looked into."""


def require_writable(places: Mapping[str, Path | None], inputs: Sequence[Path]) -> None:
    """Refuse, before any work, places that reports cannot or must not go to.

    Args:
        places: ``junit`` and ``sarif`` -> path, None where none is asked for.
        inputs: the configs and run folders of the command.

    Raises:
        AccelsimError: U003, no such folder or not allowed; U007, a file of the user's is there: an
            input, or one that is no earlier report of that kind; both kinds at one place.
    """
    wanted = {kind: path for kind, path in places.items() if path is not None}
    mistakes = [
        Mistake(code, message, "choose another path", Location(str(path)))
        for kind, path in wanted.items()
        for code, message in _obstacle(kind, path, inputs)
    ]
    if len({path.resolve() for path in wanted.values()}) < len(wanted):
        mistakes.append(Mistake("U007", f"{' and '.join(wanted)} have the same path", "name two"))
    if mistakes:
        raise AccelsimError(mistakes)


def _obstacle(kind: str, path: Path, inputs: Sequence[Path]) -> list[tuple[str, str]]:
    """(code, what is wrong), at most one."""
    target = path.resolve()
    if target.is_dir():
        return [("U003", "cannot write: it is a folder")]
    if target.exists() and not target.is_file():  # a device or a pipe: written as it is
        return [] if os.access(target, os.W_OK) else [("U003", "cannot write: not allowed")]
    if not target.parent.is_dir():
        return [("U003", f"cannot write: there is no folder {target.parent}")]
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return [("U003", f"cannot write: not allowed in {target.parent}")]
    if target in [item.resolve() for item in inputs]:
        return [("U007", "is an input of this command: it will not be overwritten")]
    if target.exists() and not _is_report(kind, target):
        return [("U007", f"is there and no {kind} report: it will not be overwritten")]
    return []


def _is_report(kind: str, path: Path) -> bool:
    """Whether a file is an earlier report of that kind, or empty."""
    try:
        if path.stat().st_size > MAX_OLD_BYTES:
            return False
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if not text.strip():
        return True
    return _is_junit(text) if kind == "junit" else _is_sarif(text)


def _is_junit(text: str) -> bool:
    if "<!DOCTYPE" in text:  # a JUnit file has none, and entities could expand without bound
        return False
    try:
        return ElementTree.fromstring(text).tag in ("testsuites", "testsuite")
    except (ElementTree.ParseError, ValueError):
        return False


def _is_sarif(text: str) -> bool:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and "version" in tree and isinstance(tree.get("runs"), list)


def write_output(path: Path, text: str) -> None:
    """Write a report so that it is seen old or new, never in between. AccelsimError U003."""
    target, data = path.resolve(), text.encode("utf-8", "backslashreplace")
    try:
        if target.exists() and not target.is_file():
            with open(target, "wb") as device:
                device.write(data)
            return
        with tempfile.TemporaryDirectory(prefix=".partial.", dir=target.parent) as aside:
            fresh = Path(aside) / "new"
            fresh.write_bytes(data)
            fresh.replace(target)
    except OSError as error:
        message = f"cannot write: {error.strerror}"
        raise AccelsimError(
            Mistake("U003", message, "choose another path", Location(str(path)))
        ) from None
