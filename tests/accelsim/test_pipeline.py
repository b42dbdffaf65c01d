"""The whole loop: one config in, the same record out, whatever the number of workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import accelsim
import faults
from accelsim import cli
from accelsim.config.init import write_init
from accelsim.config.load import load_study
from accelsim.errors import AccelsimError
from accelsim.record import metrics_json
from accelsim.report.files import write_run_folder
from accelsim.sim.engine import simulate
from accelsim.sim.exposure import Exposure, exposures
from accelsim.stages.campaign import upset_targets
from accelsim.stages.design import read_workload, simulate_design
from accelsim.stages.safety import SafetyInputs, memory_rows
from accelsim.taskgraph import Access, Task, TaskGraph, TaskKind, Value
from accelsim.verdict import Outcome

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "configs" / "runs" / "quickstart.yaml"


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that ``accelsim init`` writes."""
    folder = tmp_path_factory.mktemp("starter")
    write_init(folder)
    return folder


@pytest.fixture(scope="module")
def finished(starter: Path) -> accelsim.Run:
    return accelsim.run(starter / "run.yaml", workers=1)


def test_the_starter_runs_as_it_is_and_meets_its_targets(finished: accelsim.Run) -> None:
    assert finished.exit_code == 0
    assert finished.verdicts
    assert finished.metrics["latency.cycles"].value == finished.trace.cycles
    assert finished.trace.on("dram")


def test_metrics_do_not_depend_on_workers_or_repetition(
    starter: Path, finished: accelsim.Run
) -> None:
    for workers in (1, 2):
        again = accelsim.run(starter / "run.yaml", workers=workers)
        assert metrics_json(again.record.variants) == metrics_json(finished.record.variants)
        assert again.record.variants == finished.record.variants


def test_seed_changes_the_faults_and_zero_is_a_seed(starter: Path, finished: accelsim.Run) -> None:
    zero = accelsim.run(starter / "run.yaml", seed=0, workers=1)
    one = accelsim.run(starter / "run.yaml", seed=1, workers=1)
    assert zero.record.base.faults == finished.record.base.faults
    assert one.record.base.faults != finished.record.base.faults
    assert one.metrics["latency.cycles"] == finished.metrics["latency.cycles"]


def test_a_saved_run_loads_equal_and_save_accepts_a_parent_folder(
    finished: accelsim.Run, tmp_path: Path
) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "README.md").write_text("where runs write")
    folder = finished.save(reports)
    assert folder == reports / finished.record.name
    loaded = accelsim.load(folder)
    assert loaded.variants == finished.record.variants
    assert loaded.verdicts == finished.verdicts
    for name in ("report.html", "junit.xml", "trace.perfetto.json", "metrics.json", "plan.json"):
        assert (folder / name).stat().st_size > 0, name
    assert finished.save(folder) == folder, "a run folder is replaced, not nested"


# --- exposure drives faults and FIT ---------------------------------------------------------


def kept_for(cycles: int) -> TaskGraph:
    """Tensor ``x`` is written, kept while other work takes ``cycles``, and read; ``y`` beside it
    lives for 100 cycles whatever happens to ``x``."""
    x = Value(0, "scratchpad", "activation", "x", "a", 64, 0)
    y = Value(1, "scratchpad", "activation", "y", "a", 64, 64)

    def task(number: int, resource: str, length: int, **more: object) -> Task:
        return Task(number, "a", 0, number, TaskKind.VECTOR, (resource,), length, **more)  # type: ignore[arg-type]

    return TaskGraph(
        tasks=(
            task(0, "vector", 10, writes=(Access(0, 64), Access(1, 64))),
            task(1, "vector", cycles, deps=(0,)),
            task(2, "vector", 0, deps=(1,), reads=(Access(0, 64),)),
            task(3, "array", 100, deps=(0,), reads=(Access(1, 64),)),
        ),
        values=(x, y),
        resources=("array", "vector"),
        op_order=("a",),
    )


def exposed(cycles: int) -> dict[str, Exposure]:
    return {e.tensor: e for e in exposures(simulate(kept_for(cycles)))}


def test_doubling_a_residency_doubles_its_share_of_the_sampled_faults() -> None:
    once, twice = exposed(500), exposed(1000)
    assert twice["x"].bit_cycles == 2 * once["x"].bit_cycles
    assert twice["y"] == once["y"]

    def drawn(found: dict[str, Exposure], upsets: int) -> Counter[str]:
        from faults.sites import Population, draw

        targets = upset_targets(tuple(found.values()))
        plan = faults.UpsetPlan(targets, faults=upsets, images_per_fault=1)
        sizes = {(t.kind, t.tensor): Population(64, 8) for t in targets}
        return Counter(upset.target.tensor for upset in draw(plan, sizes, images=10))

    # x : y is 5 : 1, then 10 : 1; the odds double. 20,000 draws: three standard errors are 0.06.
    before, after = drawn(once, 20_000), drawn(twice, 20_000)
    odds = (after["x"] / after["y"]) / (before["x"] / before["y"])
    assert odds == pytest.approx(2.0, rel=0.12)


def test_doubling_a_residency_doubles_its_dangerous_rate(starter: Path) -> None:
    study = load_study(starter / "run.yaml", {}, None)
    done = simulate_design(study.base, read_workload(study.base))
    assert study.base.safety is not None
    assert done.accelerator.scratchpad.bytes
    sdc = faults.Estimate(0.01, 0.005, 0.02, 0.95, 1000)

    def dangerous(found: dict[str, Exposure]) -> float:
        campaign = faults.CampaignResult(
            "net", "int8", 10, 1.0, 1000, sdc, None, None,
            structures=(faults.StructureResult("scratchpad.activation", 1.0, sdc, 0.0),),
        )  # fmt: skip
        only_x = {k: v for k, v in found.items() if k == "x"}
        inputs = SafetyInputs(
            done.accelerator, study.base.safety, tuple(only_x.values()),  # type: ignore[arg-type]
            campaign, done.area, period_cycles=5000,
            scratchpad_bytes=128, accumulator_bytes=0, dram_bytes=0, confidence=0.95,
        )  # fmt: skip
        (row,) = memory_rows(inputs)
        return row.base_fit * row.exposure * row.p_dangerous

    assert dangerous(exposed(1000)) == pytest.approx(2 * dangerous(exposed(500)), rel=1e-12)


def test_the_campaign_hits_what_the_plan_keeps(finished: accelsim.Run) -> None:
    rows = {(r["kind"], r["tensor"]) for r in finished.record.base.exposure if r["bit_cycles"]}
    hit = {(r["kind"], r["tensor"]) for r in finished.record.base.faults}
    assert hit
    assert hit <= rows


# --- agreement with the runtime --------------------------------------------------------------


def test_fault_free_accuracy_equals_the_runtimes_own() -> None:
    import onnxruntime

    study = load_study(QUICKSTART, {}, None)
    data = study.base.data
    assert data is not None
    with np.load(data.file, allow_pickle=False) as arrays:
        images, labels = arrays["images"].astype(np.float32), arrays["labels"]
    shape = (1, -1, 1, 1)
    mean = np.array(data.mean, np.float32).reshape(shape)
    std = np.array(data.std, np.float32).reshape(shape)
    feed = (images / np.float32(data.divide_by) - mean) / std
    session = onnxruntime.InferenceSession(study.base.workload.model)
    (scores,) = session.run(None, {session.get_inputs()[0].name: feed})
    own = float((scores.argmax(axis=1) == labels).mean())
    small = {"faults.count": "4", "faults.images_per_fault": "1", "faults.maps": "1"}
    run = accelsim.run(QUICKSTART, overrides=small, workers=1)
    assert run.metrics["accuracy.fault_free"].value == own
    assert own > 0.90


# --- the regression gate ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slower", "outcome", "code"), [(1.0, Outcome.PASS, 0), (1.25, Outcome.FAIL, 1)]
)
def test_latency_regression_against_an_earlier_run(
    starter: Path,
    finished: accelsim.Run,
    tmp_path: Path,
    slower: float,
    outcome: Outcome,
    code: int,
) -> None:
    earlier = write_run_folder(finished.record, tmp_path / "earlier") / "metrics.json"
    text = (starter / "run.yaml").read_text()
    config = starter / f"regression_{slower}.yaml"
    target = f"  - metric: latency.seconds\n    relative_to: {earlier}\n    at_most: 1.05\n"
    config.write_text(text[: text.index("faults:")] + "targets:\n" + target)
    seconds = float(finished.metrics["latency.seconds"].value)
    clock = round(float(finished.metrics["latency.cycles"].value) / seconds)
    overrides = {"accelerator.clock": f"{round(clock / slower)} Hz"}
    run = accelsim.run(config, overrides=overrides, workers=1)
    (verdict,) = run.verdicts
    assert verdict.outcome is outcome
    assert run.exit_code == code


# --- the gate, the process ---------------------------------------------------------------------


def command(*args: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "accelsim", *map(str, args)],
        capture_output=True, text=True, check=False, **more,
    )  # fmt: skip


def test_asil_d_fails_and_junit_names_the_missed_metrics(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    config = QUICKSTART.with_name("quickstart_asil_d.yaml")
    small = ["--set", "faults.count=300", "--set", "faults.images_per_fault=4"]
    done = command("check", config, "--junit", junit, *small, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "FAIL" in done.stdout
    text = junit.read_text()
    for metric in ("asil.spfm_permanent", "asil.pmhf_fit"):
        assert metric in text
    import xml.etree.ElementTree as ElementTree

    failed = ElementTree.fromstring(text).findall(".//failure")
    assert failed
    assert all(f.get("message") and "required" in str(f.get("message")) for f in failed)


def test_check_judges_a_saved_run_and_prints_every_format(
    finished: accelsim.Run, tmp_path: Path
) -> None:
    folder = finished.save(tmp_path / "run")
    done = command("check", folder, "--format", "json", "--sarif", tmp_path / "out.sarif")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == len(finished.verdicts)
    assert json.loads((tmp_path / "out.sarif").read_text())["version"] == "2.1.0"
    assert command("check", folder).stdout.count("PASS") == len(finished.verdicts)
    assert command("check", folder, "--format", "github").stdout == ""


def test_json_output_is_metrics_json(starter: Path, tmp_path: Path) -> None:
    done = command("run", starter / "run.yaml", "--json", "-o", tmp_path / "out", "-j", "1")
    assert done.returncode == 0
    assert done.stdout == (tmp_path / "out" / "metrics.json").read_text()
    assert done.stderr == "", "no progress bars when stderr is not a terminal"


def test_interrupt_leaves_nothing_and_exits_130(tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "accelsim", "run", str(QUICKSTART), "-o", str(output), "-j", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    time.sleep(6)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_help_and_version_are_light() -> None:
    code = (
        "import sys\nfrom accelsim.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'numpy', 'scipy', 'onnx', 'onnxruntime', 'ortools', 'pydantic', 'plotly', "
        "'networkx', 'simpy', 'rich'} & set(sys.modules)\nsys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("run", "check", "validate", "schema", "explain", "init", "report"):
        assert name in done.stdout
    assert accelsim.__version__ in command("--version").stdout


def test_foreign_packages_of_the_same_name_are_one_clear_error(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ilp

    monkeypatch.setattr(ilp, "__version__", "9.9.9")
    with pytest.raises(AccelsimError, match="ilp"):
        accelsim.run(starter / "run.yaml", workers=1)


def test_a_script_without_a_guard_ends_with_a_clear_error(starter: Path, tmp_path: Path) -> None:
    """Workers import the script that starts them: it must end, and say what to do."""
    script = tmp_path / "mine.py"
    script.write_text(f"import accelsim\naccelsim.run({str(starter / 'run.yaml')!r}, workers=2)\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 1
    assert "F590" in done.stderr
    assert "__main__" in done.stderr


def test_a_second_interrupt_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("accelsim.cli.guarded", lambda body: 130)
    monkeypatch.setattr("accelsim.cli._flushed", interrupted)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 130
