"""SCALE-Sim configurations as accelerator files."""

from pathlib import Path

import pytest

from accelsim.config.hardware import AcceleratorPart
from accelsim.config.merge import without
from accelsim.config.problems import Problems, validate
from accelsim.config.yamlpos import parse
from accelsim.errors import AccelsimError, Location
from accelsim.workload.scalesim_config import read_scalesim_config, scalesim_accelerator

BESIDE = Path(__file__).parents[4] / "shared/data/topologies"

CONFIG = """[general]
run_name = tpu: "like"

[architecture_presets]
ArrayHeight:    128
ArrayWidth:     64
IfmapSramSzkB:   1024
FilterSramSzkB:  512
OfmapSramSzkB:   256
IfmapOffset:    0
Bandwidth : 10
Dataflow : ws

[sparsity]
SparsitySupport : false

[run_presets]
InterfaceBandwidth: CALC
"""


def save(folder, text):
    path = folder / "scale.cfg"
    path.write_text(text)
    return path


def loaded(text):
    """The text as an accelerator file is read."""
    root = parse(text, Location("x.yaml"), ".")
    assert root.entries["schema"].node.value == "accelsim/accelerator/v1"
    problems = Problems()
    part = validate(AcceleratorPart, without(root, ("schema",)), problems)
    problems.raise_if_any()
    return part


def test_what_a_configuration_settles(tmp_path):
    assert read_scalesim_config(save(tmp_path, CONFIG)) == {
        "name": 'tpu: "like"',
        "array": {"rows": 128, "cols": 64, "dataflow": "ws", "overlap": "none"},
        "scratchpad": {"size": 1536 * 1024},
        "accumulators": {"size": 256 * 1024},
    }


def test_the_accelerator_file_loads_and_says_what_is_assumed(tmp_path):
    text = scalesim_accelerator(save(tmp_path, CONFIG))
    part = loaded(text)
    assert (part.name, part.array.rows, part.array.dataflow) == ('tpu: "like"', 128, "ws")
    assert part.scratchpad.size == 1536 * 1024
    assert part.dram.bandwidth == (128 + 2 * 64) * 10**9
    assert text.count("assumed") >= 6


def test_a_given_bandwidth_is_kept(tmp_path):
    text = CONFIG.replace("CALC", "USER").replace("Bandwidth : 10", "Bandwidth : 30, 10, 20")
    path = save(tmp_path, text)
    assert read_scalesim_config(path)["dram"] == {"bandwidth": 10 * 10**9}
    assert loaded(scalesim_accelerator(path)).dram.bandwidth == 10**10


def test_sparsity_is_told(tmp_path):
    path = save(tmp_path, CONFIG.replace("SparsitySupport : false", "SparsitySupport : True"))
    assert read_scalesim_config(path)["sparsity"] is True
    assert "sparse weights" in scalesim_accelerator(path)


def test_all_mistakes_at_once(tmp_path):
    text = CONFIG.replace("128", "0").replace("Dataflow : ws", "Dataflow : rs")
    text = text.replace("FilterSramSzkB:  512\n", "").replace("CALC", "maybe")
    with pytest.raises(AccelsimError) as caught:
        read_scalesim_config(save(tmp_path, text))
    assert {m.code for m in caught.value.mistakes} == {"W121"}
    messages = [m.message for m in caught.value.mistakes]
    for part in ("'arrayheight' is '0'", "'filtersramszkb' is missing", "is 'rs'", "is 'MAYBE'"):
        assert any(part in message for message in messages), messages


@pytest.mark.parametrize(
    "text",
    ["", "ArrayHeight: 3", "[a]\nx=1\nx=2", "[a\n", CONFIG.replace("CALC", "USER\n")
     .replace("Bandwidth : 10", "Bandwidth : 0")],
)  # fmt: skip
def test_files_that_are_no_configuration(tmp_path, text):
    with pytest.raises(AccelsimError) as caught:
        read_scalesim_config(save(tmp_path, text))
    assert {m.code for m in caught.value.mistakes} == {"W121"}


@pytest.mark.skipif(not BESIDE.is_dir(), reason=f"no configurations in {BESIDE}")
def test_configurations_of_scale_sim_load():
    found = sorted(BESIDE.glob("*.cfg"))
    assert found
    for path in found:
        assert loaded(scalesim_accelerator(path)).name == path.stem
