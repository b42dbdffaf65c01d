"""The file of a system of cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from accelsim.arch.system import Link
from accelsim.config.load import load_accelerator
from accelsim.config.system import load_system
from accelsim.errors import AccelsimError

EDGE = Path(__file__).resolve().parents[3] / "configs" / "accelerators" / "edge_npu_16x16.yaml"

SYSTEM = """\
schema: accelsim/system/v1
name: mixed
cores:
  - accelerator: small.yaml
  - {accelerator: EDGE, count: 2}
link: {bandwidth: 8 GB/s, buffer: 512 KiB, latency_cycles: 10}
sync_cycles: 20
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small = "schema: accelsim/accelerator/v1\nextends: EDGE\nname: small\narray: {rows: 8}\n"
    (tmp_path / "small.yaml").write_text(small.replace("EDGE", str(EDGE)))
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "system.yaml"
    path.write_text(text.replace("EDGE", str(EDGE)))
    return path


def test_cores_are_listed_in_order(folder: Path) -> None:
    system = load_system(written(folder, SYSTEM))
    edge = load_accelerator(EDGE)
    small = replace(edge, name="small", array=replace(edge.array, rows=8))
    assert system.cores == (small, edge, edge)
    assert system.link == Link(8_000_000_000, 512 * 1024, 10)
    assert (system.name, system.sync_cycles) == ("mixed", 20)
    assert not system.homogeneous


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("name: mixed", "nome: mixed", "C001", "did you mean 'name'"),
        ("count: 2", "count: 0", "C004", "at least 1"),
        ("count: 2", "count: 256", "A150", "a system of 257 cores"),
        ("small.yaml", "large.yaml", "C007", "cannot read .*large.yaml"),
        ("8 GB/s", "0 GB/s", "C004", "bandwidth"),
        ("system/v1", "accelerator/v1", "C015", "is an accelerator file"),
        ("  - accelerator: small.yaml\n", "  - accelerator: clock.yaml\n", "A150", "clock of core"),
    ],
)
def test_mistakes_are_told(folder: Path, old: str, new: str, code: str, words: str) -> None:
    clock = (folder / "small.yaml").read_text() + "clock: 123 MHz\n"
    (folder / "clock.yaml").write_text(clock)
    with pytest.raises(AccelsimError, match=words) as error:
        load_system(written(folder, SYSTEM.replace(old, new)))
    assert code in {mistake.code for mistake in error.value.mistakes}
    assert all(mistake.location is not None for mistake in error.value.mistakes)


def test_what_is_wrong_with_an_accelerator_is_told_at_its_place(folder: Path) -> None:
    (folder / "small.yaml").write_text("schema: accelsim/accelerator/v1\nname: small\n")
    with pytest.raises(AccelsimError, match=r"small\.yaml:1") as error:
        load_system(written(folder, SYSTEM))
    assert {mistake.code for mistake in error.value.mistakes} == {"C002"}
