"""FMEDA: a published check vector, dual-point terms by hand, the budget, exports, mistakes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import AccelsimError
from faults.fmeda import ROW_COLUMNS, check_budget, classify, fmeda, fmeda_csv, fmeda_json
from faults.rows import FmedaRow


def row(block="ram", fault_class="transient", base=100.0, **fields):
    defaults = {
        "element": "SRAM", "bits": 1000, "exposure": 1.0, "p_dangerous": 1.0,
        "p_point": 0.0, "evidence": "measured",
    }  # fmt: skip
    return FmedaRow(block=block, fault_class=fault_class, base_fit=base, **{**defaults, **fields})


def test_tcan1167_check_vector():
    """TI SFFS142, public FMEDA of the TCAN1167-Q1: printed rates reproduce the printed ratios."""
    die_latent, package_latent = 1 - 0.8377, 1 - 0.9444
    rows = [
        row("die", "permanent", 8.13, mechanism="m", coverage=1 - 2.49 / 8.13,
            coverage_latent=1 - die_latent, evidence="assumed"),
        row("die", "transient", 1.20, mechanism="m", coverage=0.5, evidence="assumed"),
        row("package", "permanent", 9.74, mechanism="m", coverage=1 - 0.58 / 9.74,
            coverage_latent=1 - package_latent, evidence="assumed"),
    ]  # fmt: skip
    die = fmeda(rows[:1])
    assert die.spfm == pytest.approx(0.6936, abs=2e-4)
    assert die.lfm == pytest.approx(0.8377, abs=1e-4)
    assert fmeda(rows[1:2]).spfm == pytest.approx(0.50)
    assert fmeda(rows[1:2]).lfm is None
    assert fmeda(rows[2:]).spfm == pytest.approx(0.9406, abs=5e-4)
    whole = fmeda(rows)
    assert whole.raw_fit == pytest.approx(19.08, abs=0.011)
    assert whole.pmhf_fit == pytest.approx(3.67, abs=1e-9)
    assert whole.spfm == pytest.approx(0.8075, abs=3e-4)
    # The sum's LFM only comes out when transients stay outside the denominator.
    assert whole.lfm == pytest.approx(0.9037, abs=1e-4)
    assert whole.confidence is None


def test_unprotected_block_is_single_point():
    result = fmeda([row(base=200.0, exposure=0.5, p_dangerous=0.1)], confidence=0.95)
    only = result.rows[0]
    assert (only.safe_fit, only.single_point_fit, only.residual_fit) == (190.0, 10.0, 0.0)
    assert result.spfm == result.spfm_transient == pytest.approx(0.95)
    assert result.spfm_permanent is None
    assert result.lfm is None
    assert result.pmhf_fit == pytest.approx(10.0)
    assert result.dangerous_fit == pytest.approx(10.0)
    assert result.confidence == 0.95


def test_detected_but_not_corrected_costs_availability():
    parity = fmeda([row(mechanism="parity", coverage=0.6)])
    assert (parity.detected_fit, parity.availability_fit) == (60.0, 60.0)
    ecc = fmeda([row(mechanism="secded", coverage=0.99, corrected=0.98)])
    assert ecc.pmhf_fit == pytest.approx(1.0)
    assert ecc.availability_fit == pytest.approx(99.0 * 0.02)


def test_every_live_upset_that_is_reported_stops_the_system():
    """Parity cannot know that nine of ten upsets would not have changed the answer."""
    found = fmeda([row(mechanism="parity", coverage=0.6, exposure=0.5, p_dangerous=0.1)])
    assert found.detected_fit == pytest.approx(100 * 0.5 * 0.1 * 0.6)
    assert found.availability_fit == pytest.approx(100 * 0.5 * 0.6)
    assert found.false_alarm_fit == pytest.approx(100 * 0.5 * 0.9 * 0.6)
    # P(dangerous) of 0: nothing to detect, and yet the system stops.
    idle = fmeda([row(mechanism="parity", coverage=0.6, exposure=0.5, p_dangerous=0.0)])
    assert idle.availability_fit == idle.false_alarm_fit == pytest.approx(30.0)


def test_upsets_of_a_copy_are_false_alarms():
    rows = [
        row("array", base=10.0, mechanism="dmr", coverage=0.99),
        row("array.dmr", base=10.0, mechanism="dmr", coverage=0.99, latent_only=True,
            partner="array"),
        row("vector", base=10.0, mechanism="tmr", coverage=0.99, corrected=0.99),
        row("vector.tmr", base=20.0, mechanism="tmr", coverage=0.99, corrected=0.99,
            exposure=0.5, latent_only=True, partner="vector"),
    ]  # fmt: skip
    found = fmeda(rows)
    assert found.pmhf_fit == pytest.approx(0.2)
    assert found.rows[1].availability_fit == found.rows[1].false_alarm_fit == pytest.approx(9.9)
    assert found.rows[3].safe_fit == 10.0
    assert found.availability_fit == pytest.approx(2 * 9.9 + (10 + 10) * 0.99 * 0.01)
    assert found.false_alarm_fit == pytest.approx(9.9 + 10 * 0.99 * 0.01)


def test_a_mechanism_that_covers_nothing_of_a_class_leaves_single_point_faults():
    found = fmeda([row("array", base=8.0, mechanism="self_test", coverage=0.0)]).rows[0]
    assert (found.single_point_fit, found.residual_fit) == (8.0, 0.0)


def test_shares_of_the_pmhf():
    rows = [
        row("ram", base=6.0, mark="D"),
        row("logic", base=1.0, evidence="assumed", mark="E"),
        row("link", base=3.0, evidence="assumed", mark="S"),
    ]
    found = fmeda(rows)
    assert found.pmhf_measured_share == pytest.approx(0.6)
    assert found.pmhf_example_share == pytest.approx(0.1)
    none = fmeda([row(base=0.0)])
    assert none.pmhf_measured_share is None
    # A pair of faults rests on an example as soon as one of its rates does.
    pair = [
        row("ram", mechanism="ecc", coverage=1.0, mark="D"),
        row("ram.ecc", "permanent", latent_only=True, partner="ram", mark="E", evidence="assumed"),
    ]
    assert fmeda(pair).pmhf_example_share == pytest.approx(1.0)
    assert fmeda(pair).pmhf_measured_share == 0.0


def test_dual_point_textbook_figure():
    """100 FIT latent in the mechanism, 100 FIT in the block, 10,000 h: 0.05 FIT."""
    rows = [
        row(mechanism="ecc", coverage=1.0, corrected=1.0),
        row("ecc logic", "permanent", 100.0, latent_only=True, partner="ram"),
    ]
    result = fmeda(rows, mission_hours=10_000)
    assert result.pmhf_dual_point_fit == pytest.approx(0.05)
    assert result.pmhf_fit == pytest.approx(0.05)


def test_a_mechanism_guards_the_parts_of_its_block():
    parts = [row(f"ram.{part}", mechanism="ecc", coverage=1.0, base=50.0) for part in "ab"]
    own = row("ecc logic", "permanent", 100.0, latent_only=True, partner="ram")
    other = row("ramble", mechanism="ecc", coverage=1.0)
    assert fmeda([*parts, other, own]).pmhf_dual_point_fit == pytest.approx(0.05)


def test_hand_computed_fmeda_with_dual_points():
    rows = [
        # Memory, transient: 400 x 0.5 x 0.2 = 40 dangerous, 36 covered, 4 residual.
        row("ram", "transient", 400.0, exposure=0.5, p_dangerous=0.2,
            mechanism="ecc", coverage=0.9, corrected=0.5),
        # Memory, permanent: 20 dangerous, 18 covered, 2 residual; 9 latent, 9 detected.
        row("ram", "permanent", 20.0, mechanism="ecc", coverage=0.9, coverage_latent=0.5),
        # Logic without mechanism: 3 single-point.
        row("logic", "permanent", 6.0, p_dangerous=0.5, element="logic"),
        # The ECC's own logic: 10 permanent, 2 of them latent; 1 transient, never latent.
        row("ecc", "permanent", 10.0, latent_only=True, partner="ram", coverage_latent=0.8),
        row("ecc", "transient", 1.0, latent_only=True, partner="ram", mechanism="ecc",
            coverage=1.0),
    ]  # fmt: skip
    result = fmeda(rows, mission_hours=20_000, detection_hours=2.0)
    assert result.raw_fit == pytest.approx(437.0)
    assert result.dangerous_fit == pytest.approx(63.0)
    assert result.detected_fit == pytest.approx(54.0)
    assert result.spfm == pytest.approx(1 - 9 / 437)
    assert result.spfm_transient == pytest.approx(1 - 4 / 401)
    assert result.spfm_permanent == pytest.approx(1 - 5 / 36)
    # Latent 9 + 2 of the permanent rate that does not violate the goal, 36 - 5.
    assert result.lfm == pytest.approx(1 - 11 / 31)
    # Block rates 36 (transient) + 18 (permanent), of which 9 latent and 45 detected; mechanism
    # 2 latent, 8 + 1 detected, 11 in all.
    waiting = 0.5 * (2 * 54 + 9 * 11) * 20_000
    brief = (9 * 54 + 45 * 11) * 2.0
    assert result.pmhf_dual_point_fit == pytest.approx((waiting + brief) * 1e-9)
    assert result.pmhf_fit == pytest.approx(9 + (waiting + brief) * 1e-9)
    # Memory 400 x 0.5 x 0.9 x 0.5 = 90 and 20 x 0.9 = 18; the ECC itself 8 + 1.
    assert result.availability_fit == pytest.approx(117.0)
    # Of these, 36 x 0.5 + 18 would have been dangerous.
    assert result.false_alarm_fit == pytest.approx(81.0)


share = st.floats(0, 1)


@st.composite
def fmeda_rows(draw):
    p = draw(share)
    covered = draw(st.booleans())
    return row(
        draw(st.sampled_from(["a", "b"])),
        draw(st.sampled_from(["transient", "permanent"])),
        draw(st.just(0.0) | st.floats(1e-100, 1e6)),
        exposure=draw(share),
        p_dangerous=p,
        p_point=p * draw(share),
        mark=draw(st.sampled_from("SRDE")),
        mechanism="m" if covered else "none",
        coverage=draw(share) if covered else 0.0,
        corrected=draw(share),
        coverage_latent=draw(share),
    )


@given(rows=st.lists(fmeda_rows(), min_size=1, max_size=6), extra=share)
@settings(max_examples=100, deadline=None)
def test_budget_bounds_and_monotony(rows, extra):
    result = fmeda(rows)
    for metric in (result.spfm, result.spfm_transient, result.spfm_permanent, result.lfm):
        assert metric is None or -1e-9 <= metric <= 1 + 1e-9
    assert result.pmhf_fit <= result.dangerous_fit * (1 + 1e-9) + 1e-12
    assert result.dangerous_fit <= result.raw_fit * (1 + 1e-9)
    better = [replace(r, p_dangerous=r.p_dangerous * extra, p_point=0.0) for r in rows]
    assert fmeda(better).pmhf_fit <= result.pmhf_fit * (1 + 1e-9) + 1e-12


def test_doubling_exposure_doubles_the_dangerous_rate():
    one, two = (fmeda([row(exposure=e, p_dangerous=0.3)]) for e in (0.25, 0.5))
    assert two.pmhf_fit == pytest.approx(2 * one.pmhf_fit)


def test_budget_check_sees_a_lost_and_a_doubled_rate():
    good = fmeda([row(mechanism="m", coverage=0.5), row("b", "permanent", 10.0)])
    lost = replace(good.rows[0], detected_fit=0.0)
    with pytest.raises(AccelsimError) as caught:
        check_budget(replace(good, rows=(lost, good.rows[1])))
    assert any("sum to" in m.message for m in caught.value.mistakes)
    negative = replace(good, rows=(replace(good.rows[0], safe_fit=-50.0, detected_fit=100.0),))
    with pytest.raises(AccelsimError, match="F620"):
        check_budget(negative)


def guarded_design():
    """Every metric and every rate of some row is neither 0 nor 1."""
    rows = [
        row("ram", "transient", 400.0, exposure=0.5, p_dangerous=0.2, mark="D",
            mechanism="ecc", coverage=0.9, corrected=0.5),
        row("ram.part", "permanent", 20.0, p_dangerous=0.7, mechanism="ecc", coverage=0.9,
            coverage_latent=0.5, evidence="assumed"),
        row("logic", "permanent", 6.0, p_dangerous=0.5, evidence="assumed"),
        row("ram.ecc", "permanent", 10.0, latent_only=True, partner="ram", coverage_latent=0.8,
            evidence="assumed"),
        row("ram.copy", "transient", 10.0, latent_only=True, partner="ram", mechanism="ecc",
            coverage=0.5, exposure=0.5, evidence="assumed"),
    ]  # fmt: skip
    return fmeda(rows, detection_hours=1.0)


METRICS = [
    "spfm", "spfm_transient", "spfm_permanent", "lfm", "pmhf_fit", "pmhf_dual_point_fit",
    "raw_fit", "dangerous_fit", "detected_fit", "availability_fit", "false_alarm_fit",
    "pmhf_measured_share", "pmhf_example_share",
]  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("factor", [0.0, 1 - 1e-6, 1 + 1e-6, None])
def test_the_budget_check_catches_every_corrupted_metric(metric, factor):
    good = guarded_design()
    value = getattr(good, metric)
    assert value not in (None, 0.0, 1.0)
    wrong = replace(good, **{metric: None if factor is None else value * factor})
    with pytest.raises(AccelsimError) as caught:
        check_budget(wrong)
    assert any(m.message.startswith(f"{metric} is") for m in caught.value.mistakes)


RATES = [
    "safe_fit", "single_point_fit", "residual_fit", "latent_fit", "detected_fit",
    "availability_fit", "false_alarm_fit",
]  # fmt: skip


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("rate", RATES)
def test_the_budget_check_catches_every_corrupted_rate(number, rate):
    good = guarded_design()
    rows = list(good.rows)
    rows[number] = replace(rows[number], **{rate: getattr(rows[number], rate) + 0.001})
    with pytest.raises(AccelsimError, match=rate):
        check_budget(replace(good, rows=tuple(rows)))


@pytest.mark.parametrize(
    "change",
    [{"base_fit": 401.0}, {"exposure": 0.51}, {"p_dangerous": 0.21}, {"coverage": 0.91},
     {"corrected": 0.51}, {"fault_class": "permanent"}, {"evidence": "assumed"}, {"mark": "E"},
     {"latent_only": True}],
)  # fmt: skip
def test_the_budget_check_catches_rows_that_do_not_give_the_result(change):
    good = guarded_design()
    first = replace(good.rows[0], row=replace(good.rows[0].row, **change))
    with pytest.raises(AccelsimError, match="F620"):
        check_budget(replace(good, rows=(first, *good.rows[1:])))


def test_exports():
    result = fmeda(
        [row("=cmd|'/c calc'!A0", source="@home"), row("weights, x", "permanent", 1e-3)],
        confidence=0.95,
    )
    table = list(csv.DictReader(io.StringIO(fmeda_csv(result))))
    assert tuple(table[0]) == ROW_COLUMNS
    assert table[0]["block"] == "'=cmd|'/c calc'!A0"
    assert table[0]["source"] == "'@home"
    assert float(table[1]["base_fit"]) == 1e-3
    assert table[1]["latent_only"] == "false"
    data = json.loads(json.dumps(fmeda_json(result), allow_nan=False))
    assert tuple(data["rows"][0]) == ROW_COLUMNS
    assert data["rows"][0]["single_point_fit"] == classify(result.rows[0].row).single_point_fit
    assert data["metrics"]["pmhf_fit"] == result.pmhf_fit
    assert data["metrics"]["lfm"] == result.lfm


def test_all_mistakes_at_once():
    rows = [
        row("a", coverage=1.2, mechanism="m"),
        row("b", base=-1.0, exposure=float("nan")),
        row("c", "eternal", evidence="hearsay"),
        row("d", coverage=0.5),
        row("e", latent_only=True, partner="nowhere"),
        row("f", bits=-1, p_point=0.9, p_dangerous=0.1),
        row("g", p_point=0.1, p_lower=0.2, mark="X"),
    ]
    with pytest.raises(AccelsimError) as caught:
        fmeda(rows, mission_hours=0.0, confidence=1.0, detection_hours=-1.0)
    messages = [m.message for m in caught.value.mistakes]
    assert len(messages) == 14
    for word in ("coverage is 1.2", "base_fit is -1.0", "exposure is nan", "eternal", "hearsay",
                 "without a mechanism", "nowhere", "bits is -1", "p_point 0.9",
                 "p_lower 0.2", "mark 'X'", "mission_hours", "detection_hours",
                 "confidence 1.0"):  # fmt: skip
        assert any(word in text for text in messages), word


def test_no_rows_is_not_zero_fit():
    with pytest.raises(AccelsimError, match="at least one row"):
        fmeda([])
