"""Options of the array belong to some dataflows; elsewhere they are refused, not ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

import accelsim
from accelsim.arch.parts import DotUnits, PeSpads
from accelsim.errors import AccelsimError

MACHINE = """\
schema: accelsim/accelerator/v1
name: machine
clock: 500 MHz
technology: 45 nm
array: {{rows: 8, cols: 32, {array}}}
vector: {{lanes: 16}}
scratchpad: {{size: 128 KiB}}
accumulators: {{size: 32 KiB}}
dram: {{kind: LPDDR4, bandwidth: 3.2 GB/s}}
"""


def _load(tmp_path: Path, array: str):
    path = tmp_path / "machine.yaml"
    path.write_text(MACHINE.format(array=array))
    return accelsim.load_accelerator(path).array


def test_what_a_dataflow_has_reaches_the_array(tmp_path):
    text = "dataflow: dot, dot: {positions: [2, 2], burst: 4, set_cycles: 32, input_buffer: true}"
    assert _load(tmp_path, text).dot == DotUnits((2, 2), 4, 32, True, True)
    rows = _load(tmp_path, "dataflow: rs, overlap: none, spads: {psum_words: 16}")
    assert rows.spads == PeSpads(psum_words=16)
    assert _load(tmp_path, "sparsity: [2, 4]").sparsity == (2, 4)
    assert _load(tmp_path, "packing: true, microarchitecture: gemmini").packing


def test_a_list_of_dataflows_is_a_choice(tmp_path):
    several = _load(tmp_path, "dataflow: [os, ws, is], overlap: column, mac_input: registered")
    assert (several.dataflow, several.dataflows) == ("os", ("os", "ws", "is"))
    assert (several.overlap, several.mac_input) == ("column", "registered")
    mesh = _load(tmp_path, "dataflow: [ws, os], microarchitecture: gemmini, packing: true")
    assert mesh.choices == ("ws", "os")
    assert _load(tmp_path, "dataflow: [os]") == _load(tmp_path, "dataflow: os")


@pytest.mark.parametrize(
    ("array", "what"),
    [
        ("dataflow: dot, mac_input: registered", "no registered MAC input"),
        ("dataflow: rs, overlap: none, mac_input: registered", "no registered MAC input"),
        ("dataflow: dot, skip_idle: true", "no idle columns"),
        ("dataflow: dot, packing: true", "does not pack"),
        ("dataflow: rs, overlap: none, packing: true", "does not pack"),
        ("packing: true, sparsity: [2, 4]", "do not go together"),
        ("sparsity: [2, 4], microarchitecture: gemmini", "does not skip zero weights"),
        ("dataflow: os, sparsity: [2, 4]", "does not skip zero weights"),
        ("spads: {psum_words: 16}", "has no spads"),
        ("dot: {burst: 4}", "has no dot products"),
        ("dataflow: dot, overlap: none", "has no overlap"),
        ("dataflow: dot, dot: {positions: [3, 2]}", "do not divide"),
        ("dataflow: dot, microarchitecture: gemmini", "has no dataflow"),
        ("dataflow: [ws, dot]", "'dot' shares its array with no other"),
        ("dataflow: [rs, ws], overlap: none", "'rs' shares its array with no other"),
        ("dataflow: [ws, os, ws]", "names dataflow 'ws' twice"),
        ("dataflow: []", "names no dataflow"),
        ("dataflow: [ws, os], overlap: preload", "dataflow 'os' has no overlap 'preload'"),
        ("dataflow: [ws, os], sparsity: [2, 4]", "dataflow 'os' does not skip zero weights"),
        ("dataflow: [ws, os], spads: {psum_words: 16}", "dataflow 'ws' has no spads"),
        ("dataflow: [ws, os], dot: {burst: 4}", "dataflow 'ws' has no dot products"),
    ],
)
def test_what_it_does_not_have_is_refused(tmp_path, array, what):
    with pytest.raises(AccelsimError) as caught:
        _load(tmp_path, array)
    assert [m.code for m in caught.value.mistakes] == ["C009"]
    assert what in caught.value.mistakes[0].message


@pytest.mark.parametrize(
    ("array", "code", "hint"),
    [
        ("dataflow: [ws, oss]", "C005", "did you mean 'os'?"),
        ("dataflow: {ws: 1}", "C003", ""),
        ("dataflow: [ws, 3]", "C003", ""),
        ("dataflow: [ws, os], overlap: preload", "C009", "they all have: none, full, column"),
    ],
)
def test_a_list_that_cannot_be_is_refused_at_its_place(tmp_path, array, code, hint):
    with pytest.raises(AccelsimError) as caught:
        _load(tmp_path, array)
    (mistake,) = caught.value.mistakes
    assert mistake.code == code
    assert hint in mistake.hint
    assert mistake.location is not None
    assert mistake.location.line == 5
