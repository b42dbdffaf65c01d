"""What one run produced, as frozen values, and how its parts are written as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from accelsim.metrics import SCHEMA as METRICS_SCHEMA
from accelsim.metrics import Metric, Metrics
from accelsim.report.tables import Row, csv_text, plain
from accelsim.verdict import Verdict

SCHEMA = "accelsim/run-record/v1"
BASE = "base"


@dataclass(frozen=True)
class VariantRecord:
    """Everything one variant produced. Dicts and rows hold JSON types (text, numbers, lists, None);
    a part that was not produced is empty or None."""

    metrics: Metrics
    layers: tuple[Row, ...] = ()
    """One row per operator, in order of execution."""
    plan: Row | None = None
    trace: bytes | None = None
    """As encoded by :mod:`accelsim.sim.rle`."""
    exposure: tuple[Row, ...] = ()
    """One row per tensor and structure: bits, bit-cycles."""
    fmeda: Row | None = None
    """``rows`` and ``metrics``; the rows' keys, in their order, are columns of the CSV."""
    campaign: Row | None = None
    """Outcome of the fault campaign without its single faults."""
    faults: tuple[Row, ...] = ()
    """One row per fault, all with the same keys; integers below 2^63."""
    curves: Row = field(default_factory=dict)
    """Chart data."""
    info: Row = field(default_factory=dict)
    """What a reader must know beside the figures: network, machine, seed, fallbacks, notes."""


@dataclass(frozen=True)
class RunRecord:
    """One run of a config file: all variants, their verdicts, and where they come from."""

    name: str
    config: str
    """Canonical JSON of the resolved configuration."""
    sha256: str
    """Of ``config``."""
    variants: Mapping[str, VariantRecord]
    """All variants in order, the base run under :data:`BASE` among them."""
    verdicts: tuple[Verdict, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Versions, and ``created``: the only wall-clock value, outside the content hash."""

    @property
    def base(self) -> VariantRecord:
        """The base run."""
        return self.variants[BASE]

    @property
    def others(self) -> dict[str, VariantRecord]:
        """The variants without the base run."""
        return {name: v for name, v in self.variants.items() if name != BASE}


def variant_folder(name: str) -> str:
    """Path of a variant's files within the run folder: empty for the base run. Characters that a
    path cannot hold are percent-encoded, so that no name leads out of the folder."""
    if name == BASE:
        return ""
    encoded = quote(name, safe=" +=,@", errors="backslashreplace") or "%"
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > 120:  # a file system ends at 255 bytes
        encoded = encoded[:100] + hashlib.sha256(encoded.encode()).hexdigest()[:16]
    return f"variants/{encoded}/"


def documents(record: RunRecord) -> dict[str, bytes]:
    """Relative path -> content of every file but run.json and the databases: a pure function of
    the record, in which provenance takes no part."""
    texts = {
        "config.json": record.config,
        "metrics.json": metrics_json(record.variants),
        "verdicts.json": pretty([asdict(v) for v in record.verdicts]),
    }
    found = {name: encode(text) for name, text in texts.items()}
    for name, variant in record.variants.items():
        folder = variant_folder(name)
        found |= {folder + file: data for file, data in _variant_documents(variant).items()}
    return found


def _variant_documents(variant: VariantRecord) -> dict[str, bytes]:
    found = {"info.json": encode(pretty(variant.info))}
    if variant.plan is not None:
        found["plan.json"] = encode(pretty(variant.plan))
    if variant.fmeda is not None:
        found["fmeda.json"] = encode(pretty(variant.fmeda, sort=False))
    if variant.curves:
        found["curves.json"] = encode(dense(variant.curves) + "\n")
    for name, text in _variant_tables(variant).items():
        found[name] = encode(text)
    if variant.trace is not None:
        found["trace.rle.json.gz"] = variant.trace
    return found


def _variant_tables(variant: VariantRecord) -> dict[str, str]:
    found = {}
    if variant.layers:
        found["layers.csv"] = csv_text(variant.layers)
    if variant.exposure:
        found["exposure.csv"] = csv_text(variant.exposure)
    if variant.fmeda is not None and variant.fmeda.get("rows"):
        found["fmeda.csv"] = csv_text(variant.fmeda["rows"], exact=False)
    return found


def csv_files(record: RunRecord) -> dict[str, str]:
    """Relative path -> text of every table of the run, the single faults included."""
    rows: list[Row] = []
    found: dict[str, str] = {}
    for name, variant in record.variants.items():
        folder = variant_folder(name)
        found |= {folder + file: text for file, text in _variant_tables(variant).items()}
        if variant.faults:
            found[f"{folder}faults.csv"] = csv_text(variant.faults, exact=False)
        metrics = sorted(variant.metrics.items())
        rows += [{"variant": name, "metric": key, **m.to_json()} for key, m in metrics]
    columns = ("variant", "metric", "value", "unit", "lower", "upper", "confidence", "n", "source")
    found["metrics.csv"] = csv_text(rows, columns, exact=False)
    return found


def metrics_json(variants: Mapping[str, VariantRecord]) -> str:
    """The contract: metrics of the base run on top, those of the others under ``variants``."""
    objects = {
        name: {key: _metric(metric) for key, metric in variant.metrics.items()}
        for name, variant in variants.items()
    }
    tree = {
        "schema": METRICS_SCHEMA,
        "metrics": objects.get(BASE, {}),
        "variants": {n: {"metrics": o} for n, o in objects.items() if n != BASE},
    }
    return pretty(tree)


def _metric(metric: Metric) -> Row:
    """A value that is no number is null; a bound that is none is left out, as one never given."""
    return {k: v for k, v in plain(metric.to_json()).items() if v is not None or k == "value"}


def content_sha256(record: RunRecord, files: Mapping[str, bytes] | None = None) -> str:
    """Hash of everything a record holds except the time of its creation; the same whatever
    number of workers or version of SQLite wrote it. ``files``: its :func:`documents`, if at hand.
    """
    digest = hashlib.sha256()
    parts = list((documents(record) if files is None else files).items())
    for name, variant in record.variants.items():
        single = [list(row.items()) for row in variant.faults]
        parts.append((f"campaign of {name}", encode(dense([variant.campaign, single]))))
    origin = {key: value for key, value in record.provenance.items() if key != "created"}
    parts.append(("run", encode(dense([record.name, record.sha256, origin]))))
    for name, data in sorted(parts):
        digest.update(encode(f"{name}\0{len(data)}\0"))
        digest.update(data)
    return digest.hexdigest()


def encode(text: str) -> bytes:
    """UTF-8; what UTF-8 cannot hold (a lone surrogate in a hostile name) is escaped."""
    return text.encode("utf-8", "backslashreplace")


def pretty(tree: Any, *, sort: bool = True) -> str:
    """JSON for people and diffs: a line per value, no NaN; keys sorted, or in their own order."""
    return json.dumps(plain(tree), indent=1, sort_keys=sort, allow_nan=False) + "\n"


def dense(tree: Any) -> str:
    """JSON without white space, sorted keys, no NaN."""
    return json.dumps(plain(tree), sort_keys=True, allow_nan=False, separators=(",", ":"))
