"""The terminal summary: it says what the record holds, fits, and no name acts as markup."""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import replace

import pytest
from rich.console import Console

from accelsim.metrics import Metric
from accelsim.report.console import summary
from accelsim.store import RunRecord, VariantRecord
from accelsim.verdict import Outcome, Verdict


def estimate(mean, lower, upper, n=60):
    return {"mean": mean, "lower": lower, "upper": upper, "confidence": 0.95, "n": n}


METRICS = {
    "latency.cycles": Metric(617_000, "cycles", "sim"),
    "latency.seconds": Metric(1.234e-3, "s", "sim"),
    "throughput.inferences_per_s": Metric(810.37, "1/s", "sim"),
    "utilisation.mac": Metric(0.2583, "1", "sim"),
    "bound.resource": Metric("dram", "", "sim"),
    "energy.total_j": Metric(123.4e-6, "J", "cost"),
    "energy.dram_j": Metric(60e-6, "J", "cost"),
    "dram.read_bytes": Metric(450_000, "B", "sim"),
    "sram.peak_bytes": Metric(98_304, "B", "plan"),
    "sram.capacity_bytes": Metric(131_072, "B", "plan"),
    "sram.lower_bound_bytes": Metric(65_536, "B", "plan"),
    "plan.proved": Metric(0, "1", "plan"),
    "sdc.p": Metric(0.0083, "1", "campaign", 0.0061, 0.0112, 0.95, 2000),
    "asil.spfm": Metric(0.99231, "1", "fmeda", lower=0.99112, confidence=0.95),
    "asil.pmhf_fit": Metric(3.2, "FIT", "fmeda", upper=4.1, confidence=0.95),
    "fit.raw": Metric(413.0, "FIT", "fmeda"),
}
LAYERS = tuple(
    {"op": f"conv{i}", "kind": "conv2d", "bound": "dram", "advance_cycles": 1000 * (i + 1),
     "macs": 10, "utilisation": 0.31, "dram_read_bytes": 2048, "dram_write_bytes": 0}
    for i in range(12)
)  # fmt: skip
UPSETS = {
    "format": "int8",
    "faults": 2000,
    "structures": [
        {"structure": "scratchpad.weight", "share": 0.62, "masked": 0.31,
         "sdc": estimate(0.0091, 0.005, 0.016, 1240)},
    ],
    "rates": [],
    "notes": ["fixed evaluation set"],
}  # fmt: skip


def rates(clip):
    row = {"rate": 1e-5, "clip": clip, "accuracy": estimate(0.901, 0.88, 0.92),
           "accuracy_worst": 0.067, "sdc": estimate(0.05, 0.03, 0.07),
           "nonfinite": 0.0123}  # fmt: skip
    return {"format": "float32", "faults": 60, "structures": [], "rates": [row], "notes": []}


INFO = {
    "network": "resnet20", "operators": 31, "macs": 40_812_544, "weight_bytes": 262_144,
    "accelerator": "edge", "array": "16 x 16 ws", "clock_hz": 500_000_000,
    "protection": {"scratchpad": "secded", "array": "none"}, "fallbacks": ["Softmax"], "notes": [],
}  # fmt: skip
MISSED = Verdict(
    "latency.seconds", "latency.seconds", "base", Outcome.FAIL, 0.003, 0.003, "<=", 0.002, None,
    "s", "3 ms is above 2 ms", "q.yaml:3:5",
)  # fmt: skip


def record(**changes):
    variants = {
        "base": VariantRecord(
            metrics=METRICS, layers=LAYERS, campaign=UPSETS, info=INFO, plan={"notes": ["cut"]},
            fmeda={"rows": [], "metrics": {}},
        ),
        "hardened": VariantRecord(metrics=METRICS, info=INFO),
        "fp32_zero": VariantRecord(metrics={}, campaign=rates("zero"), info={"network": "r"}),
    }  # fmt: skip
    passed = replace(MISSED, outcome=Outcome.PASS, value=0.001, bound=0.001)
    fields = {
        "name": "quickstart", "config": "{}", "sha256": "0123456789abcdef" * 4,
        "variants": variants, "verdicts": (passed, MISSED), "provenance": {},
    }  # fmt: skip
    return RunRecord(**{**fields, **changes})


def text_of(found, width=100):
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(summary(found))
    return out.getvalue()


def test_every_part_is_told():
    text = text_of(record())
    for line in (
        "resnet20, 31 operators, 40,812,544 MACs per inference, 256 KiB of weights",
        "edge, 16 x 16 ws, 500 MHz",
        "protections  scratchpad secded",
        "sha256 0123456789abcdef",
        "1.23 ms, 617,000 cycles, 810 inferences/s back to back",
        "25.8 % of its peak MAC rate, busy longest: dram",
        "123 µJ in all, DRAM 60 µJ",
        "highest address in use 96 KiB, capacity 128 KiB, live at once at most 64 KiB",
        "feasible, not proved optimal",
        "Where the time goes: 8 of 12 operators",
        "Simulated variants",
        "0.91 % [0.5, 1.6]",
        "0.83 % [0.61, 1.12]",
        "float32 network",
        "90.1 % [88, 92]",
        "6.7 %",
        "99.231 % (>= 99.112 %)",
        "3.2 (<= 4.1)",
        "base, hardened: costed as element-wise work: Softmax",
        "base: cut",
        "fixed evaluation set",
        "latency.seconds (base): 3 ms is above 2 ms",
        "1 of 2 targets met",
    ):
        assert line in text, line
    assert text.index("conv11") < text.index("conv4 ")
    assert "conv3 " not in text
    assert text_of(record()) == text


@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit(width):
    text = text_of(record(), width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text or width < 100


def test_names_are_not_markup():
    evil = "[red]x[/red] [link=http://a]"
    layer = {**LAYERS[0], "op": evil}
    base = replace(record().base, layers=(layer,), info={**INFO, "network": evil, "notes": [evil]})
    verdict = replace(MISSED, name=evil, detail=evil)
    text = text_of(record(name=evil, variants={"base": base, evil: base}, verdicts=(verdict,)))
    assert text.count(evil) >= 5


def test_bounds_are_shown_on_the_side_that_is_judged():
    both = {
        **METRICS,
        "asil.spfm": Metric(0.99231, "1", "fmeda", 0.99112, 0.99444, 0.95),
        "asil.pmhf_fit": Metric(3.2, "FIT", "fmeda", 2.1, 4.1, 0.95),
        "fit.false_alarm": Metric(1.25, "FIT", "fmeda"),
    }
    base = replace(record().base, metrics=both)
    text = text_of(record(variants={"base": base}))
    assert "99.231 % (>= 99.112 %)" in text
    assert "3.2 (<= 4.1)" in text
    assert "false alarms" in text


FMEDA_ROWS = [
    {"block": "a", "evidence": "measured", "mark": "D", "source": "x [D]"},
    {"block": "b", "evidence": "assumed", "mark": "E", "source": "y"},
    {"block": "c", "evidence": "assumed", "source": "example [E]; coverage: z [S]"},
]


def asil(**changes):
    verdict = replace(
        MISSED, name="ASIL B: asil.pmhf_fit", metric="asil.pmhf_fit", outcome=Outcome.PASS,
        value=3.2, bound=4.1, relation="<", limit=10.0, unit="FIT",
    )  # fmt: skip
    shares = {
        "asil.pmhf_measured_share": Metric(0.125, "1", "fmeda"),
        "asil.pmhf_example_share": Metric(0.75, "1", "fmeda"),
    }
    base = replace(
        record().base, metrics={**METRICS, **shares}, fmeda={"rows": FMEDA_ROWS, "metrics": {}}
    )
    return record(**{"variants": {"base": base}, "verdicts": (verdict,), **changes})


def test_what_the_verdicts_rest_on_is_said():
    text = " ".join(text_of(asil()).split())
    for words in (
        "12.5 % of the PMHF bound comes from measured (injected) rows, 87.5 % from assumed ones",
        "75 % of the PMHF bound comes from example base rates (mark E)",
        "base: 2 of 3 rows of the FMEDA have an example base rate (mark E), no data of a product",
        "base: 2 of 3 rows rest on assumed, not injected, outcomes",
        "S read in a public source; R recalled, not re-read; D derived from such figures; E exam",
        "An upset in a stored value is taken to hit all of its uses",
        "Each target is judged at its own confidence; nothing is shared across targets",
        "The evaluation images are a fixed set",
        "The intervals of the structures hold together (Bonferroni)",
    ):
        assert words in text, words


def test_no_caution_where_everything_was_measured():
    base = replace(asil().base, fmeda={"rows": FMEDA_ROWS[:1], "metrics": {}}, metrics=METRICS)
    text = text_of(asil(variants={"base": base}))
    assert "example base rate" not in text
    assert "rest on assumed" not in text
    assert "of the PMHF bound" not in text


def test_not_applicable_is_not_shown_as_met():
    void = replace(
        MISSED, name="ASIL B: asil.lfm", outcome=Outcome.PASS, value=None, bound=None,
        detail="not applicable: no permanent multiple-point faults", applicable=False,
    )  # fmt: skip
    text = text_of(record(verdicts=(*record().verdicts, void)))
    assert "PASS (n/a)" in text
    assert "ASIL B: asil.lfm (base): not applicable: no permanent multiple-point faults" in text
    assert "1 of 3 targets met, 1 not applicable, 1 not met" in text


@pytest.mark.parametrize("colour", [False, True])
def test_names_cannot_steer_the_terminal(colour):
    """Every text of a record carries an escape sequence, a bidirectional override and a line feed:
    none of them reaches the terminal, whichever part of the summary shows it."""
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\u2066\x9b1m\nPASS forged\ud800"

    def spoilt(value):
        if isinstance(value, dict):
            return {k: spoilt(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(spoilt(v) for v in value)
        return value + evil if isinstance(value, str) else value

    variants = {
        name if name == "base" else name + evil: replace(
            v, layers=spoilt(v.layers), plan=spoilt(v.plan), campaign=spoilt(v.campaign),
            info=spoilt(v.info), fmeda=spoilt(v.fmeda),
            metrics={k: replace(m, value=spoilt(m.value)) for k, m in v.metrics.items()},
        )
        for name, v in asil().variants.items()
    }  # fmt: skip
    texts = ("name", "variant", "detail", "unit", "location")
    verdict = replace(MISSED, **{key: getattr(MISSED, key) + evil for key in texts})
    found = asil(name=evil, sha256=evil, variants=variants, verdicts=(verdict,))
    out = io.StringIO()
    console = Console(file=out, width=100, highlight=False, force_terminal=colour)
    console.print(summary(found))
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()) if colour else out.getvalue()
    active = [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]
    assert active == []
    assert not [line for line in text.splitlines() if line.startswith("PASS forged")]
    assert "\\x1b" in text


def test_nothing_measured_is_no_crash():
    empty = {"base": VariantRecord(metrics={})}
    text = text_of(record(variants=empty, verdicts=()))
    assert "none were set: nothing is judged" in text
    assert "Performance" not in text
    assert "Functional safety" not in text
