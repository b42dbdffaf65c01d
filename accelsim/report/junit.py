"""Verdicts as JUnit XML: one suite per run, one test case per target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from accelsim.record import RunRecord
from accelsim.verdict import Outcome, Verdict

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(records: Sequence[RunRecord]) -> str:
    """JUnit XML of all verdicts. A missed target is a failure of type ``fail``, an undecided one a
    failure of type ``inconclusive``: neither lets a gate pass. One that does not apply is skipped,
    which lets it pass, and says why. The same records give the same text; names are escaped, and
    characters that XML cannot hold are replaced."""
    verdicts = [v for record in records for v in record.verdicts]
    root = ElementTree.Element("testsuites", _counts("accelsim", verdicts))
    for record in records:
        suite = ElementTree.SubElement(
            root, "testsuite", _counts(_clean(record.name), record.verdicts)
        )
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("config.sha256", record.sha256), *_versions(record)):
            ElementTree.SubElement(
                properties, "property", {"name": _clean(name), "value": _clean(value)}
            )
        for verdict in record.verdicts:
            _case(suite, record.name, verdict)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _versions(record: RunRecord) -> list[tuple[str, str]]:
    """Provenance without its wall-clock field, so that equal runs give equal files."""
    return [(k, v) for k, v in sorted(record.provenance.items()) if k != "created"]


def _counts(name: str, verdicts: Sequence[Verdict]) -> dict[str, str]:
    missed = sum(v.outcome != Outcome.PASS for v in verdicts)
    return {
        "name": name,
        "tests": str(len(verdicts)),
        "failures": str(missed),
        "errors": "0",
        "skipped": str(sum(not v.applicable for v in verdicts)),
    }


def _case(suite: ElementTree.Element, run: str, verdict: Verdict) -> None:
    attributes = {
        "classname": _clean(f"{run}.{verdict.variant}"),
        "name": _clean(f"{verdict.name} {requirement(verdict)}"),
        "file": _clean(verdict.location.partition(":")[0]),
    }
    case = ElementTree.SubElement(suite, "testcase", attributes)
    statement = _clean(f"{measured(verdict)}, required {requirement(verdict)}")
    if not verdict.applicable:
        label = _clean(f"{verdict.outcome.upper()} ({verdict.detail})")
        ElementTree.SubElement(case, "skipped", {"message": label})
        return
    if verdict.outcome == Outcome.PASS:
        ElementTree.SubElement(case, "system-out").text = statement
        return
    kind = {"type": str(verdict.outcome), "message": statement}
    failure = ElementTree.SubElement(case, "failure", kind)
    failure.text = _clean(f"{statement}\n{verdict.detail}\n{verdict.location}")


def measured(verdict: Verdict) -> str:
    """Metric, value and the bound that was judged: ``sdc.p = 0.008 (judged on 0.0095)``."""
    unit = _unit(verdict)
    value = "not finite" if verdict.value is None else f"{verdict.value:.6g}{unit}"
    if verdict.bound is None or verdict.bound == verdict.value:
        return f"{verdict.quantity} = {value}"
    return f"{verdict.quantity} = {value} (judged on {verdict.bound:.6g}{unit})"


def requirement(verdict: Verdict) -> str:
    """The limit: ``<= 0.02 s`` or ``in [1, 2] ms``."""
    unit = _unit(verdict)
    if verdict.limit_high is not None:
        return f"in [{verdict.limit:.6g}, {verdict.limit_high:.6g}]{unit}"
    return f"{verdict.relation} {verdict.limit:.6g}{unit}"


def _unit(verdict: Verdict) -> str:
    return f" {verdict.unit}" if verdict.unit not in ("", "1") else ""


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
