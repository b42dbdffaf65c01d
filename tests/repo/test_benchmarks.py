"""docs/benchmarks.md is drawn from the measured results; the benchmarks' own parts are right."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import accelsim
from benchmarks import page, run, sample, store
from benchmarks.cases import scalesim, vela
from benchmarks.environments import SCALESIM, Absent, Tool
from benchmarks.peer import Answers, answers
from benchmarks.process import finished
from benchmarks.rows import Measured, Row, Settings

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted((ROOT / "benchmarks" / "cases").glob("[a-z]*.py"))
RESULTS = json.loads(store.RESULTS.read_text(encoding="utf-8"))


class TestThePage:
    def test_is_what_the_results_say(self) -> None:
        assert store.PAGE.read_text(encoding="utf-8") == page.page(RESULTS)

    def test_a_figure_without_a_value_says_why(self) -> None:
        for section in RESULTS["benchmarks"].values():
            for row in section["rows"]:
                assert row["value"] is not None or row["note"], row

    def test_names_no_folder_and_no_day(self) -> None:
        text = store.PAGE.read_text(encoding="utf-8") + store.RESULTS.read_text(encoding="utf-8")
        assert "/home/" not in text
        assert "/tmp/" not in text
        assert "/work/" not in text

    def test_results_hold_only_known_benchmarks_in_order(self) -> None:
        known = [name for name in run.BENCHMARKS if name in RESULTS["benchmarks"]]
        assert list(RESULTS["benchmarks"]) == known


class TestEveryBenchmark:
    @pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
    def test_has_the_verb_and_is_run(self, path: Path) -> None:
        module = importlib.import_module(run.BENCHMARKS[path.stem])
        assert module.TITLE
        assert module.ABOUT
        signature = inspect.signature(module.measure, eval_str=True)
        assert [p.annotation for p in signature.parameters.values()] == [Settings]
        assert signature.return_annotation is Measured

    def test_that_is_named_has_a_file(self) -> None:
        assert set(run.BENCHMARKS) == {path.stem for path in CASES}


class TestRows:
    @pytest.mark.parametrize(
        ("value", "least", "most", "verdict"),
        [
            (5, None, None, ""),
            (5, 5, None, "met"),
            (4.9, 5, None, "missed"),
            (5, None, 5, "met"),
            (5.1, None, 5, "missed"),
            (0, 0, 0, "met"),
            (None, None, 5, "not measured"),
            (None, None, None, "not measured"),
        ],
    )
    def test_verdict(
        self, value: float | None, least: float | None, most: float | None, verdict: str
    ) -> None:
        assert Row("a", "b", value, "s", at_least=least, at_most=most).verdict == verdict

    def test_numbers_are_printed_with_their_unit(self) -> None:
        assert page.value(Row("a", "b", 1234567, "cycles")) == "1,234,567 cycles"
        assert page.value(Row("a", "b", 0.0123456, "CPU s")) == "12.35 CPU ms"
        assert page.value(Row("a", "b", 0.0000123456, "s")) == "12.35 µs"
        assert page.value(Row("a", "b", 12.3456, "s")) == "12.35 s"
        assert page.value(Row("a", "b", 645249.7, "x")) == "645,250 x"
        assert page.value(Row("a", "b", None, "s", note="absent")) == "-"
        assert page.goal(Row("a", "b", 1, "s", at_most=0.02)) == "at most 20 ms"
        assert page.goal(Row("a", "b", 0, "cycles", at_least=0, at_most=0)) == "0 cycles"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON)
def test_compact_files_hold_what_was_written(document: object) -> None:
    assert json.loads(store.text_of(document)) == document


class TestAProcess:
    def test_is_charged_for_its_memory_and_time(self) -> None:
        done = finished([sys.executable, "-c", "print(len(bytearray(96 << 20)))"])
        assert done.failure == ""
        assert done.stdout.strip() == str(96 << 20)
        assert done.peak_rss_bytes > 96 << 20
        assert done.cpu_s > 0

    def test_that_fails_says_how(self) -> None:
        done = finished([sys.executable, "-c", "raise SystemExit('no such array')"])
        assert done.failure == "exit 1: no such array"

    def test_that_overruns_its_cpu_seconds_is_ended(self) -> None:
        done = finished([sys.executable, "-c", "while True: pass"], cpu_limit_s=1)
        assert "signal" in done.failure

    def test_sample_measures_the_call_alone(self) -> None:
        found = sample.best("benchmarks.cases.scalesim", "all", samples=1)
        assert 0 < found.cpu_s < found.process_cpu_s
        assert set(found.answer) == {layer.name for layer in scalesim.layers()}


class TestAnotherTool:
    def test_without_cached_answers_is_absent(self) -> None:
        tool = Tool("never_measured", ("never-measured==1.0",))
        found = answers(tool, Settings(cached_peers=True), lambda _: pytest.fail("was run"))
        assert found == Absent("no cached answers")

    def test_with_cached_answers_is_not_run_and_not_written_again(self) -> None:
        found = answers(SCALESIM, Settings(cached_peers=True), lambda _: pytest.fail("was run"))
        assert isinstance(found, Answers)
        assert found.record.version == SCALESIM.version
        assert found.to_keep is None


class TestScaleSim:
    def test_products_follow_its_rounding_up(self) -> None:
        """224 wide, window 11, stride 4: SCALE-Sim counts ceil(217 / 4) = 55 positions."""
        products = {layer.name: layer.product for layer in scalesim.layers()}
        assert products["Conv1"] == (55 * 55, 96, 363)
        assert products["Conv5"] == (11 * 11, 256, 3456)

    def test_our_cycles_equal_its_cached_answers(self) -> None:
        peer = store.cached_peer("scalesim")
        assert peer is not None
        for layer in scalesim.layers():
            theirs = peer.results["layers"][layer.name]
            cycles = accelsim.gemm_cycles(
                *layer.product, rows=128, cols=128, dataflow="os", convention="scalesim"
            )
            assert cycles == theirs["cycles"] - theirs["stall_cycles"]


class TestVela:
    def test_operators_add_up_to_the_total(self) -> None:
        """Vela carries out one operator after the other."""
        peer = store.cached_peer("vela")
        assert peer is not None
        checked = 0
        for told in peer.results["networks"].values():
            for key, answer in told.items():
                if key.startswith(vela.DETAILED) and "refused" not in answer:
                    assert sum(row[2] for row in answer["operators"]) == answer["total"]
                    checked += 1
        assert checked >= 80

    def test_rows_of_one_source_operator_are_added_up(self) -> None:
        figures = dict.fromkeys(vela.FIGURES, "0")

        def row(origin: str, cycles: int) -> dict[str, str]:
            return {
                **figures,
                "Original Operator": origin,
                "Op Cycles": str(cycles),
                "MAC Count": "2",
            }

        layers = [row("Conv2D", 5), row("Conv2D", 7), row("Conv2D", 0)]
        layers += [row("Softmax", 1), row("Softmax", 2)]
        assert vela.operators(layers) == [
            ["Conv2D", 1, 5, 0, 0, 0, 0, 2],
            ["Conv2D", 1, 7, 0, 0, 0, 0, 2],
            ["Softmax", 2, 3, 0, 0, 0, 0, 4],
        ]

    def test_trend_ignores_level_steps(self) -> None:
        assert vela.same_trend([100, 50, 30], [90, 60, 20])
        assert vela.same_trend([100, 101, 30], [90, 60, 20])
        assert not vela.same_trend([100, 130, 30], [90, 60, 20])
