"""The run folder: a run record as versioned files, written whole or not at all.

::

    run.json             name, variants, provenance, content hash        config.json   as resolved
    metrics.json         the metrics of all variants (the contract)      verdicts.json
    layers.csv  plan.json  trace.rle.json.gz  exposure.csv  fmeda.json  fmeda.csv
    campaign.sqlite  curves.json  info.json                              of the base run
    variants/<name>/     the same set for every other variant

Everything else in a run folder (report, timeline, JUnit) is a view that can be made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from accelsim.database import read_record, write_campaign
from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.record import (
    BASE,
    SCHEMA,
    RunRecord,
    VariantRecord,
    content_sha256,
    csv_files,
    documents,
    encode,
    metrics_json,
    pretty,
    variant_folder,
)
from accelsim.report.tables import Row

__all__ = [
    "BASE",
    "RunRecord",
    "VariantRecord",
    "content_sha256",
    "csv_files",
    "is_run_folder",
    "load",
    "metrics_json",
    "require_replaceable",
    "save",
    "variant_folder",
    "write_atomic",
]

TABLES = ("layers.csv", "exposure.csv", "fmeda.csv", "faults.csv", "metrics.csv")
OURS = frozenset(
    (
        "run.json", "config.json", "metrics.json", "verdicts.json", "plan.json", "curves.json",
        "info.json", "fmeda.json", "trace.rle.json.gz", "campaign.sqlite", *TABLES,
        "report.html", "junit.xml", "trace.perfetto.json",
    )
)  # fmt: skip
"""Names of files that accelsim writes into a run folder; any other file there is the user's."""


def save(record: RunRecord, directory: str | Path, views: Mapping[str, str] | None = None) -> Path:
    """Write the run folder ``directory`` and return its path.

    ``views`` (relative path -> text) go in with it. The folder is written aside and renamed, so it
    is never seen half-written. An earlier run folder in its place is replaced; files of the user in
    there stay. Raises AccelsimError R510 (something else is there) and R511 (cannot write, disk
    full; what was there before is untouched).
    """
    target = Path(directory).resolve()
    require_replaceable(target)
    with _reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name[:40]}.", suffix=".partial", dir=target.parent,
            ignore_cleanup_errors=True,
        ) as aside:  # fmt: skip
            fresh = Path(aside) / "new"
            fresh.mkdir()
            _fill(fresh, record, views or {})
            _swap(fresh, target, Path(aside) / "old")
    return target


def _fill(folder: Path, record: RunRecord, views: Mapping[str, str]) -> None:
    files = documents(record)
    overlap = sorted(set(views) & (set(files) | {"run.json"}))
    assert not overlap, f"views would overwrite the record: {overlap}"
    files["run.json"] = encode(pretty(_header(record, content_sha256(record, files))))
    files |= {name: encode(text) for name, text in views.items()}
    for name, data in files.items():
        path = folder / name
        assert ".." not in path.parts, f"{name} leads out of the run folder"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, variant in record.variants.items():
        if variant.campaign is not None or variant.faults:
            path = folder / variant_folder(name) / "campaign.sqlite"
            write_campaign(path, variant.campaign, variant.faults)


def _header(record: RunRecord, content: str) -> Row:
    return {
        "schema": SCHEMA,
        "name": record.name,
        "config_sha256": record.sha256,
        "content_sha256": content,
        "variants": list(record.variants),
        "provenance": dict(record.provenance),
    }


def _swap(fresh: Path, target: Path, old: Path) -> None:
    """Put ``fresh`` in the place of ``target``; the user's own files move along."""
    if not target.exists():
        fresh.rename(target)
        return
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise
    for path in sorted(old.rglob("*")):
        kept = target / path.relative_to(old)
        if path.name not in OURS and not path.is_dir() and not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            path.rename(kept)


def require_replaceable(directory: str | Path) -> None:
    """AccelsimError R510 unless a run folder can be put at ``directory``: nothing there yet, an
    empty folder, or an earlier run folder. Call it before a long run, not only after."""
    target = Path(directory).resolve()
    problem = _obstacle(target)
    if problem:
        raise AccelsimError(Mistake("R510", *problem, Location(str(target))))


def _obstacle(target: Path) -> tuple[str, str] | None:
    """(what is wrong, what to do), or None."""
    with _reported(target):
        if target.is_dir():
            if any(target.iterdir()) and not is_run_folder(target):
                text = "the folder holds something else than a run: it will not be replaced"
                return text, "choose a new or an empty folder: nothing of yours is overwritten"
            if target == Path.cwd() or target in Path.cwd().parents or target.is_mount():
                text = "the current folder and mount points cannot be replaced as a whole"
                return text, f"choose a folder inside it, e.g. {target.name or 'run'}/run"
        elif target.exists():
            return "there is a file of that name", "choose a folder for the run"
        place = next(p for p in target.parents if p.exists())
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            return f"no folder can be made in {place}", "choose a place you may write to"
    return None


def is_run_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a run record of accelsim, of any version."""
    try:
        header = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and str(header.get("schema")).startswith(
        SCHEMA.rpartition("/")[0]
    )


def write_atomic(path: str | Path, text: str) -> Path:
    """Write a text file so that it is seen old or new, never in between; returns its path.
    Raises AccelsimError R511."""
    target = Path(path)
    with _reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial.", dir=target.parent) as aside:
            fresh = Path(aside) / "new"
            fresh.write_bytes(encode(text))
            fresh.replace(target)
    return target


@contextlib.contextmanager
def _reported(target: Path) -> Iterator[None]:
    """What the operating system or SQLite refuse, as AccelsimError R511."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        text = f"cannot write the run folder: {reason}"
        hint = "free some space or choose another place (-o); nothing was left behind"
        raise AccelsimError(Mistake("R511", text, hint, Location(str(target)))) from None


def load(directory: str | Path) -> RunRecord:
    """Read a run folder back; the record equals the one that was saved.

    Raises AccelsimError R512 when the folder is not a run folder, lacks a file, or was changed
    after it was written.
    """
    return read_record(Path(directory))
