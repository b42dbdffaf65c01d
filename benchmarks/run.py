"""Runs the benchmarks: ``python -m benchmarks.run [--only NAME] [--cached-peers] [--write]``.

Prints one table per benchmark. With ``--write`` the figures go to benchmarks/results.json, the
other tools' raw answers to benchmarks/peers, and docs/benchmarks.md is drawn again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from benchmarks.page import page, table
from benchmarks.rows import Measured, Row, Settings, machine, versions
from benchmarks.sample import SampleFailedError
from benchmarks.store import PAGE, RESULTS, peer_path, text_of

SCHEMA = "accelsim/benchmarks/v1"
BENCHMARKS: Mapping[str, str] = MappingProxyType(
    {
        name: f"benchmarks.cases.{name}"
        for name in ("scalesim", "zigzag", "vela", "resnet50", "transformer", "tiles", "search")
    }
)
"""Name -> module with ``TITLE``, ``ABOUT`` and ``measure``, in the order of the page."""


def measured(name: str, settings: Settings) -> Measured:
    """One benchmark; a failure of its own becomes its only row."""
    try:
        result: Measured = importlib.import_module(BENCHMARKS[name]).measure(settings)
    except SampleFailedError as error:
        return Measured((Row(name, "all figures", None, "", note=str(error)),))
    return result


def section(name: str, result: Measured) -> dict[str, Any]:
    """A benchmark's part of results.json."""
    module = importlib.import_module(BENCHMARKS[name])
    return {
        "title": module.TITLE,
        "about": " ".join(module.ABOUT.split()),
        "machine": machine(),
        "versions": versions(),
        "rows": [asdict(row) for row in result.rows],
    }


def merged(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """results.json with fresh sections in place of the old ones, in the order of the page."""
    old: dict[str, Any] = {}
    if RESULTS.is_file():
        old = json.loads(RESULTS.read_text(encoding="utf-8"))["benchmarks"]
    both = old | sections
    return {
        "schema": SCHEMA,
        "benchmarks": {name: both[name] for name in BENCHMARKS if name in both},
    }


def write(results: dict[str, Measured]) -> None:
    """Writes every file that the fresh results change."""
    for result in results.values():
        if result.peer is not None:
            path = peer_path(result.peer.name)
            path.write_text(text_of(result.peer.document()), encoding="utf-8")
    document = merged({name: section(name, result) for name, result in results.items()})
    RESULTS.write_text(text_of(document), encoding="utf-8")
    PAGE.write_text(page(document), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run")
    parser.add_argument("--only", action="append", choices=tuple(BENCHMARKS), metavar="NAME")
    parser.add_argument("--cached-peers", action="store_true", help="do not run the other tools")
    parser.add_argument("--write", action="store_true", help="write results.json and the page")
    parser.add_argument(
        "--samples", type=int, default=Settings.samples, help="processes per figure"
    )
    return parser.parse_args()


def main() -> None:
    """Entry point. A missed goal is a result, not an error: the exit status stays 0."""
    asked = arguments()
    settings = Settings(samples=max(1, asked.samples), cached_peers=asked.cached_peers)
    results: dict[str, Measured] = {}
    for name in asked.only or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = measured(name, settings)
        print(f"{importlib.import_module(BENCHMARKS[name]).TITLE}\n")
        print(table(results[name].rows) + "\n", flush=True)
    if asked.write:
        write(results)
    missed = sum(row.verdict == "missed" for result in results.values() for row in result.rows)
    print(f"{missed} goals missed", file=sys.stderr)


if __name__ == "__main__":
    main()
