"""Network files that are no files, tables whose columns say too little, keys without a meaning."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from accelsim.errors import AccelsimError
from accelsim.workload.reader import read_network
from accelsim.workload.scalesim import read_topology
from accelsim.workload.scalesim_config import scalesim_accelerator

CONV = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Filters, Strides"
)

LAYERS = """\
schema: accelsim/layers/v1
inputs: {image: [1, 16, 8, 8]}
layers:
  - {name: c1, kind: conv, filters: 4, kernel: 3}
"""

CFG = """\
[general]
run_name = machine
[architecture_presets]
ArrayHeight: 16
ArrayWidth: 16
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
Dataflow: ws
MemoryBanks: 4
[run_presets]
InterfaceBandwidth: CALC
"""


def refused(path: Path, **options: object) -> str:
    with pytest.raises(AccelsimError) as caught:
        read_network(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["yaml", "csv", "onnx", "tflite", "bin"])
def test_a_pipe_without_a_writer_is_refused_at_once(tmp_path: Path, suffix: str) -> None:
    def late(number: int, frame: object) -> None:
        raise TimeoutError("reading the pipe never ended")

    pipe = tmp_path / f"network.{suffix}"
    os.mkfifo(pipe)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    try:
        assert str(pipe) in refused(pipe)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("suffix", ["yaml", "csv", "tflite", "onnx"])
def test_a_treatment_that_does_not_exist_is_refused_whatever_the_format(
    tmp_path: Path, suffix: str
) -> None:
    assert "neither 'refuse' nor 'fallback'" in refused(
        tmp_path / f"network.{suffix}", unsupported="maybe"
    )


def test_a_first_row_that_is_nearly_a_layer_is_not_taken_for_a_header(tmp_path: Path) -> None:
    """SCALE-Sim skips the first row, so a layer there would vanish without a word."""
    path = tmp_path / "net.csv"
    path.write_text("a,8.0,8,3,3,2,4,1,\nb,8,8,3,3,2,4,1,\n")
    assert "the first row is a layer, not a header" in refused(path)


@pytest.mark.parametrize("row", ["a,8,8,3,3,2,4,1,2", "a,8,8,3,3,2,4,1,,,2"])
def test_a_number_without_a_column_name_is_not_ignored(tmp_path: Path, row: str) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f"{CONV},\n{row}\n")
    assert "the header does not say what it is" in refused(path)
    path.write_text(f"{CONV},\n{row.rstrip('2')} a remark\n")
    assert read_topology(path).ops[0].window is not None


@pytest.mark.parametrize("header", ["Layer,K,M,N", "Layer,N,M,K", "Layer,M,K,N"])
def test_products_in_another_order_are_told_the_order(tmp_path: Path, header: str) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f"{header}\na,8,8,8\n")
    assert "in the order Layer, M, N, K" in refused(path)


def test_a_network_has_outputs(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(LAYERS + "outputs: []\n")
    assert "outputs has 0 items, must have at least 1" in refused(path)


def test_a_step_of_decode_makes_one_token_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    text = "schema: accelsim/transformer/v1\nlayers: 1\nd_model: 64\nheads: 4\nd_ff: 128\n"
    path.write_text(text + "mode: decode\ncontext: 16\n")
    one = read_network(path).macs
    path.write_text(text + "mode: decode\ncontext: 16\ntokens: 1\n")
    assert read_network(path).macs == one
    path.write_text(text)
    assert "'tokens' is missing" in refused(path)


def test_a_hint_names_keys_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("schema: accelsim/transformer/v1\npreset: gpt2\nzzz: 1\n")
    text = refused(path)
    assert "schema," in text
    assert "schema_" not in text


def test_what_an_import_leaves_out_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a\nclock: 1 Hz.cfg"
    path.write_text(CFG)
    text = scalesim_accelerator(path)
    assert "# Not imported: memorybanks\n" in text
    assert "\nclock: 1 Hz" not in text, "the file's name must not become a key"
    path.write_text(CFG.replace("MemoryBanks: 4\n", ""))
    assert "Not imported" not in scalesim_accelerator(path)


def test_a_damaged_configuration_is_named_by_its_path_only(tmp_path: Path) -> None:
    path = tmp_path / "machine.cfg"
    path.write_text(CFG + "[general]\n")
    with pytest.raises(AccelsimError) as caught:
        scalesim_accelerator(path)
    assert "section 'general' already exists" in str(caught.value)
    assert "<string>" not in str(caught.value)
