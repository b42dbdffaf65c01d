"""JUnit XML: one case per verdict, failures that say why, hostile names."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from accelsim.report.junit import junit_xml
from accelsim.store import RunRecord, VariantRecord
from accelsim.verdict import Outcome, Verdict

PASSED = Verdict(
    "latency.seconds", "latency.seconds", "base", Outcome.PASS, 0.001, 0.001, "<=", 0.002, None,
    "s", "exact", "runs/q.yaml:3:5",
)  # fmt: skip
UNDECIDED = Verdict(
    "ASIL B: asil.pmhf_fit", "asil.pmhf_fit", "safe", Outcome.INCONCLUSIVE, 9.0, 10.5, "<", 10.0,
    None, "FIT", "about 3,400 faults would decide", "runs/q.yaml:9:5",
)  # fmt: skip
MISSED = Verdict(
    "accuracy.worst", "accuracy.worst", "base", Outcome.FAIL, 0.5, 0.5, "in", 0.8, 0.9, "1",
    "below the range", "runs/q.yaml:12:5",
)  # fmt: skip


def record(verdicts, name="quickstart", created="2024"):
    return RunRecord(
        name=name,
        config="{}",
        sha256="ab" * 32,
        variants={"base": VariantRecord(metrics={})},
        verdicts=tuple(verdicts),
        provenance={"accelsim": "0.1.0", "created": created},
    )


def test_cases_and_counts():
    root = ElementTree.fromstring(junit_xml([record([PASSED, UNDECIDED, MISSED]), record([])]))
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures")) == ("3", "2")
    first, second = root.findall("testsuite")
    assert (first.get("name"), first.get("tests"), first.get("failures")) == (
        "quickstart",
        "3",
        "2",
    )
    assert second.get("tests") == "0"
    good, unsure, bad = first.findall("testcase")
    assert good.get("classname") == "quickstart.base"
    assert good.get("name") == "latency.seconds <= 0.002 s"
    assert good.get("file") == "runs/q.yaml"
    assert good.find("failure") is None
    failure = unsure.find("failure")
    assert failure.get("type") == "inconclusive"
    assert failure.get("message") == (
        "asil.pmhf_fit = 9 FIT (judged on 10.5 FIT), required < 10 FIT"
    )
    assert failure.text.splitlines() == [
        failure.get("message"), "about 3,400 faults would decide", "runs/q.yaml:9:5",
    ]  # fmt: skip
    failure = bad.find("failure")
    assert failure.get("type") == "fail"
    assert failure.get("message") == "accuracy.worst = 0.5, required in [0.8, 0.9]"


def test_not_applicable_passes_and_says_so():
    reason = "not applicable: no permanent multiple-point faults"
    void = replace(PASSED, value=None, bound=None, detail=reason, applicable=False)
    root = ElementTree.fromstring(junit_xml([record([void, PASSED])]))
    case = root.find("testsuite/testcase")
    assert case.find("skipped").get("message") == f"PASS ({reason})"
    assert case.find("failure") is None
    for counts in (root, root.find("testsuite")):
        assert [counts.get(k) for k in ("tests", "failures", "skipped")] == ["2", "0", "1"]


def test_a_ratio_without_a_finite_value_is_not_called_inapplicable():
    endless = replace(MISSED, value=None, bound=None)
    root = ElementTree.fromstring(junit_xml([record([endless])]))
    message = root.find("testsuite/testcase/failure").get("message")
    assert message.startswith("accuracy.worst = not finite")


def test_no_wall_clock():
    assert junit_xml([record([PASSED])]) == junit_xml([record([PASSED], created="2031")])


@given(
    text=st.text() | st.sampled_from(["<script>&\"'", "]]>", "\x00\x1b[31m", "\ud800", "\ufffe"])
)
def test_hostile_names_stay_text(text):
    verdict = replace(MISSED, name=text, variant=text, detail=text, location=text, unit=text)
    xml = junit_xml([record([verdict], name=text)])
    root = ElementTree.fromstring(xml.encode("utf-8"))
    cases = root.findall("testsuite/testcase")
    assert len(cases) == 1
    if text.isprintable():
        assert cases[0].get("name").startswith(text)
