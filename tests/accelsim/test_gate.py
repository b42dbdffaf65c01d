"""The gate holds against what stands beside the config: references, outputs, terminals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import accelsim
import accelsim.pipeline
from accelsim.cli import app, guarded
from accelsim.config.init import write_init
from accelsim.config.load import load_study
from accelsim.config.types import TargetConfig
from accelsim.errors import AccelsimError, Location
from accelsim.figures import compulsory_bytes, excess_bytes, layer_table, simulation_metrics
from accelsim.metrics import SCHEMA, Metric
from accelsim.outputs import require_writable, write_output
from accelsim.report.console import summary
from accelsim.report.junit import junit_xml
from accelsim.stages.design import read_workload, simulate_design
from accelsim.store import load, save
from accelsim.verdict import check_references, judge

HERE = Location("run.yaml", 9, 5)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    write_init(folder)
    return folder


@pytest.fixture(scope="module")
def finished(project: Path) -> accelsim.Run:
    return accelsim.run(project / "run.yaml")


def command(*args: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "accelsim", *map(str, args)],
        check=False,
        **{"capture_output": True, "text": True, **more},
    )


def no_work(*args: object, **kwargs: object) -> None:
    raise AssertionError("work was done before what could be refused at the start")


# --- references --------------------------------------------------------------------------------


def reference(folder: Path, text: str) -> Path:
    file = folder / "metrics.json"
    file.write_text(f'{{"schema": "{SCHEMA}", "metrics": {{{text}}}, "variants": {{}}}}')
    return file


def gate(file: Path, metric: str = "latency.cycles", **limits: float) -> TargetConfig:
    return TargetConfig(HERE, metric, relative_to=str(file), **(limits or {"at_most": 1.0}))  # type: ignore[arg-type]


def one(parts: str, name: str = "latency.cycles", unit: str = "cycles") -> str:
    return f'"{name}": {{"unit": "{unit}", "source": "sim", {parts}}}'


@pytest.mark.parametrize(
    "text",
    [
        *(one(f'"value": {v}') for v in ("Infinity", "-Infinity", "NaN", "1e400", "-1e400")),
        *(one(f'"value": {v}') for v in (-5, 0, "true", "[]", "{}", "1" + "0" * 400)),
        *(one(f'"value": 5, "{k}": Infinity') for k in ("lower", "upper", "confidence")),
        *(one(f'"value": 5, "{k}": "x"') for k in ("lower", "upper", "confidence", "n")),
        *(one(f'"value": 5, "confidence": {v}') for v in (0, 1, 2, -1)),
        *(one(f'"value": 5, "n": {v}') for v in (-1, 0.5, "true")),
        one('"value": 5, "lower": 6, "upper": 7'),
        one('"value": 5, "lower": 3, "upper": 4'),
        one('"value": 5, "lower": -3, "upper": 6'),
        one('"value": 5', unit="s"),
        '"latency.cycles": {"value": 5, "unit": 5, "source": "sim"}',
        '"latency.cycles": {"value": 5, "unit": "cycles", "source": null}',
        ", ".join((one('"value": 5'), one('"value": 1e999', name="other"))),
    ],
)
def test_a_reference_that_would_let_all_pass_is_refused(tmp_path: Path, text: str) -> None:
    target = gate(reference(tmp_path, text))
    for check in (
        lambda: check_references([target]),
        lambda: judge([target], {"base": {"latency.cycles": Metric(5, "cycles", "sim")}}),
    ):
        with pytest.raises(AccelsimError) as caught:
            check()
        [mistake] = caught.value.mistakes
        assert mistake.code in (("V601", "V602") if "1000" in text else ("V602",))
        assert str(mistake.location) == "run.yaml:9:5"


def test_a_reference_of_none_is_one_where_none_is_good(tmp_path: Path) -> None:
    file = reference(tmp_path, one('"value": 0', name="plan.spill_bytes", unit="B"))
    for spilled, outcome in ((0, "pass"), (64, "fail")):
        metrics = {"base": {"plan.spill_bytes": Metric(spilled, "B", "plan")}}
        [verdict] = judge([gate(file, "plan.spill_bytes")], metrics)
        assert verdict.outcome == outcome
    with pytest.raises(AccelsimError, match="V602"):
        check_references([gate(file, "plan.spill_bytes", at_least=0.5)])


def test_a_giant_integer_is_no_crash() -> None:
    metrics = {"base": {"latency.cycles": Metric(10**400, "cycles", "sim")}}
    with pytest.raises(AccelsimError, match="V601"):
        judge([TargetConfig(HERE, "latency.cycles", at_most=1.0)], metrics)


def test_a_ratio_is_called_one(finished: accelsim.Run, project: Path) -> None:
    target = TargetConfig(
        HERE, "latency.seconds", at_most=0.9, relative_to="base", variant="wide_array"
    )
    metrics = {name: v.metrics for name, v in finished.record.variants.items()}
    [verdict] = judge([target], metrics)
    assert verdict.name == verdict.quantity == "latency.seconds / base"
    record = replace(finished.record, verdicts=(verdict,))
    assert "latency.seconds / base = 0." in junit_xml((record,))
    [asil] = [v for v in finished.verdicts if v.metric == "asil.lfm"][:1] or [None]
    assert asil is None or asil.quantity == "asil.lfm"


@pytest.mark.parametrize(
    ("content", "code"), [("\x00garbage", "V602"), (None, "V602"), ("lacks", "V601")]
)
def test_a_bad_reference_is_found_before_the_work(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, code: str
) -> None:
    text = (project / "run.yaml").read_text()
    earlier = reference(tmp_path, one('"value": 5', name="other")) if content == "lacks" else None
    earlier = earlier or tmp_path / "earlier.json"
    if content not in (None, "lacks"):
        earlier.write_text(str(content))
    elif content is None:
        earlier.mkdir()  # it exists, but is no file
        (earlier / "x").write_text("")
    config = project / "relative.yaml"
    target = f"  - metric: latency.cycles\n    relative_to: {earlier}\n    at_most: 1.05\n"
    config.write_text(text[: text.index("targets:")] + "targets:\n" + target)
    monkeypatch.setattr(accelsim.pipeline, "run_variant", no_work)
    for attempt in (accelsim.pipeline.validate, accelsim.run):
        with pytest.raises(AccelsimError) as caught:
            attempt(config)
        assert caught.value.mistakes[0].code in (code, "C007")


# --- outputs -----------------------------------------------------------------------------------


def quiet(*args: object) -> int:
    return guarded(lambda: app([str(a) for a in args], prog_name="accelsim"))


def test_an_occupied_place_is_found_before_the_work(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(accelsim.pipeline, "run_variant", no_work)
    monkeypatch.chdir(tmp_path)
    name = load_study(project / "run.yaml", {}, None).name
    for place in (tmp_path / "reports" / name, tmp_path / "mine"):
        place.mkdir(parents=True)
        (place / "thesis.txt").write_text("mine")
    assert quiet("run", project / "run.yaml") == 2
    assert "R510" in capsys.readouterr().err
    assert quiet("check", project / "run.yaml", "-o", tmp_path / "mine") == 2
    assert "R510" in capsys.readouterr().err
    (tmp_path / "both" / name).mkdir(parents=True)
    (tmp_path / "both" / name / "thesis.txt").write_text("mine")
    assert quiet("check", project / "run.yaml", project / "run.yaml", "-o", tmp_path / "both") == 2
    assert "R510" in capsys.readouterr().err


def test_two_runs_of_one_name_do_not_replace_each_other(
    project: Path, finished: accelsim.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelsim.check import check_inputs

    def runner(path: Path, reserve: Any) -> accelsim.Run:
        reserve(finished.record.name)
        return finished

    config = project / "run.yaml"
    result = check_inputs([config, config], runner, tmp_path / "out")
    assert [e.mistakes[0].code for e in result.errors] == ["U008"]
    assert load(tmp_path / "out" / finished.record.name).verdicts == finished.verdicts


def test_a_report_never_replaces_a_file_of_the_user(
    project: Path, finished: accelsim.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelsim.pipeline, "run_variant", no_work)
    config = Path(shutil.copy(project / "run.yaml", tmp_path / "run.yaml"))
    before = config.read_bytes()
    for option in ("--junit", "--sarif"):
        for bad in (config, tmp_path, tmp_path / "nodir" / "j.xml", project / "accelerator.yaml"):
            assert quiet("check", config, option, bad) == 2
    assert config.read_bytes() == before
    same = tmp_path / "both"
    with pytest.raises(AccelsimError, match="U007"):
        require_writable({"junit": same, "sarif": same}, [])


def test_an_earlier_report_is_replaced(finished: accelsim.Run, tmp_path: Path) -> None:
    folder = save(finished.record, tmp_path / "run")
    files = (tmp_path / "j.xml", tmp_path / "s.sarif")
    files[0].touch()  # an empty file holds nothing of anybody's
    for _ in range(2):
        code = quiet("check", folder, "--junit", files[0], "--sarif", files[1])
        assert code == finished.exit_code
    assert files[0].read_text().startswith("<?xml")
    assert json.loads(files[1].read_text())["version"] == "2.1.0"
    for kind, swapped in (("sarif", files[0]), ("junit", files[1])):
        with pytest.raises(AccelsimError, match="U007"):
            require_writable({kind: swapped}, [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["j.xml", "run", "s.sarif"]
    require_writable({"junit": Path(os.devnull)}, [])
    write_output(Path(os.devnull), "x")


# --- terminals ---------------------------------------------------------------------------------


def test_a_terminal_without_the_characters_is_no_failure(
    finished: accelsim.Run, tmp_path: Path
) -> None:
    folder = save(finished.record, tmp_path / "run")
    done = command("report", folder, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "mm\\xb2" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_stdout_is_said_clearly(finished: accelsim.Run, tmp_path: Path) -> None:
    folder = save(finished.record, tmp_path / "run")
    for args in (("schema",), ("report", folder), ("explain", "spfm"), ("check", folder)):
        with open("/dev/full", "w") as full:
            done = command(*args, capture_output=False, stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 2, args
        assert "U003 cannot write the output: No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    for name in ("schema", "explain spfm"):
        line = f"{sys.executable} -m accelsim {name} | head -c 1"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        assert done.stderr == ""


def test_names_in_progress_bars_are_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from accelsim.progress import terminal_progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with terminal_progress() as show:
        for name in ("[bold]x[/bold]", "[/nothing]", "a\x1b[2Jb"):
            show(name, 0, 2)
    text = terminal.getvalue()
    assert "[bold]x[/bold]" in text
    assert "[/nothing]" in text
    assert "a\\x1b[2Jb" in text


# --- figures -----------------------------------------------------------------------------------


def test_static_energy_is_shared_out_by_cycles(project: Path) -> None:
    overrides = {"accelerator.leakage": "30 mW/mm2"}
    study = load_study(project / "run.yaml", {}, None)
    assert study.base.accelerator is not None
    acc = replace(study.base.accelerator, leakage_mw_per_mm2=30)
    done = simulate_design(replace(study.base, accelerator=acc), read_workload(study.base))
    rows = layer_table(done)
    assert done.energy.static_j > 0, overrides
    assert sum(r["energy_static_j"] for r in rows) == pytest.approx(done.energy.static_j, rel=1e-12)
    parts = ("dram", "scratchpad", "accumulators", "array", "vector", "static")
    total = sum(r[f"energy_{part}_j"] for r in rows for part in parts)
    assert total == pytest.approx(done.energy.total_j, rel=1e-9)
    for row in rows:
        share = row["advance_cycles"] / done.trace.cycles
        assert row["energy_static_j"] == pytest.approx(done.energy.static_j * share)


def test_excess_is_what_is_beyond_the_compulsory(project: Path) -> None:
    study = load_study(project / "run.yaml", {}, None)
    workload = read_workload(study.base)
    done = simulate_design(study.base, workload)
    tensors = workload.tensors
    once = sum(tensors[name].bytes for name in (*workload.inputs, *workload.outputs))
    assert compulsory_bytes(workload) == once + workload.weight_bytes
    more = replace(done.plan, traffic_bytes=done.plan.traffic_bytes + 100)
    assert excess_bytes(workload, more) - excess_bytes(workload, done.plan) == 100
    metrics = simulation_metrics(done)
    traffic = metrics["plan.traffic_bytes"].value
    assert metrics["plan.excess_bytes"].value == traffic - compulsory_bytes(workload)


def test_throughput_counts_the_whole_batch(project: Path, finished: accelsim.Run) -> None:
    study = load_study(project / "run.yaml", {}, None)
    done = simulate_design(study.base, read_workload(study.base))
    one_run = simulation_metrics(done)
    four = simulation_metrics(replace(done, batch=4))
    name = "throughput.inferences_per_s"
    assert four[name].value == 4 * one_run[name].value
    assert four["latency.cycles"] == one_run["latency.cycles"]
    base = finished.record.base
    batch = replace(base, info={**base.info, "batch": 4})
    assert "one run of the network: a batch of 4" in told(finished, batch)
    assert "per batch of 4" in told(finished, batch)
    assert "Performance of one inference" in told(finished, base)
    assert "0 B beyond the compulsory" in told(finished, base)


def told(run: accelsim.Run, base: Any) -> str:
    from rich.console import Console

    console = Console(width=160, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(summary(replace(run.record, variants={**run.record.variants, "base": base})))
    return console.export_text()
