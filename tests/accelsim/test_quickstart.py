"""The main job, as `make demo` runs it, against the committed example and in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import accelsim

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "configs" / "runs" / "quickstart.yaml"
EXAMPLE = ROOT / "reports" / "example"
RECORD = (
    "run.json", "metrics.json", "verdicts.json", "layers.csv", "plan.json", "trace.rle.json.gz",
    "exposure.csv", "fmeda.csv", "fmeda.json", "campaign.sqlite", "curves.json",
)  # fmt: skip
VIEWS = ("junit.xml", "trace.perfetto.json", "report.html")


def accelsim_run(output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "accelsim", "run", str(QUICKSTART), "-o", str(output), *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole quickstart run; it must meet its own targets."""
    output = tmp_path_factory.mktemp("quickstart") / "run"
    done = accelsim_run(output)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(output / "report.html") in done.stdout
    return output


def test_the_run_folder_is_whole(quickstart: Path) -> None:
    for name in (*RECORD, *VIEWS):
        assert (quickstart / name).stat().st_size > 0, name
    record = accelsim.load(quickstart)
    assert record.verdicts
    assert all(v.outcome == "pass" for v in record.verdicts)
    assert set(record.variants) == {"base", "fp32_none", "fp32_saturate", "fp32_zero"}
    trace = json.loads((quickstart / "trace.perfetto.json").read_text())
    assert trace["traceEvents"]


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_the_committed_example_is_this_run(quickstart: Path) -> None:
    """Simulated figures are equal; campaign figures agree within the example's intervals, since
    floating-point kernels differ between processors."""
    fresh, kept = metrics_of(quickstart), metrics_of(EXAMPLE)
    assert fresh["metrics"].keys() == kept["metrics"].keys()
    for name, metric in kept["metrics"].items():
        if metric["source"] in ("sim", "plan", "cost", "workload"):
            assert fresh["metrics"][name] == metric, name
    pairs = [(kept["metrics"], fresh["metrics"])]
    pairs += [(v["metrics"], fresh["variants"][n]["metrics"]) for n, v in kept["variants"].items()]
    for old, new in pairs:
        for name, metric in old.items():
            if metric["source"] == "campaign" and "lower" in metric:
                assert metric["lower"] <= new[name]["value"] <= metric["upper"], name


def test_clipping_orders_the_float_network(quickstart: Path) -> None:
    """Zeroing beats saturating beats nothing (arXiv 1912.00941, 2003.13874)."""
    variants = metrics_of(quickstart)["variants"]
    accuracy = {
        clip: variants[f"fp32_{clip}"]["metrics"]["accuracy.under_fault@1e-05"]["value"]
        for clip in ("none", "saturate", "zero")
    }
    assert accuracy["none"] < accuracy["saturate"] < accuracy["zero"]


def test_the_same_bytes_for_one_and_two_workers(tmp_path: Path) -> None:
    small = ["--set", "faults.count=120", "--set", "faults.images_per_fault=8"]
    small += ["--set", "faults.maps=3"]
    one = accelsim_run(tmp_path / "one", "-j", "1", *small)
    two = accelsim_run(tmp_path / "two", "-j", "2", *small)
    assert one.returncode in (0, 1), one.stderr
    assert one.returncode == two.returncode
    assert (tmp_path / "one/metrics.json").read_bytes() == (
        tmp_path / "two/metrics.json"
    ).read_bytes()
    assert (tmp_path / "one/run.json").read_text().split("created")[0] == (
        (tmp_path / "two/run.json").read_text().split("created")[0]
    )


@pytest.mark.browser
def test_the_report_opens_in_a_real_browser(quickstart: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium installed: the report was not opened in a browser")
    page = (quickstart / "report.html").as_uri()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [chromium, *options, profile, "--dump-dom", page],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("main-svg") >= 10, "the charts did not draw"
    assert "ASIL B" in done.stdout
