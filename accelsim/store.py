"""The run folder: a run record as versioned files, written whole or not at all.

::

    run.json             name, variants, provenance, content hash        config.json   as resolved
    metrics.json         the metrics of all variants (the contract)      verdicts.json
    layers.csv  plan.json  trace.rle.json.gz  exposure.csv  fmeda.json  fmeda.csv
    campaign.sqlite  curves.json  info.json                              of the base run
    variants/<name>/     the same set for every other variant

Everything else in a run folder (report, timeline, JUnit) is a view that can be made again. The
``files`` of run.json list what accelsim wrote there; whatever else lies in the folder is the
user's, and stays when the run is made again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterator, Mapping
from itertools import count
from pathlib import Path, PurePosixPath

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
from accelsim.record_check import findings
from accelsim.report.tables import Row, parse_json

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
    "save_views",
    "variant_folder",
    "write_atomic",
]

RUN_FILES = (
    "run.json", "config.json", "metrics.json", "verdicts.json", "report.html", "junit.xml",
    "metrics.csv",
)  # fmt: skip
VARIANT_FILES = (
    "plan.json", "curves.json", "info.json", "fmeda.json", "trace.rle.json.gz", "campaign.sqlite",
    "trace.perfetto.json", "layers.csv", "exposure.csv", "fmeda.csv", "faults.csv",
)  # fmt: skip


def save(record: RunRecord, directory: str | Path, views: Mapping[str, str] | None = None) -> Path:
    """Write the run folder ``directory`` and return its path.

    ``views`` (relative path -> text) go in with it. The folder is written aside and renamed, so it
    is never seen half-written. An earlier run folder in its place is replaced: the files that it
    lists as written by accelsim go, all others stay at their place (one that lies where the new
    run writes goes to the same path below ``yours/``). They are in the new folder before the old
    one is moved away, and the old one is deleted only once the new one stands.

    Raises AccelsimError R510 (something else is there) and R511 (cannot write, disk full; what was
    there before is untouched, or, should even moving it back fail, where the message says).
    """
    target = Path(directory).resolve()
    require_replaceable(target)
    with _reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name[:40]}."
        aside = Path(tempfile.mkdtemp(prefix=prefix, suffix=".partial", dir=target.parent))
        fresh, old = aside / "new", aside / "old"
        try:
            fresh.mkdir()
            _fill(fresh, record, views or {})
            if target.exists():
                _carry(target, fresh)
                target.rename(old)
            fresh.rename(target)
        except BaseException:  # an interrupt too must not cost the earlier run
            if old.exists() and fresh.exists():  # half a swap
                _put_back(old, target)
            shutil.rmtree(aside, ignore_errors=True)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _put_back(old: Path, target: Path) -> None:
    """Undo the first half of a swap. AccelsimError R511, naming the place, when that fails."""
    try:
        if target.exists():  # not even an empty folder that appeared meanwhile is taken
            raise FileExistsError(None, "something else has taken its place")
        old.rename(target)
    except OSError as error:
        text = f"cannot put the earlier run folder back: {error.strerror}"
        hint = f"it is whole, with your files, at {old}: move it where you want it"
        raise AccelsimError(Mistake("R511", text, hint, Location(str(target)))) from None


def _carry(old: Path, fresh: Path) -> None:
    """Link (or copy, where links cannot be made) the user's files of ``old`` into ``fresh``."""
    ours = _written(old)
    mine = {path.relative_to(old).as_posix(): path for path in _files(old)}
    mine = {name: mine[name] for name in sorted(mine) if name not in ours}
    taken = {path.relative_to(fresh).as_posix() for path in _files(fresh)}
    places = {name: name for name in mine if not _clash(name, taken)}
    taken |= set(places)
    for name, file in mine.items():
        if name not in places:
            others = (f"yours{number or ''}/{name}" for number in count())
            places[name] = next(place for place in others if not _clash(place, taken))
        _link(file, fresh / places[name])


def _link(file: Path, place: Path) -> None:
    """The same file at another place: a hard link, or a copy where links cannot be made."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place, follow_symlinks=False)
    except OSError:
        if not (file.is_symlink() or file.is_file()):
            raise  # a pipe or device cannot be copied
        shutil.copy2(file, place, follow_symlinks=False)


def _files(folder: Path) -> list[Path]:
    """Everything below a folder that is not a real folder itself; links are not followed."""
    found = (Path(top) / name for top, dirs, names in os.walk(folder) for name in (*names, *dirs))
    return [path for path in found if path.is_symlink() or not path.is_dir()]


def _clash(name: str, taken: Collection[str]) -> bool:
    """Whether a file cannot lie at ``name`` beside the files ``taken``: the place is taken, a file
    is where it needs a folder, or the reverse."""
    above = {parent.as_posix() for parent in PurePosixPath(name).parents}
    return name in taken or any(t in above or t.startswith(f"{name}/") for t in taken)


def _written(folder: Path) -> set[str]:
    """Relative paths that accelsim wrote into a run folder. One without a list of them is of an
    earlier version: there it is every path that accelsim uses."""
    header = _run_header(folder) or {}
    listed = header.get("files")
    if isinstance(listed, list):
        return {str(name) for name in listed}
    names = header.get("variants")
    variants = [str(name) for name in names] if isinstance(names, list) else []
    paths = {variant_folder(v) + file for v in (BASE, *variants) for file in VARIANT_FILES}
    return paths | set(RUN_FILES)


def _fill(folder: Path, record: RunRecord, views: Mapping[str, str]) -> None:
    files = documents(record)
    bases = {
        variant_folder(name) + "campaign.sqlite": variant
        for name, variant in record.variants.items()
        if variant.campaign is not None or variant.faults
    }
    names = sorted({"run.json", *files, *bases})
    overlap = sorted(set(views) & set(names))
    assert not overlap, f"views would overwrite the record: {overlap}"
    content = content_sha256(record, files)
    files["run.json"] = encode(pretty(_header(record, content, sorted({*names, *views}))))
    files |= {name: encode(text) for name, text in views.items()}
    for name, data in files.items():
        path = folder / name
        assert ".." not in path.parts, f"{name} leads out of the run folder"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, variant in bases.items():
        write_campaign(folder / name, variant.campaign, variant.faults)


def _header(record: RunRecord, content: str, files: list[str]) -> Row:
    return {
        "schema": SCHEMA,
        "name": record.name,
        "config_sha256": record.sha256,
        "content_sha256": content,
        "variants": list(record.variants),
        "provenance": dict(record.provenance),
        "files": files,
    }


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
    header = _run_header(folder)
    return header is not None and str(header.get("schema")).startswith(SCHEMA.rpartition("/")[0])


def _run_header(folder: Path) -> Row | None:
    """run.json as it is, or None."""
    try:
        if not (folder / "run.json").is_file():
            return None
        header = parse_json((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) else None


def save_views(directory: str | Path, views: Mapping[str, str]) -> tuple[Path, ...]:
    """Write views (relative path -> text) into a saved run folder, each file replaced as a whole,
    and list them there as written by accelsim. Returns their paths. Raises AccelsimError R511."""
    folder = Path(directory)
    header = _run_header(folder)
    if header is not None and isinstance(header.get("files"), list):
        listed = sorted({*map(str, header["files"]), *views})
        if listed != header["files"]:
            write_atomic(folder / "run.json", pretty({**header, "files": listed}))
    return tuple(write_atomic(folder / name, text) for name, text in views.items())


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
        hint = "free some space or choose another place (-o); what was there before is as it was"
        raise AccelsimError(Mistake("R511", text, hint, Location(str(target)))) from None


def load(directory: str | Path) -> RunRecord:
    """Read a run folder back; the record equals the one that was saved.

    Raises AccelsimError R512 when the folder is not a run folder, lacks a file, was changed after
    it was written, or holds what no run of accelsim writes.
    """
    record = read_record(Path(directory))
    wrong = findings(record)
    if wrong:
        hint, where = "run the config again", Location(str(directory))
        raise AccelsimError(Mistake("R512", f"is damaged: {w}", hint, where) for w in wrong)
    return record
