"""The files of the benchmarks: ``results.json`` and one ``peers/<name>.json`` per other tool."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.rows import PEERS, ROOT, PeerRecord

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
LEAF = re.compile(r"([\[{])\n\s+([^\[\]{}]*?)\n\s+([\]}])")


def text_of(document: Any) -> str:
    """Indented JSON, each innermost list or object on one line: small and readable in a diff."""

    def joined(match: re.Match[str]) -> str:
        inner = " ".join(line.strip(" ") for line in match[2].split("\n"))
        return f"{match[1]}{inner}{match[3]}"

    return LEAF.sub(joined, json.dumps(document, indent=1, ensure_ascii=False)) + "\n"


def peer_path(name: str) -> Path:
    """Where a peer's answers are kept."""
    return PEERS / f"{name}.json"


def cached_peer(name: str) -> PeerRecord | None:
    """A peer's answers of an earlier measurement, if there are any."""
    path = peer_path(name)
    if not path.is_file():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    document.pop("schema")
    return PeerRecord(**document)
