"""README.md is true: its config loads, its commands exist, its figures are the example's."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import accelsim
import faults
from accelsim.config.load import load_study
from accelsim.store import load

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "reports" / "example"


def test_the_example_config_is_valid(tmp_path: Path) -> None:
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", README, re.S) if "schema:" in b]
    assert len(block.strip().splitlines()) <= 18
    path = tmp_path / "my_run.yaml"
    path.write_text(block.replace("../", f"{ROOT}/configs/"))
    study = load_study(path, {}, None)
    assert set(study.variants) == {"wide"}
    assert len(study.targets) == 3


def test_the_python_calls_work() -> None:
    assert accelsim.gemm_cycles(1024, 144, 16, rows=16, cols=16, dataflow="ws", overlap="full") > 0
    outputs = faults.upset_outputs(
        dataflow="ws", register="w", pe=(3, 5), cycle=40, m=64, n=16, k=16, rows=16, cols=16
    )
    assert outputs
    assert {column for _, column in outputs} == {5}
    named = sorted(set(re.findall(r"\b((?:accelsim|ilp|faults)\.\w+)\(", README)))
    fresh_python("import accelsim, ilp, faults", *(f"assert callable({name})" for name in named))


def test_every_command_named_exists() -> None:
    from accelsim.cli import app

    known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    listed = set(re.findall(r"^\| `accelsim (\w+)", README, re.M))
    assert listed == known


def test_files_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_committed_example_is_whole() -> None:
    """Its files belong together: what was mixed from two runs does not read (R512)."""
    assert load(ROOT / "reports" / "example").name == "quickstart"


def test_the_figures_are_those_of_the_committed_example() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "update_readme.py"))
    document = json.loads((EXAMPLE / "metrics.json").read_text(encoding="utf-8"))
    assert script["updated"](README, document) == README


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/runs/*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_is_valid(path: Path) -> None:
    """It loads, and there is something to judge or to compare."""
    study = load_study(path, {}, None)
    assert study.targets or study.variants


def test_the_python_block_runs_up_to_its_own_files() -> None:
    """Every line but the run itself and the last one, whose files are the reader's. In a process of
    its own, as the reader's."""
    (block,) = re.findall(r"## Python\n```python\n(.*?)```", README, re.S)
    lines = [
        line
        for line in block.splitlines()
        if not line.startswith(("run", "faults.campaign", "faults.fmeda"))
    ]
    fresh_python(*lines)


def fresh_python(*lines: str) -> None:
    """Run lines in a process of their own, in the root of the repository."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
