"""Loop orders from a config: obeyed in a run, counted by ``explain``, refused with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.errors import AccelsimError
from accelsim.pipeline import explain_config, validate

MACHINE = Path(__file__).parents[3] / "configs" / "accelerators" / "edge_npu_16x16.yaml"

NETWORK = """\
schema: accelsim/layers/v1
inputs: {image: [1, 16, 16, 16]}
layers:
  - {name: c1, kind: conv, filters: 32, kernel: 3, pad: same}
"""

RUN = f"""\
schema: accelsim/run/v1
name: orders
workload: {{model: net.yaml}}
accelerator: {MACHINE}
mapping:
  layers:
    c1: {{m: 64, n: 16, k: 48, order: nkm, stream: [inputs, output]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


@pytest.mark.parametrize(
    ("order", "weights", "inputs"),
    [("nmk", 4, 2), ("nkm", 1, 2), ("mkn", 4, 1), ("knm", 1, 2), ("kmn", 4, 1)],
)
def test_an_order_decides_what_comes_again(config: Path, order: str, weights: int, inputs: int):
    """Four tiles of four output rows, with a halo of two input rows or, at the border, one; two
    blocks of 16 channels; three tiles of k of 5 1/3 input channels, which look at six each."""
    overrides = {"mapping.layers.c1.order": order, "accelerator.accumulators.size": "64 KiB"}
    run = accelsim.run(config, overrides=overrides, exact_events=True)
    rows = 5 + 6 + 6 + 5
    read = weights * 32 * 144 + inputs * rows * 16 * 18
    assert run.metrics["dram.read_bytes"].value == read
    assert run.metrics["dram.write_bytes"].value == 32 * 256
    assert run.metrics["macs.total"].value == 256 * 32 * 144


def test_an_order_holds_for_the_parts_of_an_operator_on_several_cores(config: Path):
    overrides = {
        "mapping.layers": {"c1": {"k": 48, "order": "nkm", "stream": ["inputs", "output"]}},
        "accelerator.cores": 2,
    }
    run = accelsim.run(config, overrides=overrides, exact_events=True)
    assert run.metrics["macs.total"].value == 256 * 32 * 144


def test_explain_counts_the_orders_and_prints_the_chosen_one(config: Path):
    text = explain_config(config, {"mapping.layers.c1.order": "mkn"})
    assert "119 tilings (65 nmk, 6 mnk, 24 nkm, 24 mkn) x 4 residencies" in text
    assert "chosen  m 64 n 16 k 48 mkn, streams c1, image" in text


def test_sums_that_do_not_fit_are_refused_where_they_were_asked_for(config: Path):
    """32 KiB hold 4,096 sums in each half: two channel blocks of 256 pixels are 8,192."""
    with pytest.raises(AccelsimError, match="8192 sums of 4 bytes do not fit half") as caught:
        explain_config(config, {"mapping.layers.c1.order": "knm"})
    (mistake,) = caught.value.mistakes
    assert mistake.code == "M340"
    assert mistake.location is not None
    assert (mistake.location.line, mistake.location.column) == (7, 9)


def test_an_unknown_order_gets_a_suggestion(config: Path):
    with pytest.raises(AccelsimError, match="unknown loop order 'kkm'"):
        validate(config, {"mapping.layers.c1.order": "kkm"})
