"""The CI gate's texts: one line per target, what it rests on, no forged lines."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace

import pytest

from accelsim.check import CheckResult, annotation, render_text
from accelsim.metrics import Metric
from accelsim.record import RunRecord, VariantRecord
from accelsim.verdict import NOT_APPLICABLE, Outcome, Verdict

MET = Verdict(
    "ASIL B: asil.pmhf_fit", "asil.pmhf_fit", "base", Outcome.PASS, 3.0, 4.0, "<", 10.0, None,
    "FIT", "fine", "q.yaml:3:5",
)  # fmt: skip
VOID = replace(
    MET, name="ASIL B: asil.lfm", metric="asil.lfm", value=None, bound=None, relation=">=",
    limit=0.6, unit="1", detail=NOT_APPLICABLE, applicable=False,
)  # fmt: skip
MISSED = replace(MET, outcome=Outcome.FAIL, value=30.0, bound=40.0, variant="wide")


def result(*verdicts: Verdict) -> CheckResult:
    fmeda = {"rows": [{"evidence": "assumed", "mark": "E"}, {"evidence": "measured", "mark": "S"}]}
    shares = {
        "asil.pmhf_measured_share": Metric(0.25, "1", "fmeda"),
        "asil.pmhf_example_share": Metric(1.0, "1", "fmeda"),
    }
    base = VariantRecord(metrics=shares, fmeda=fmeda)
    record = RunRecord("study", "{}", "ab" * 32, {"base": base}, tuple(verdicts))
    return CheckResult((record,), (), (0,))


def test_not_applicable_is_not_counted_as_met() -> None:
    text = result(MET, VOID, MISSED).render("text")
    assert (
        "PASS (not applicable: no permanent multiple-point faults) study: ASIL B: asil.lfm" in text
    )
    assert text.splitlines()[-1] == "1 of 3 targets met, 1 not applicable, 1 not met"
    rows = json.loads(result(VOID).render("json"))
    assert (rows[0]["outcome"], rows[0]["applicable"]) == ("pass", False)
    assert result(VOID).render("github") == ""


def test_the_gate_says_what_the_asil_verdict_rests_on() -> None:
    text = result(MET).render("text")
    assert "study, base: 25 % of the PMHF bound comes from measured (injected) rows" in text
    assert "study, base: 100 % of the PMHF bound comes from example base rates (mark E)" in text
    assert "study, base: 1 of 2 rows of the FMEDA have an example base rate (mark E)" in text
    assert "note" not in json.dumps(json.loads(result(MET).render("json")))


@pytest.mark.parametrize("evil", ["\x1b[2J", "x\nPASS forged", "\u202e", "\x9b", "\r"])
def test_names_cannot_forge_lines(evil: str) -> None:
    bad = replace(MISSED, name=evil, variant=evil, unit=evil, detail=evil, location=f"{evil}:3:5")
    found = result(bad, replace(VOID, name=evil))
    found = replace(found, records=(replace(found.records[0], name=evil),))
    for style, lines in (("text", 5), ("github", 1), ("json", None)):
        text = found.render(style)
        assert lines is None or text.count("\n") == lines
        assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")]


def test_an_endless_ratio_is_no_missing_measurement() -> None:
    assert "= not finite" in render_text([("r", replace(MISSED, value=None, bound=None))])
    assert "= not finite" in annotation(replace(MISSED, value=None, bound=None))
