"""Targets that are not met as SARIF 2.1.0, for code-scanning views."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from accelsim.record import RunRecord
from accelsim.verdict import Outcome, Verdict


def sarif_json(records: Sequence[RunRecord]) -> str:
    """One SARIF run; a failed target is an error, an inconclusive one a warning."""
    verdicts = [v for r in records for v in r.verdicts if v.outcome != Outcome.PASS]
    rules = sorted({v.metric for v in verdicts})
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "accelsim",
                        "rules": [
                            {"id": rule, "shortDescription": {"text": f"target on {rule}"}}
                            for rule in rules
                        ],
                    }
                },
                "results": [_result(v) for v in verdicts],
            }
        ],
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _result(verdict: Verdict) -> dict[str, Any]:
    file, _, rest = verdict.location.partition(":")
    line, _, column = rest.partition(":")
    region = {"startLine": int(line)} if line.isdigit() else {}
    if column.isdigit():
        region["startColumn"] = int(column)
    physical: dict[str, Any] = {"artifactLocation": {"uri": file}}
    if region:
        physical["region"] = region
    return {
        "ruleId": verdict.metric,
        "level": "error" if verdict.outcome == Outcome.FAIL else "warning",
        "message": {"text": f"{verdict.name} ({verdict.variant}): {verdict.detail}"},
        "locations": [{"physicalLocation": physical}],
    }
