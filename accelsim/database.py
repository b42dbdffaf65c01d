"""Reading a run folder, and the campaign database: one writer, content in the record's order."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.metrics import SCHEMA as METRICS_SCHEMA
from accelsim.metrics import Metric
from accelsim.record import BASE, SCHEMA, RunRecord, VariantRecord, content_sha256, variant_folder
from accelsim.report.tables import Row, csv_rows, parse_json, plain
from accelsim.verdict import Outcome, Verdict

CAMPAIGN_SCHEMA = "accelsim/campaign/v1"
MAX_BYTES = 1 << 30
"""Largest file of a run folder that is read."""
MAX_DATABASE_BYTES = 1 << 28
"""Largest campaign.sqlite that is read; 100,000 faults take about 10 MiB."""
MAX_CELL_BYTES = 1 << 26
"""Longest text in a database."""

_TYPES: dict[frozenset[type], str] = {
    frozenset({int}): " INTEGER",
    frozenset({float}): " REAL",
    frozenset({str}): " TEXT",
}
"""Declared column type; none where a column mixes types, so that values come back as they are."""


def write_campaign(path: Path, campaign: Row | None, faults: Sequence[Row]) -> None:
    """Write campaign.sqlite: ``meta`` (key, value as JSON) and ``faults``, one row per fault.

    Raises sqlite3.Error when the disk is full or a value has no column type.
    """
    meta = {"schema": CAMPAIGN_SCHEMA, "campaign": campaign}
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("PRAGMA synchronous = OFF")  # the folder is renamed into place when whole
        base.execute("PRAGMA page_size = 4096")
        base.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        base.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [(k, json.dumps(plain(v), sort_keys=True, allow_nan=False)) for k, v in meta.items()],
        )
        if faults:
            _write_faults(base, faults)
        base.commit()


def _write_faults(base: sqlite3.Connection, faults: Sequence[Row]) -> None:
    columns = list(faults[0])
    assert all(list(row) == columns for row in faults), "fault rows have the same keys"
    lines = [tuple(plain(row[column]) for column in columns) for row in faults]
    kinds = [frozenset(type(line[i]) for line in lines) for i in range(len(columns))]
    declared = ", ".join(
        _identifier(name) + _TYPES.get(kind, "") for name, kind in zip(columns, kinds, strict=True)
    )
    base.execute(f"CREATE TABLE faults ({declared})")
    marks = ", ".join("?" * len(columns))
    base.executemany(f"INSERT INTO faults VALUES ({marks})", lines)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def read_campaign(path: Path) -> tuple[Row | None, tuple[Row, ...]]:
    """Inverse of :func:`write_campaign`. Raises ValueError for anything else: the file may hold
    views that never end or columns that are computed, so only plain tables are read."""
    _require_regular(path, MAX_DATABASE_BYTES)
    try:
        uri = path.absolute().as_uri() + "?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as base:
            base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
            tables = _plain_tables(base)
            if "meta" not in tables:
                raise ValueError("there is no table 'meta'")
            lines = base.execute("SELECT key, value FROM meta").fetchall()
            meta = {str(key): parse_json(_cell_text(value)) for key, value in lines}
            if "faults" not in tables:
                return _campaign(meta), ()
            cursor = base.execute("SELECT * FROM faults ORDER BY rowid")
            columns = [column[0] for column in cursor.description]
            rows = tuple(
                {name: _cell(value) for name, value in zip(columns, line, strict=True)}
                for line in cursor
            )
    except sqlite3.Error as error:
        raise ValueError(str(error)) from None
    return _campaign(meta), rows


def _require_regular(path: Path, most: int) -> None:
    """ValueError unless ``path`` is a plain file of at most ``most`` bytes: reading a pipe or a
    device may never end."""
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is no plain file")
    if status.st_size > most:
        raise ValueError(f"{path.name} is larger than {most >> 20} MiB")


def _plain_tables(base: sqlite3.Connection) -> set[str]:
    """Names of the ordinary tables whose columns are all stored, none computed."""
    base.execute("PRAGMA trusted_schema = OFF")
    listed = base.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE %'"
    ).fetchall()
    names = {str(name) for (name,) in listed} & {"meta", "faults"}
    for name in sorted(names):
        if any(column[6] for column in base.execute(f"PRAGMA table_xinfo({name})")):
            raise ValueError(f"table '{name}' has computed columns")
    return names


def _cell_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a value in the table 'meta' is not text")
    return value


def _cell(value: Any) -> Any:
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("a fault holds bytes, or a number that is not finite")
    return value


def _campaign(meta: Mapping[str, Any]) -> Row | None:
    if meta.get("schema") != CAMPAIGN_SCHEMA:
        raise ValueError(f"not a campaign of schema {CAMPAIGN_SCHEMA}")
    if "campaign" not in meta:
        raise ValueError("the table 'meta' has no campaign")
    campaign = meta["campaign"]
    if campaign is not None and not isinstance(campaign, dict):
        raise ValueError("the campaign is not an object")
    return campaign


def read_record(folder: Path) -> RunRecord:
    """Read a whole run folder, as it was written: content hash checked, types not (see
    :mod:`accelsim.record_check`). AccelsimError R512."""
    if not (folder / "run.json").is_file():
        hint = "a run folder holds run.json; `accelsim run CONFIG -o DIR` makes one"
        raise _bad(folder, "is not a run folder", hint)
    header = _object(folder / "run.json")
    if header.get("schema") != SCHEMA:
        found = header.get("schema")
        raise _bad(folder / "run.json", f"has schema {found!r}, this version reads {SCHEMA!r}")
    try:
        record = _record(folder, header)
        content = content_sha256(record)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        text = f"is damaged: {type(error).__name__} {error}"
        raise _bad(folder, text, "run the config again") from None
    if content != header.get("content_sha256"):
        text = "was changed after it was written (content hash differs)"
        if "files" not in header:
            text = "was written by an earlier version of accelsim, or changed since"
        raise _bad(folder, text, "run the config again: results are not edited by hand")
    return record


def _record(folder: Path, header: Row) -> RunRecord:
    names = header["variants"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("the variants in run.json are not a list of names")
    if BASE not in names or len(set(names)) < len(names):
        raise ValueError(f"run.json names a variant twice, or lacks '{BASE}'")
    if not isinstance(header["provenance"], dict):
        raise ValueError("the provenance in run.json is not an object")
    metrics = _object(folder / "metrics.json")
    if metrics["schema"] != METRICS_SCHEMA:
        raise ValueError(f"metrics.json has schema {metrics['schema']!r}")
    by_variant = {BASE: metrics["metrics"]}
    by_variant |= {name: item["metrics"] for name, item in metrics["variants"].items()}
    if sorted(by_variant) != sorted(names):
        raise ValueError("metrics.json and run.json name different variants")
    variants = {name: _variant(folder / variant_folder(name), by_variant[name]) for name in names}
    verdicts = _json(folder / "verdicts.json")
    return RunRecord(
        name=header["name"],
        config=_text(folder / "config.json"),
        sha256=header["config_sha256"],
        variants=variants,
        verdicts=tuple(Verdict(**{**v, "outcome": Outcome(v["outcome"])}) for v in verdicts),
        provenance=header["provenance"],
    )


def _variant(folder: Path, metrics: Mapping[str, Any]) -> VariantRecord:
    campaign: Row | None = None
    faults: tuple[Row, ...] = ()
    if (folder / "campaign.sqlite").exists():
        campaign, faults = read_campaign(folder / "campaign.sqlite")
    trace = folder / "trace.rle.json.gz"
    return VariantRecord(
        metrics={name: _metric(item) for name, item in metrics.items()},
        layers=_table(folder / "layers.csv"),
        plan=_optional(folder / "plan.json"),
        trace=_bytes(trace) if trace.exists() else None,
        exposure=_table(folder / "exposure.csv"),
        fmeda=_optional(folder / "fmeda.json"),
        campaign=campaign,
        faults=faults,
        curves=_optional(folder / "curves.json") or {},
        info=_object(folder / "info.json"),
    )


def _metric(item: Mapping[str, Any]) -> Metric:
    """A value that is null was no number when it was written."""
    found = Metric.from_json(item)
    return replace(found, value=math.nan) if found.value is None else found


def _table(path: Path) -> tuple[Row, ...]:
    if not path.exists():
        return ()
    try:
        return csv_rows(_text(path))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _optional(path: Path) -> Row | None:
    return _object(path) if path.exists() else None


def _object(path: Path) -> Row:
    tree = _json(path)
    if not isinstance(tree, dict):
        raise _bad(path, "is not a JSON object")
    return tree


def _json(path: Path) -> Any:
    try:
        return parse_json(_text(path))
    except ValueError as error:
        raise _bad(path, f"is not JSON: {error}") from None


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise _bad(path, "is not UTF-8 text") from None


def _bytes(path: Path) -> bytes:
    try:
        _require_regular(path, MAX_BYTES)
        return path.read_bytes()
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _bad(path, str(error)) from None


def _bad(path: Path, message: str, hint: str = "") -> AccelsimError:
    return AccelsimError(Mistake("R512", message, hint, Location(str(path))))
