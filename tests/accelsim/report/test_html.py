"""The HTML report: whole, closed, escaped, deterministic; its charts are valid and they draw."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_record import KIB, names_of, plan_of, record_of, trace_of

from accelsim.metrics import Metric
from accelsim.report.charts.memory import boxes, thinned
from accelsim.report.charts.performance import roofline
from accelsim.report.charts.style import Chart, script_json, short, text
from accelsim.report.charts.timeline import bars, folded
from accelsim.report.html import html_report, page_charts, sections
from accelsim.report.page.blocks import Table
from accelsim.report.page.fmeda import limits
from accelsim.report.page.variants import variant_section
from accelsim.report.page.wording import number
from accelsim.store import RunRecord, VariantRecord
from accelsim.verdict import ASIL_LIMITS, Outcome

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&\"'{{7*7}}\x1b[31m\u202e"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that elements nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.words: list[str] = []
        self._script: str | None = None
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        self._script = dict(attrs).get("id") or f"#{len(self.tags)}" if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> inside {self.open}"
        self.open.pop()
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif "style" not in self.open:
            self.words.append(data)

    @property
    def prose(self) -> str:
        """All visible text."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def record() -> RunRecord:
    return record_of()


@pytest.fixture(scope="module")
def source(record: RunRecord) -> str:
    return html_report(record)


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_document_is_balanced_and_its_ids_are_unique(page: Page) -> None:
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    targets = [a["href"] for tag, a in page.tags if tag == "a"]
    assert targets
    assert all(target and target[0] == "#" and target[1:] in ids for target in targets)


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    loading = {"src", "srcset", "data", "action", "poster", "background"}
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not loading & set(attrs)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_own_style_and_script_name_no_address(source: str) -> None:
    style = source[source.index("<style>") : source.index("</style>")]
    script = source[source.rindex("<script>") :]
    for part in (style, script):
        assert "http" not in part
        assert "url(" not in part
        assert "@import" not in part
    assert "showSendToCloud: false" in script


def test_plotly_is_embedded_once(page: Page) -> None:
    assert sum(len(body) > 1_000_000 for body in page.scripts.values()) == 1


def test_same_record_same_bytes(record: RunRecord, source: str) -> None:
    assert html_report(record_of()) == source
    assert html_report(record) == source


def test_saved_and_loaded_record_gives_the_same_page(
    record: RunRecord, source: str, tmp_path: Path
) -> None:
    from accelsim.store import load, save

    save(record, tmp_path / "run")
    assert html_report(load(tmp_path / "run")) == source


def test_every_chart_is_a_figure_that_plotly_accepts(record: RunRecord) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    charts = page_charts(sections(record))
    assert len(charts) > 20
    for chart in charts:
        graph_objects.Figure(json.loads(chart.json))


def test_sections_in_reading_order(record: RunRecord) -> None:
    order = [section.nav for section in sections(record)]
    assert order == [
        "Verdicts", "Key figures", "Variants", "Timeline", "Memory", "Cycles", "Energy", "Layers",
        "Exposure", "Campaign", "Fault rates", "FMEDA", "Details", "Provenance",
    ]  # fmt: skip


def test_verdicts_come_first_failures_first(page: Page) -> None:
    prose = page.prose
    first = prose.index("FAIL ASIL B: asil.pmhf_fit")
    assert first < prose.index("INCONCLUSIVE fp32_zero accuracy.under_fault")
    assert prose.index("Judged bound 13.72 FIT Required < 10 FIT") > first
    assert "3 of 5 targets met, 1 missed, 1 undecided" in prose


def test_the_reader_is_warned_before_the_verdicts(record: RunRecord, page: Page) -> None:
    prose = page.prose
    warned = prose.index("have an example base rate (mark E), no data of a product")
    assert warned < prose.index("FAIL ASIL B: asil.pmhf_fit")
    assert "rest on assumed, not injected, outcomes" in prose
    assert "E example value: replace it with your own" in prose
    assert [a for t, a in page.tags if a.get("class") == "note banner"]
    assert record.base.fmeda is not None
    rows = [{**r, "evidence": "measured", "mark": "S"} for r in record.base.fmeda["rows"]]
    fmeda = {**record.base.fmeda, "rows": rows}
    clean = replace(record, variants={"base": replace(record.base, fmeda=fmeda)})
    sound = Page(html_report(clean))
    assert not [a for t, a in sound.tags if a.get("class") == "note banner"]


def test_the_basis_of_the_asil_verdicts_stands_beside_them(record: RunRecord) -> None:
    shares = {
        "asil.pmhf_measured_share": Metric(0.125, "1", "fmeda"),
        "asil.pmhf_example_share": Metric(0.75, "1", "fmeda"),
    }
    base = replace(record.base, metrics={**record.base.metrics, **shares})
    prose = Page(html_report(replace(record, variants={"base": base}))).prose
    at = prose.index("12.5 % of the PMHF bound comes from measured (injected) rows")
    assert prose.index("FAIL ASIL B") < at < prose.index("Key figures Of the base run")
    assert "75 % of the PMHF bound comes from example base rates (mark E)" in prose


def test_not_applicable_is_not_shown_as_met(record: RunRecord) -> None:
    reason = "not applicable: no permanent multiple-point faults"
    void = replace(
        record.verdicts[0], outcome=Outcome.PASS, value=None, bound=None, detail=reason,
        applicable=False,
    )  # fmt: skip
    page = Page(html_report(replace(record, verdicts=(record.verdicts[0], void))))
    assert "PASS 1 of 2 targets met, 1 not applicable" in page.prose
    assert "PASS (not applicable)" in page.prose
    assert "N" + reason[1:] in page.prose
    assert [a for t, a in page.tags if a.get("class") == "card void"]


def test_the_assumptions_are_listed(page: Page) -> None:
    for words in (
        "An upset in a stored value is taken to hit all of its uses",
        "Each target is judged at its own confidence; nothing is shared across targets",
        "The evaluation images are a fixed set",
        "The intervals of the structures hold together (Bonferroni)",
        "never allocates is not safety-related",
        "Worst of the faults tried (no bound)",
    ):
        assert words in page.prose, words


def test_limits_are_those_of_the_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One table of ASIL limits in the package: the page prints what the verdicts judge by."""
    assert limits("spfm") == ("≥ 90 %", "≥ 97 %", "≥ 99 %")
    assert limits("lfm") == ("≥ 60 %", "≥ 80 %", "≥ 90 %")
    assert limits("pmhf_fit") == ("< 100 FIT", "< 100 FIT", "< 10 FIT")
    assert limits("raw_fit") == ("", "", "")
    monkeypatch.setitem(ASIL_LIMITS, "B", (0.5, 0.25, 7.0))
    assert [limits(k)[0] for k in ("spfm_permanent", "lfm", "pmhf_fit")] == [
        "≥ 50 %", "≥ 25 %", "< 7 FIT",
    ]  # fmt: skip


def test_columns_of_the_fmeda_that_come_and_go(record: RunRecord) -> None:
    assert record.base.fmeda is not None
    fmeda = record.base.fmeda
    assert "False alarms" not in Page(html_report(record)).prose
    rows = [{**r, "false_alarm_fit": 0.125, "rate_factor": 1.0, "p_lower": 0.0, "mark": "D"}
            for r in fmeda["rows"]]  # fmt: skip
    more = {"rows": rows, "metrics": {**fmeda["metrics"], "false_alarm_fit": 0.875}}
    richer = replace(record, variants={"base": replace(record.base, fmeda=more)})
    prose = Page(html_report(richer)).prose
    assert "False alarms" in prose
    assert "of it: false alarms" in prose


def test_figures_are_printed_with_units(page: Page) -> None:
    for shown in (
        "Scratchpad peak 120 KiB of 128 KiB; at least 112 KiB (tick)",
        "Energy 46.1 µJ 19 µJ of it off-chip",
        "Upsets that change the answer 1.07 % [0.77 %, 1.37 %] at 95 %, n = 2,000",
        "Costed as element-wise work, not modelled (base, wide) /softmax (Softmax)",
        "this network is not simulated on the accelerator",
        "Number format: float32",
        "Undetected failures (PMHF) 1.1 FIT at most 1.372 FIT at 95 %",
        "not applicable",
    ):
        assert shown in page.prose


def test_formats_are_never_mixed_in_one_chart(record: RunRecord) -> None:
    half = record.variants["fp32_none"]
    assert half.campaign is not None
    other = replace(half, campaign={**half.campaign, "format": "float16"})
    mixed = replace(record, variants={**record.variants, "half": other})
    charts = [c for c in page_charts(sections(mixed)) if c.id.startswith("all-rates")]
    assert [c.id for c in charts] == ["all-rates-float16", "all-rates-float32"]
    names = [t["name"] for t in charts[0].figure["data"] if t.get("showlegend", True)]
    assert names == ["half (clip: none)"]


def _renamed(value: Any, evil: str) -> Any:
    """Every text in a JSON tree replaced or marked; keys that the report needs stay."""
    if isinstance(value, dict):
        names = {k: _renamed(v, evil) for k, v in value.items()}
        resident = names.get("resident")
        if isinstance(resident, dict):
            names["resident"] = {k + evil: v for k, v in resident.items()}
        return names
    if isinstance(value, list | tuple):
        return [_renamed(v, evil) for v in value]
    return value + evil if isinstance(value, str) else value


def _hostile() -> RunRecord:
    """A record in which every name that comes from a file carries markup."""
    evil_ops = [f"{name}{EVIL}" for name in names_of(4)]
    bad = record_of(evil_ops, tiles=2, name=EVIL)
    marked = {
        name: VariantRecord(
            metrics={**v.metrics, EVIL: v.metrics["accuracy.fault_free"]},
            layers=tuple(_renamed(row, EVIL) for row in v.layers),
            plan=_renamed(v.plan, EVIL),
            trace=v.trace,
            exposure=tuple(_renamed(row, EVIL) for row in v.exposure),
            fmeda=_renamed(v.fmeda, EVIL),
            campaign=_renamed(v.campaign, EVIL),
            curves=_renamed(v.curves, EVIL),
            info=_renamed(v.info, EVIL),
        )
        for name, v in bad.variants.items()
    }
    verdict = replace(bad.verdicts[0], name=EVIL, detail=EVIL, location=EVIL, variant=EVIL)
    return replace(
        bad,
        variants={"base": marked.pop("base"), EVIL: marked.pop("wide"), **marked},
        verdicts=(verdict,),
        provenance={EVIL: EVIL},
        config=json.dumps({EVIL: EVIL}),
    )


def test_hostile_names_stay_text() -> None:
    page = Page(html_report(_hostile()))
    assert page.open == []
    assert not [attrs for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    plain = Page(html_report(record_of(names_of(4), tiles=2)))
    assert len([1 for t, _ in page.tags if t == "script"]) == len(
        [1 for t, _ in plain.tags if t == "script"]
    )
    assert "{{7*7}}\\x1b[31m\\u202e" in page.prose
    charts = [body for name, body in page.scripts.items() if name.startswith("data-")]
    for shown in (page.prose, *(json.dumps(json.loads(c), ensure_ascii=False) for c in charts)):
        assert not set(shown) & {"\x1b", "\u202e"}, "controls are shown, not obeyed"
    assert any("\\\\u202e" in chart for chart in charts)
    for id, body in page.scripts.items():
        if id.startswith("data-"):
            assert "<" not in body
            json.loads(body)
    for name, body in page.scripts.items():
        if name.startswith("data-"):  # plotly shows names as HTML: they arrive escaped
            assert "<script>" not in json.dumps(json.loads(body)).replace("\\u003c", "<")


@given(st.text(max_size=30))
def test_script_json_round_trips_and_cannot_end_a_script(name: str) -> None:
    raw = script_json({"name": name})
    assert json.loads(raw) == {"name": name}
    assert not set(raw) & {"<", ">", "&"}
    assert raw.isascii()


@given(st.text(max_size=60), st.integers(4, 40))
def test_short_names_keep_their_end(name: str, width: int) -> None:
    kept = short(name, width)
    assert kept == text(name) or kept.startswith("…")
    assert len(kept.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")) <= max(
        width, 5 * width
    )


def test_a_record_without_simulation_says_so(record: RunRecord) -> None:
    only = replace(record, variants={"base": record.variants["fp32_none"]}, verdicts=())
    page = Page(html_report(only))
    assert "The base run was not simulated" in page.prose
    assert "no targets stated" in page.prose
    assert "Timeline" not in page.prose
    assert "Accuracy against fault rate, float32" in page.prose


def test_a_record_without_campaign_says_so(record: RunRecord) -> None:
    base = replace(record.base, campaign=None, fmeda=None)
    page = Page(html_report(replace(record, variants={"base": base})))
    assert "No fault campaign was configured" in page.prose
    assert "Failure rates" not in page.prose


def test_an_empty_variant_renders(record: RunRecord) -> None:
    empty = VariantRecord(metrics={})
    page = Page(html_report(replace(record, variants={"base": empty}, verdicts=())))
    assert "Nothing was simulated or injected." in page.prose


def test_timeline_bars_cover_the_busy_cycles_exactly() -> None:
    trace = trace_of(names_of(5), 7, np.random.default_rng(3))
    for gap in (0, 50, 5000):
        found = bars(trace, gap)
        for resource in trace.graph.resources:
            busy = sum(row.end - row.start for _, row in trace.on(resource))
            assert sum(bar.busy for bar in found if bar.resource == resource) == busy
        assert sum(bar.tasks for bar in found) == sum(len(t.resources) for t in trace.graph.tasks)
    # one bar per task on each of its resources: none touches the next of its kind and operator
    assert len(bars(trace, -1)) == sum(len(t.resources) for t in trace.graph.tasks)


def test_timeline_folds_below_the_cap() -> None:
    trace = trace_of(names_of(6), 40, np.random.default_rng(4))
    whole, gap = folded(trace)
    assert gap == 0
    few, wide = folded(trace, cap=60)
    assert len(few) <= 60 < len(whole)
    assert wide > 0


def test_memory_map_draws_every_byte_of_the_plan() -> None:
    steps = plan_of(names_of(12))["steps"]
    found = boxes(steps)
    for i, step in enumerate(steps):
        here = [box for box in found if box.first <= i <= box.last]
        drawn = {(b.name, b.address, b.bytes) for b in here if b.kind.startswith("activation")}
        assert drawn == {(n, s["address"], s["bytes"]) for n, s in step["resident"].items()}
        tiles = [b for b in here if b.kind.startswith("tile")]
        assert [(b.address, b.bytes) for b in tiles] == [
            (step["buffer_address"], step["buffer_bytes"])
        ]
    early = [box for box in found if box.kind.startswith("next")]
    assert len(early) == len(steps) - 1
    loaded = [box for box in found if box.kind == "activation loaded from DRAM"]
    assert [(box.first, box.last) for box in loaded] == [(8, 8)]


def test_a_tensor_that_moves_is_two_boxes() -> None:
    plan = plan_of(["a", "b", "c"])
    steps = plan["steps"]
    for i, step in enumerate(steps):
        step["resident"] = {"x": {"address": 0 if i < 2 else KIB, "bytes": KIB}}
    drawn = [(b.first, b.last, b.address) for b in boxes(steps) if b.name == "x"]
    assert drawn == [(0, 1, 0), (2, 2, KIB)]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_the_peak_and_the_end(sizes: list[int], points: int) -> None:
    curve = [[7 * i, size] for i, size in enumerate(sizes)]
    kept = thinned(curve, points)
    assert len(kept) <= max(points, len(curve) if len(curve) <= points else points)
    assert max(p[1] for p in kept) == max(sizes)
    assert kept[-1] == (curve[-1][0], curve[-1][1])
    assert [p[0] for p in kept] == sorted(p[0] for p in kept)


def test_roofline_bends_at_the_machine_balance() -> None:
    points = [
        {"op": "a", "macs_per_byte": 10.0, "macs_per_cycle": 30.0, "bound": "dram"},
        {"op": "b", "macs_per_byte": None, "macs_per_cycle": 200.0, "bound": "array"},
    ]
    curve = {"peak_macs_per_cycle": 256, "dram_bytes_per_cycle": 6.4, "points": points}
    chart = roofline("x", curve)
    roof = chart.figure["data"][0]
    assert (roof["x"][1], roof["y"][1]) == (40.0, 256.0)
    assert roof["y"][0] == pytest.approx(6.4 * roof["x"][0])
    assert "1 layer(s) without DRAM traffic" in chart.caption


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (131072, "B", "128 KiB"),
        (0.000231, "s", "231 µs"),
        (4.61e-5, "J", "46.1 µJ"),
        (0.99871, "%", "99.87 %"),
        (86498, "cycles", "86,498 cycles"),
        (1068.81, "FIT", "1,069 FIT"),
        (2.318, "mm2", "2.318 mm²"),
        (None, "s", "–"),
        (float("nan"), "1", "–"),
        ("array", "", "array"),
        (0, "%", "0 %"),
        (1.5e-7, "1", "1.5e-07"),
    ],
)
def test_numbers_read_well(value: float | None, unit: str, shown: str) -> None:
    assert number(value, unit) == shown


def test_chart_ids_are_safe_in_attributes(record: RunRecord) -> None:
    for chart in page_charts(sections(record)):
        assert isinstance(chart, Chart)
        assert re.fullmatch(r"[A-Za-z0-9-]+", chart.id)


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def _browse(path: Path, *options: str) -> str:
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu",
        "--virtual-time-budget=10000", "--window-size=1280,2400", *options, path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def _drawn(source: str, path: Path) -> str:
    """The page as the browser leaves it, without scripts; its title tells of errors."""
    spy = (
        "<script>window.addEventListener('error',function(e){document.title='BROKEN '+e.message});"
        "document.addEventListener('securitypolicyviolation',function(e){"
        "document.title='BLOCKED '+e.blockedURI+' '+e.violatedDirective});"
        "window.alert=function(){document.title='ALERT'}</script>"
    )
    path.write_text(source.replace("</title>", f"</title>{spy}", 1), encoding="utf-8")
    dom = _browse(path, "--dump-dom")
    return re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)


def _open_charts(record: RunRecord) -> list[str]:
    chapters = [s for s in sections(record) if s.id != "sec-details"]
    return sorted(chart.id for chart in page_charts(tuple(chapters)))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: charts were not drawn")
@pytest.mark.parametrize("hostile", [False, True])
def test_a_browser_draws_every_open_chart(record: RunRecord, hostile: bool, tmp_path: Path) -> None:
    shown = _hostile() if hostile else record
    dom = _drawn(html_report(shown), tmp_path / "report.html")
    title = re.search(r"<title>(.*?)</title>", dom, flags=re.DOTALL)
    assert title is not None
    assert title[1].endswith("· accelsim report")
    assert "could not be drawn" not in dom
    assert "<img" not in dom
    drawn = re.findall(r'class="chart[^"]*" id="([^"]+)"[^>]*data-drawn="yes"', dom)
    assert sorted(drawn) == _open_charts(shown)
    assert dom.count('class="main-svg"') >= 2 * len(drawn)
    assert "Share chart" not in dom


def test_variants_stand_beside_their_like() -> None:
    """Simulated variants and those that only inject faults have a table each, without gaps that
    the kind of the variant explains."""
    record = record_of()
    section = variant_section(record)
    assert section is not None
    simulated, injected = section.blocks
    assert isinstance(simulated, Table)
    assert isinstance(injected, Table)
    names = [[column.label for column in table.columns[1:]] for table in (simulated, injected)]
    assert sorted(names[0] + names[1]) == sorted(record.variants)
    assert names[0][0] == "base"
    for table in (simulated, injected):
        assert any(row[0].shown == "accuracy.fault_free" for row in table.rows)
        for row in table.rows:
            assert any(cell.value is not None for cell in row[1:]) or row[0].shown.startswith(
                "bound"
            )
    assert {row[0].shown for row in injected.rows} == {"accuracy.fault_free", "accuracy.worst"}


def test_a_ratio_is_shown_as_one() -> None:
    record = record_of()
    ratio = replace(
        record.verdicts[0], name="sdc.p / base", metric="sdc.p", unit="1", value=0.5, bound=0.5,
        limit=0.9,
    )  # fmt: skip
    page = html_report(replace(record, verdicts=(ratio,)))
    assert "sdc.p / base" in page
    assert "≤ 0.9" in page
