"""A system of cores, and how work is spread over it, in a run config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from accelsim.arch.system import Link
from accelsim.config.cores import STRATEGIES as NAMES
from accelsim.config.load import load_accelerator, load_study
from accelsim.config.types import ParallelConfig
from accelsim.errors import AccelsimError
from accelsim.multicore.strategies import STRATEGIES

EDGE = Path(__file__).resolve().parents[3] / "configs" / "accelerators" / "edge_npu_16x16.yaml"

NETWORK = """\
schema: accelsim/layers/v1
inputs: {image: [1, 16, 8, 8]}
layers: [{name: c1, kind: conv, filters: 16, kernel: 1}]
"""

SYSTEM = """\
schema: accelsim/system/v1
name: pair
cores:
  - big.yaml
  - {accelerator: big.yaml, overrides: {name: small, array.rows: 8, vector: {lanes: 4}}}
"""

RUN = """\
schema: accelsim/run/v1
workload: {model: net.yaml}
system: system.yaml
parallel: {strategy: rows, images: 2}
variants:
  linked: {system.link: {bandwidth: 8 GB/s, buffer: 64 KiB}, system.sync_cycles: 5}
  equal: {system.cores: [{accelerator: big.yaml, count: 3}]}
  one: {system: null, parallel: null, accelerator: big.yaml}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    big = f"schema: accelsim/accelerator/v1\nextends: {EDGE}\nname: big\n"
    for name, text in (
        ("net", NETWORK), ("system", SYSTEM), ("run", RUN), ("big", big),
        ("clock", big + "clock: 100 MHz\n"),
    ):  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path / "run.yaml"


def refused(run: Path, overrides: Mapping[str, object]) -> AccelsimError:
    with pytest.raises(AccelsimError) as error:
        load_study(run, overrides)
    assert all(mistake.location is not None for mistake in error.value.mistakes)
    return error.value


def test_a_run_names_its_cores_in_a_file_or_in_place(run: Path) -> None:
    study = load_study(run)
    base = study.base
    assert base.accelerator is None
    assert base.system is not None
    big, small = base.system.cores
    assert (big.array.rows, small.array.rows, small.vector.lanes) == (16, 8, 4)
    assert (big.name, small.name) == ("big", "small")
    assert base.machines == (big, small)
    assert base.several
    assert base.parallel == ParallelConfig("rows", 2)
    linked, equal, one = (study.variants[name] for name in ("linked", "equal", "one"))
    assert linked.system is not None
    assert linked.system.link == Link(8_000_000_000, 65_536)
    assert linked.system.sync_cycles == 5
    assert linked.system.cores == base.system.cores
    assert equal.system is not None
    assert equal.system.cores == (big,) * 3
    assert one.system is None
    assert one.accelerator == load_accelerator(run.parent / "big.yaml")
    assert not one.several


def test_names_of_strategies_are_those_that_exist() -> None:
    assert tuple(STRATEGIES) == NAMES


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        ({"system.cores": []}, "C004", "at least 1"),
        ({"system.cores": [{"accelerator": "big.yaml", "count": 0}]}, "C004", "at least 1"),
        ({"system.cores": ["big.yaml", "clock.yaml"]}, "A150", "clock of core 1 differs"),
        ({"system.cores": ["none.yaml"]}, "C007", "cannot read .*none.yaml"),
        ({"system.cores": ["system.yaml"]}, "C015", "is a file of a system"),
        (
            {"system.cores": [{"accelerator": "big.yaml", "overrides": {"array.rws": 8}}]},
            "C001",
            "did you mean 'rows'",
        ),
        (
            {"system.cores": [{"accelerator": "big.yaml", "overrides": {"name.x": 8}}]},
            "C003",
            "cannot set a key of 'name'",
        ),
        (
            {"system.cores": [{"accelerator": "big.yaml", "overrides": {"technology": "28 nm"}}]},
            "C009",
            "is for 45 nm",
        ),
        ({"system.cores": [{"accelerator": {"name": "x"}}]}, "C002", "'clock' is missing"),
        ({"system.cores": [{"count": 2}]}, "C002", "'accelerator' is missing"),
        ({"system.cores": 3}, "C003", "must be a list"),
        ({"system": "big.yaml"}, "C015", "is an accelerator file"),
        ({"accelerator": "big.yaml"}, "C009", "both 'accelerator' and 'system'"),
        ({"system.link": {"bandwidth": "0 B/s", "buffer": "1 KiB"}}, "C004", "bandwidth"),
        ({"parallel.strategy": "row"}, "C005", "did you mean 'rows'"),
        ({"parallel.images": 0}, "C004", "at least 1"),
        ({"system": None}, "C002", "'accelerator' is missing"),
        ({"system": None, "accelerator": "big.yaml"}, "C009", "it would have no effect"),
        ({"simulate": False}, "C009", "it would have no effect"),
        (
            {
                "system.cores": ["big.yaml"],
                "parallel": {"strategy": "dynamic"},
                "targets": [{"metric": "parallel.fraction", "at_least": 0}],
            },
            "C014",
            "dynamic, and several cores",
        ),
    ],
)
def test_mistakes_are_told_at_their_place(
    run: Path, overrides: dict[str, object], code: str, words: str
) -> None:
    run.write_text(RUN.partition("variants")[0])
    error = refused(run, overrides)
    assert code in {mistake.code for mistake in error.mistakes}, str(error)
    assert any(re.search(words, str(m)) for m in error.mistakes), str(error)


def test_cores_of_a_core_are_refused(run: Path) -> None:
    cores = [{"accelerator": "big.yaml", "overrides": {"cores": 2}}]
    error = refused(run, {"system.cores": cores})
    assert "is itself 2 cores" in str(error)
