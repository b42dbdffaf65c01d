"""Verdicts: unfavourable bounds, ratios, ASIL tables, what would decide."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.config.types import TargetConfig
from accelsim.errors import AccelsimError, Location
from accelsim.metrics import SCHEMA, Metric
from accelsim.verdict import ASIL_LIMITS, Outcome, Verdict, exit_code, judge, tally

HERE = Location("run.yaml", 9, 5)


def target(metric: str | None = "sdc.p", **kwargs: Any) -> TargetConfig:
    return TargetConfig(HERE, metric, **kwargs)


def metric(
    value: float | int | str, lower: float | None = None, upper: float | None = None, **kwargs: Any
) -> Metric:
    return Metric(value, kwargs.pop("unit", "1"), "test", lower, upper, **kwargs)


def one(requirement: TargetConfig, **runs: Metric) -> Verdict:
    """The verdict on one target; every run holds the target's metric."""
    assert requirement.metric is not None
    metrics = {name: {requirement.metric: value} for name, value in runs.items()}
    [verdict] = judge([requirement], metrics)
    return verdict


@pytest.mark.parametrize(
    ("limits", "values", "outcome", "bound"),
    [
        ({"at_most": 0.1}, (0.05, 0.04, 0.09), "pass", 0.09),
        ({"at_most": 0.1}, (0.05, 0.04, 0.11), "inconclusive", 0.11),
        ({"at_most": 0.1}, (0.12, 0.09, 0.15), "inconclusive", 0.15),
        ({"at_most": 0.1}, (0.12, 0.11, 0.15), "fail", 0.15),
        ({"at_most": 0.1}, (0.1, None, None), "pass", 0.1),
        ({"at_most": 0.1}, (0.11, None, None), "fail", 0.11),
        ({"at_most": 0.1}, (0.05, None, 0.09), "pass", 0.09),
        ({"at_least": 0.9}, (0.95, 0.91, 0.97), "pass", 0.91),
        ({"at_least": 0.9}, (0.95, 0.89, 0.97), "inconclusive", 0.89),
        ({"at_least": 0.9}, (0.8, 0.7, 0.89), "fail", 0.7),
        ({"between": (0.1, 0.3)}, (0.2, 0.15, 0.25), "pass", 0.25),
        ({"between": (0.1, 0.3)}, (0.2, 0.05, 0.25), "inconclusive", 0.05),
        ({"between": (0.1, 0.3)}, (0.5, 0.4, 0.6), "fail", 0.6),
        ({"between": (0.1, 0.3)}, (0.05, 0.01, 0.09), "fail", 0.01),
        ({"at_least": 0}, (0, None, None), "pass", 0),
        # only one side is stated: the absent one is not the point value
        ({"at_most": 0.1}, (0.05, 0.04, None), "inconclusive", None),
        ({"at_most": 0.1}, (0.2, 0.15, None), "fail", None),
        ({"at_most": 0.1}, (0.2, None, 0.3), "inconclusive", 0.3),
        ({"at_least": 0.9}, (0.95, None, 0.97), "inconclusive", None),
        ({"at_least": 0.9}, (0.85, 0.8, None), "inconclusive", 0.8),
        ({"at_least": 0.9}, (0.85, None, 0.89), "fail", None),
        ({"between": (0.1, 0.3)}, (0.2, 0.15, None), "inconclusive", None),
        ({"between": (0.1, 0.3)}, (0.2, None, 0.25), "inconclusive", None),
        ({"between": (0.1, 0.3)}, (0.5, 0.4, None), "fail", None),
    ],
)
def test_the_unfavourable_bound_decides(
    limits: dict[str, Any], values: tuple[Any, ...], outcome: str, bound: float | None
) -> None:
    verdict = one(target(**limits), base=metric(*values))
    assert verdict.outcome == outcome
    assert verdict.bound == bound
    assert verdict.location == "run.yaml:9:5"


@pytest.mark.parametrize("known", [{"confidence": 0.95}, {"n": 2000}])
@pytest.mark.parametrize("limits", [{"at_most": 0.1}, {"at_least": 0.1}, {"between": (0.0, 0.2)}])
def test_a_point_estimate_decides_nothing(known: dict[str, Any], limits: dict[str, Any]) -> None:
    for value in (0.0, 0.05, 0.1, 0.5):
        verdict = one(target(**limits), base=metric(value, **known))
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "no bound is stated" in verdict.detail
        assert verdict.bound is None
    one_sided = one(target(at_most=0.1), base=metric(0.05, 0.01, **known))
    assert "no upper bound is stated" in one_sided.detail


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("accuracy.worst", "worst of the faults tried, not a bound"),
        ("accuracy.worst@1e-05", "worst of the faults tried, not a bound"),
        ("accuracy.fault_free", "on the fixed evaluation set"),
    ],
)
def test_what_was_only_observed_is_called_so(name: str, words: str) -> None:
    """A sample extreme has no interval: it is judged as it is, and every verdict says so."""
    for value, outcome in ((0.6, "pass"), (0.4, "fail")):
        verdict = one(target(name, at_least=0.5), base=metric(value, n=2000))
        assert verdict.outcome == outcome
        assert words in verdict.detail


def test_nan_never_passes() -> None:
    for limits in ({"at_most": 1.0}, {"at_least": -math.inf}, {"between": (-1.0, 1.0)}):
        for values in ((math.nan,), (0.0, math.nan, 0.1), (0.0, 0.0, math.nan)):
            verdict = one(target(**limits), base=metric(*values))
            assert verdict.outcome is Outcome.FAIL
            assert "NaN" in verdict.detail
            assert verdict.bound is None
            ratio = one(target(relative_to="v", **limits), base=metric(*values), v=metric(1.0))
            assert ratio.outcome is Outcome.FAIL


def test_the_sample_size_that_would_decide() -> None:
    # half-width 0.04 must shrink to the distance 0.02: four times the samples if it went with
    # 1/sqrt(n) alone, a little less as its rare-event part goes with 1/n
    verdict = one(target(at_most=0.1), base=metric(0.08, 0.05, 0.12, n=1000, confidence=0.95))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "about 3511 samples would decide" in verdict.detail
    assert "0.95 confidence" in verdict.detail
    unknown = one(target(at_most=0.1), base=metric(0.08, 0.05, 0.12))
    assert "about 3.5 times" in unknown.detail
    # no event in 1000: the bound shrinks like 1/n, so a quarter of it takes 4000, not 16000
    clean = one(target(at_most=0.001), base=metric(0.0, 0.0, 0.004, n=1000, confidence=0.95))
    assert "about 4000 samples would decide" in clean.detail
    rate = one(target(at_most=10.0), base=metric(8.0, 6.0, 12.0, unit="FIT"))
    assert "about 2 to 4 times the samples would decide, the fewer the rarer" in rate.detail
    at_limit = one(target(at_most=0.1), base=metric(0.1, 0.05, 0.12, n=10))
    assert "too close" in at_limit.detail


def test_ratio_of_exact_metrics() -> None:
    verdict = one(
        target("latency.cycles", at_most=1.05, relative_to="base", variant="v"),
        base=metric(100, unit="cycles"),
        v=metric(104, unit="cycles"),
    )
    assert (verdict.outcome, verdict.value, verdict.variant) == (Outcome.PASS, 1.04, "v")
    assert (verdict.limit, verdict.unit) == (1.05, "1")
    assert "ratio to 'base' (100 cycles)" in verdict.detail


def test_ratio_of_intervals_uses_the_worst_quotient() -> None:
    verdict = one(
        target(at_most=0.5, relative_to="base", variant="v"),
        base=metric(0.10, 0.08, 0.12, n=2000, confidence=0.95),
        v=metric(0.02, 0.01, 0.03, n=1000, confidence=0.9),
    )
    assert verdict.outcome is Outcome.PASS
    assert verdict.bound == pytest.approx(0.03 / 0.08)
    assert "at 0.85 confidence" in verdict.detail
    assert "both intervals hold at 1 - 0.1 - 0.05 = 0.85" in verdict.detail
    verdict = one(
        target(at_most=0.3, relative_to="base", variant="v"),
        base=metric(0.10, 0.08, 0.12, n=2000),
        v=metric(0.02, 0.01, 0.03, n=1000),
    )
    assert verdict.outcome is Outcome.INCONCLUSIVE
    # value 0.2, bound 0.375, limit 0.3: 1000 times 0.175 / 0.1, or times its square
    assert "about 1750 to 3063 samples" in verdict.detail
    assert "confidence" not in verdict.detail, "none was stated"


def test_confidences_of_a_ratio_add_their_errors() -> None:
    """Two intervals at 95 % hold together at 90 %, not at the smaller of the two."""

    def detail(first: Metric, second: Metric) -> str:
        gate = target(at_most=9.0, relative_to="base", variant="v")
        return one(gate, base=second, v=first).detail

    sure = metric(0.2, 0.1, 0.3, confidence=0.95)
    assert "at 0.9 confidence" in detail(sure, sure)
    assert "1 - 0.05 - 0.05 = 0.9" in detail(sure, sure)
    assert "at 0.95 confidence" in detail(sure, metric(0.1))
    assert "at 0.95 confidence" in detail(metric(0.1), sure)
    assert "confidence" not in detail(sure, metric(0.2, 0.1, 0.3))


@pytest.mark.parametrize("side", ["at_most", "at_least"])
def test_a_ratio_of_one_sided_estimates(side: str) -> None:
    def outcome(value: Metric, reference: Metric, limit: float) -> str:
        gate = target("asil.pmhf_fit", relative_to="base", variant="v", **{side: limit})
        return one(gate, base=reference, v=value).outcome

    above = metric(1.0, None, 2.0, confidence=0.95)
    assert outcome(above, above, 100.0) == "inconclusive", "the reference may be near 0"
    assert outcome(above, above, 0.01) == "inconclusive"
    # 2 / 4 at most, whatever the reference's upper bound; no lower bound
    halved = outcome(above, metric(5.0, 4.0, None), 0.5)
    assert halved == ("pass" if side == "at_most" else "inconclusive")
    for low in (0.0, -1.0):  # the reference may be 0, or negative
        unsigned = metric(5.0, low, None)
        assert outcome(above, unsigned, 1e9 if side == "at_most" else -1e9) == "inconclusive"
    # 2 / 5 at least, whatever the value's upper bound
    more = outcome(metric(3.0, 2.0, None), metric(4.0, 3.0, 5.0), 0.4)
    assert more == ("pass" if side == "at_least" else "inconclusive")


def test_a_reference_of_zero() -> None:
    def ratio(value: Metric, reference: Metric, **limits: Any) -> Verdict:
        return one(target(relative_to="base", variant="v", **limits), base=reference, v=value)

    unchanged = ratio(metric(0), metric(0), at_most=1.0)
    assert (unchanged.outcome, unchanged.value) == (Outcome.PASS, 1.0)
    assert "both are 0" in unchanged.detail
    grown = ratio(metric(3), metric(0), at_most=1.0)
    assert (grown.outcome, grown.value, grown.bound) == (Outcome.FAIL, None, None)
    assert "reference is 0" in grown.detail
    open_end = ratio(metric(0.1, 0.05, 0.2), metric(0.0, 0.0, 0.1), at_most=1.0)
    assert open_end.outcome is Outcome.INCONCLUSIVE
    assert "no bound" in open_end.detail
    surely_more = ratio(metric(0.3, 0.25, 0.4), metric(0.0, 0.0, 0.1), at_most=1.0)
    assert surely_more.outcome is Outcome.FAIL
    at_least = ratio(metric(0.3, 0.25, 0.4), metric(0.0, 0.0, 0.1), at_least=2.0)
    assert at_least.outcome is Outcome.PASS


@given(st.tuples(*[st.floats(0, 1)] * 3), st.tuples(*[st.floats(0, 1)] * 3), st.floats(0, 4))
def test_ratio_bounds_hold_every_quotient(
    first: tuple[float, ...], second: tuple[float, ...], limit: float
) -> None:
    """Sampled quotients decide as the verdict does, or the verdict is inconclusive."""
    (a, b, c), (d, e, f) = sorted(first), sorted(second)
    if d < 1e-6:
        return
    verdict = one(
        target(at_most=limit, relative_to="base", variant="v"),
        base=metric(e, d, f),
        v=metric(b, a, c),
    )
    draw = random.Random(1)
    for _ in range(20):
        quotient = draw.uniform(a, c) / draw.uniform(d, f)
        if verdict.outcome is Outcome.PASS:
            assert quotient <= limit * (1 + 1e-12)
        if verdict.outcome is Outcome.FAIL:
            assert quotient >= limit * (1 - 1e-12)


FMEDA = {
    "asil.spfm": metric(0.985),
    "asil.spfm_transient": metric(0.98),
    "asil.spfm_permanent": metric(0.975),
    "asil.lfm": metric(0.85),
    "asil.pmhf_fit": metric(9.0, 8.0, 9.9, unit="FIT", confidence=0.95),
}


def test_asil_expands_to_five() -> None:
    requirement = target(None, asil="C", budget_share=0.1)
    verdicts = judge([requirement], {"base": FMEDA})
    assert [v.name for v in verdicts] == [f"ASIL C: {name}" for name in FMEDA]
    assert [v.limit for v in verdicts] == [0.97, 0.97, 0.97, 0.80, 10.0]
    assert [v.outcome for v in verdicts] == ["pass"] * 5
    assert all(v.applicable for v in verdicts)
    assert exit_code(verdicts) == 0
    higher = judge([target(None, asil="D", budget_share=0.5)], {"base": FMEDA})
    assert [v.outcome for v in higher] == ["fail", "fail", "fail", "fail", "fail"]
    assert exit_code(higher) == 1


def test_pmhf_is_strictly_below_its_share() -> None:
    at_limit = FMEDA | {"asil.pmhf_fit": metric(10.0, unit="FIT")}
    verdict = judge([target(None, asil="B", budget_share=0.1)], {"base": at_limit})[-1]
    assert (verdict.relation, verdict.limit, verdict.outcome) == ("<", 10.0, Outcome.FAIL)
    assert ASIL_LIMITS == {"B": (0.9, 0.6, 100.0), "C": (0.97, 0.8, 100.0), "D": (0.99, 0.9, 10.0)}


def test_only_lfm_may_be_not_applicable() -> None:
    requirement = target(None, asil="B", budget_share=1.0)
    without = {name: value for name, value in FMEDA.items() if name != "asil.lfm"}
    for metrics in (without, without | {"asil.lfm": metric("n/a")}):
        verdict = judge([requirement], {"base": metrics})[3]
        assert (verdict.outcome, verdict.value) == (Outcome.PASS, None)
        assert verdict.detail == "not applicable: no permanent multiple-point faults"
        assert not verdict.applicable
    del without["asil.spfm_permanent"]
    with pytest.raises(AccelsimError, match="metric not produced") as caught:
        judge([requirement], {"base": without})
    assert [m.code for m in caught.value.mistakes] == ["V601"]
    with pytest.raises(AccelsimError) as caught:
        judge([requirement], {"base": {}})
    assert len(caught.value.mistakes) == 5


def test_fault_rates_in_names_compare_as_numbers() -> None:
    [verdict] = judge(
        [target("sdc.p@1e-05", at_most=0.5)], {"base": {"sdc.p@0.00001": metric(0.1)}}
    )
    assert verdict.outcome is Outcome.PASS
    with pytest.raises(AccelsimError, match="V601"):
        judge([target("sdc.p@1e-06", at_most=0.5)], {"base": {"sdc.p@1e-05": metric(0.1)}})


def test_missing_and_text_metrics_are_reported_together() -> None:
    requirements = [target("latency.cycles", at_most=1.0), target("bound.resource", at_most=1.0)]
    with pytest.raises(AccelsimError) as caught:
        judge(requirements, {"base": {"bound.resource": metric("dram", unit="")}})
    assert [m.code for m in caught.value.mistakes] == ["V601", "V601"]
    assert str(caught.value.mistakes[0].location) == "run.yaml:9:5"


def document(**values: Any) -> dict[str, Any]:
    metrics = {"latency.cycles": {"value": 100, "unit": "cycles", "source": "sim"}}
    variant = {"metrics": {"latency.cycles": {"value": 50, "unit": "cycles", "source": "sim"}}}
    return {"schema": SCHEMA, "metrics": metrics, "variants": {"v": variant}} | values


def test_an_earlier_run_as_reference(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps(document()))
    runs = {name: {"latency.cycles": metric(100, unit="cycles")} for name in ("base", "v")}
    gates = [
        target("latency.cycles", at_most=1.0, relative_to=str(file)),
        target("latency.cycles", at_most=1.0, relative_to=str(file), variant="v"),
    ]
    same, slower = judge(gates, runs)
    assert (same.outcome, same.value) == (Outcome.PASS, 1.0)
    assert (slower.outcome, slower.value) == (Outcome.FAIL, 2.0)
    assert "metrics.json" in same.detail


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "V602"),
        ("[]", "V602"),
        ("{", "V602"),
        ("[" * 100_000, "V602"),
        (json.dumps({"schema": "other", "metrics": {}}), "V602"),
        (json.dumps(document(variants={})), "V602"),
        (json.dumps(document(variants={"v": {"metrics": {}}})), "V601"),
        (json.dumps(document(variants={"v": {"metrics": {"a": 3}}})), "V602"),
        (json.dumps(document(variants={"v": {"metrics": {"a": {"value": []}}}})), "V602"),
        (None, "V602"),
    ],
)
def test_a_bad_reference_file(tmp_path: Path, content: str | None, code: str) -> None:
    file = tmp_path / "metrics.json"
    if content is not None:
        file.write_text(content)
    requirement = target("latency.cycles", at_most=1.0, relative_to=str(file), variant="v")
    with pytest.raises(AccelsimError) as caught:
        judge([requirement], {"v": {"latency.cycles": metric(1)}})
    [mistake] = caught.value.mistakes
    assert (mistake.code, str(mistake.location)) == (code, "run.yaml:9:5")


@given(
    st.sampled_from(["at_least", "at_most"]), st.floats(-2, 2), st.tuples(*[st.floats(-2, 2)] * 3)
)
def test_a_missing_bound_never_decides(
    relation: str, limit: float, numbers: tuple[float, ...]
) -> None:
    """Leaving a bound out turns no verdict into another decision, at most into no decision."""
    low, value, high = sorted(numbers)
    whole = one(target(**{relation: limit}), base=metric(value, low, high, n=10)).outcome
    for bounds in ((low, None), (None, high), (None, None)):
        less = one(target(**{relation: limit}), base=metric(value, *bounds, n=10)).outcome
        assert less in (whole, Outcome.INCONCLUSIVE)


@given(
    st.sampled_from(["at_least", "at_most"]), st.floats(-2, 2), st.tuples(*[st.floats(-2, 2)] * 3)
)
def test_pass_and_fail_exclude_each_other(
    relation: str, limit: float, numbers: tuple[float, ...]
) -> None:
    """Against a plain restatement of the rule: all, none, or some of the interval satisfies."""
    low, value, high = sorted(numbers)
    verdict = one(target(**{relation: limit}), base=metric(value, low, high, n=10))
    ends = [end <= limit if relation == "at_most" else end >= limit for end in (low, high)]
    expected = "pass" if all(ends) else "inconclusive" if any(ends) else "fail"
    assert verdict.outcome == expected
    json.dumps(verdict.bound, allow_nan=False)


def test_the_count_names_what_does_not_apply() -> None:
    requirement = target(None, asil="C", budget_share=0.1)
    without = {name: value for name, value in FMEDA.items() if name != "asil.lfm"}
    verdicts = judge([requirement], {"base": without})
    assert tally(verdicts) == "4 of 5 targets met, 1 not applicable"
    assert [v.met for v in verdicts] == [True, True, True, False, True]
    assert verdicts[3].label == "PASS (not applicable)"
    assert exit_code(verdicts) == 0
    passing = one(target(at_most=1.0), base=metric(0.5))
    assert tally([passing]) == "1 of 1 targets met"
    assert passing.label == "PASS"
    failing = one(target(at_most=0.1), base=metric(0.5))
    assert tally([passing, failing]) == "1 of 2 targets met, 1 not met"


def test_exit_code() -> None:
    passing = one(target(at_most=1.0), base=metric(0.5))
    unsure = one(target(at_most=1.0), base=metric(0.5, 0.1, 1.5))
    assert [exit_code(v) for v in ([], [passing], [passing, unsure])] == [0, 0, 1]
