"""``accelsim explain CONFIG``: the search space, the choice and the bounds are said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accelsim.errors import AccelsimError
from accelsim.pipeline import explain_config

QUICKSTART = Path(__file__).parents[3] / "configs" / "runs" / "quickstart.yaml"


def entry(text: str, op: str) -> str:
    """The lines of one operator."""
    found = re.search(rf"^{re.escape(op)} \(.*(?:\n  .*)+", text, re.M)
    assert found, text
    return found.group()


def test_every_operator_says_its_space_its_choice_and_its_bounds() -> None:
    text = explain_config(QUICKSTART, {"schedule.effort": 2})
    assert "searched for latency" in text
    assert "lower bounds: compute 158,403" in text
    conv = entry(text, "layer1.0.conv1")
    assert "40 tilings (40 nmk) x 4 residencies -> 320 mappings; 23 kept" in conv
    assert "at least array 9,216" in conv
    estimated = [int(c.replace(",", "")) for c in re.findall(r"cycles  ([\d,]+) estimated", text)]
    least = [int(c.replace(",", "")) for c in re.findall(r"at least \w+ ([\d,]+)", text)]
    assert len(estimated) == len(least) == 35
    assert all(e >= b for e, b in zip(estimated, least, strict=True))


def test_who_waits_for_banks_is_said() -> None:
    banks = {"banks": 4, "alignment": 32, "bank_ports": 2, "layout": "nchw"}
    text = explain_config(
        QUICKSTART,
        {
            "mapping.rule": "layer",
            **{f"accelerator.scratchpad.{key}": value for key, value in banks.items()},
        },
    )
    waits = re.search(
        r"waits   ([\d,]+) of the array's ([\d,]+) cycles", entry(text, "layer1.0.conv1")
    )
    assert waits
    waiting, cycles = (int(figure.replace(",", "")) for figure in waits.groups())
    assert 0 < waiting < cycles
    assert "slots and conflicts of its banks" in text
    assert "waits" not in explain_config(QUICKSTART, {"mapping.rule": "layer"})


def test_a_rule_is_named_and_claims_nothing() -> None:
    text = explain_config(QUICKSTART, {"mapping.rule": "fold"})
    assert "by rule 'fold', nothing searched, nothing proved" in text
    assert "kept" not in entry(text, "layer1.0.conv1")


def test_a_fixed_layer_is_obeyed() -> None:
    text = explain_config(
        QUICKSTART, {"mapping.layers": {"layer1.0.conv1": {"n": 8}}, "schedule.effort": 2}
    )
    assert re.search(r"chosen  m [\d,]+ n 8 ", entry(text, "layer1.0.conv1"))


def test_a_fixed_layer_that_cannot_run_is_refused() -> None:
    with pytest.raises(AccelsimError, match="k must be between 1 and 144"):
        explain_config(QUICKSTART, {"mapping.layers": {"layer1.0.conv1": {"k": 10_000}}})


def test_a_run_without_simulation_has_no_mapping() -> None:
    plain = {"simulate": False, "accelerator": None, "safety": None, "targets": [], "faults": None}
    with pytest.raises(AccelsimError, match="no mapping"):
        explain_config(QUICKSTART, plain)
