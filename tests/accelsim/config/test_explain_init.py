"""explain, schema, init, and the configs that ship."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from accelsim.arch.protection import PROTECTIONS
from accelsim.config.explain import ERROR_CODES, EXIT_CODES, FAMILIES, config_keys, explain
from accelsim.config.init import render_init, write_init
from accelsim.config.load import load_study
from accelsim.config.schema import json_schema
from accelsim.config.yamlpos import read_file
from accelsim.errors import AccelsimError
from accelsim.metrics import KNOWN

ROOT = Path(__file__).resolve().parents[3]


def test_everything_can_be_explained() -> None:
    for name in [*KNOWN, *config_keys(), *EXIT_CODES, *PROTECTIONS, *ERROR_CODES, *FAMILIES]:
        assert name in explain(name)


def test_explanations_say_what_one_needs() -> None:
    assert "[cycles]" in explain("latency.cycles")
    assert "at the fault rate 1e-05" in explain("sdc.p@1e-05")
    assert "one of: ws, os, is" in explain("accelerator.array.dataflow")
    assert "default: 2000" in explain("faults.count")
    assert "accelerator.array.rows" in explain("rows")
    assert "required" in explain("workload.model")
    assert "infeasible" in explain("exit code 3")
    assert "secded+self_test" in explain("secded+self_test")
    assert "upset rate of its flip-flops x 0.1" in explain("hardened")
    assert "finds faults once per safety.self_test_interval" in explain("self_test")
    assert "[s]" in explain("safety.fault_tolerant_time_interval")


def test_a_key_with_a_name_in_it() -> None:
    said = explain("mapping.layers.m")
    assert explain("mapping.layers.c1.m") == said.replace("layers.m", "layers.c1.m")
    assert "layer1.0.conv1.order" in explain("mapping.layers.layer1.0.conv1.order")
    assert "fixed mapping" in explain("mapping.layers.c1")


def test_what_does_not_exist_is_not_explained() -> None:
    for name in ("E999", "C999", "X001", "Z"):
        with pytest.raises(AccelsimError, match="U006"):
            explain(name)
    assert "U007  an output" in explain("U007")
    assert "U007" not in explain("U003")


def test_people_say_it_shorter() -> None:
    assert explain("SPFM").startswith("metric asil.spfm [1]")
    assert explain("PMHF").startswith("metric asil.pmhf_fit [FIT]")
    assert explain("lfm").startswith("metric asil.lfm")


def test_the_area_of_hardened_is_that_of_its_flip_flops() -> None:
    assert "costs 2 x the area of its flip-flops, 1.2 x energy" in explain("hardened")
    assert "costs 1.125 x area" in explain("secded")
    assert "2 x the area of its flip-flops, then 1.05 x" in explain("hardened+self_test")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("latency.cycle", "latency.cycles"), ("secdad", "secded"), ("zzzzzz", "a metric"), ("", "a")],
)
def test_unknown_names_get_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        explain(name)
    assert hint in caught.value.mistakes[0].hint


def test_every_config_key_is_described() -> None:
    for key, (info, _) in config_keys().items():
        assert info.description, key


def test_codes_in_the_sources_are_listed() -> None:
    """The table of codes and the code agree."""
    import re

    sources = [f for p in ("accelsim", "ilp", "faults") for f in (ROOT / p).rglob("*.py")]
    sources = [file for file in sources if file.name != "error_codes.py"]
    used = {c for f in sources for c in re.findall(r'"([A-Z]\d{3})"', f.read_text("utf-8"))}
    assert used == set(ERROR_CODES)


def test_json_schema_describes_the_files() -> None:
    schema = json_schema()
    run = schema["$defs"]["RunPart"]["properties"]
    assert run["schema"] == {"const": "accelsim/run/v1", "title": "Schema"}
    assert run["accelerator"]["anyOf"][0]["type"] == "string"
    array = schema["$defs"]["ArrayPart"]["properties"]
    assert array["rows"]["unit"] == "PEs"
    one, several = array["dataflow"]["anyOf"]
    assert one["enum"] == several["items"]["enum"] == ["ws", "os", "is", "rs", "dot"]
    assert schema["$defs"]["ArrayPart"]["additionalProperties"] is False
    assert len(schema["oneOf"]) == 4


def test_init_writes_a_study_that_loads(tmp_path: Path) -> None:
    folder = tmp_path / "my study"
    written = write_init(folder)
    assert sorted(path.name for path in written) == sorted(
        ["run.yaml", "accelerator.yaml", "safety.yaml", "network.onnx", "images.npz"]
    )
    study = load_study(folder / "run.yaml")
    assert study.name == "my-study"
    assert list(study.variants) == ["wide_array", "unprotected"]
    assert all(name in render_init(folder) for name in ("run.yaml", "accelerator.yaml"))


def test_init_is_deterministic_and_never_overwrites(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "x", tmp_path / "b" / "x"
    pairs = zip(write_init(first), write_init(second), strict=True)
    assert all(one.read_bytes() == two.read_bytes() for one, two in pairs)
    (first / "run.yaml").unlink()
    with pytest.raises(AccelsimError) as caught:
        write_init(first)
    assert len(caught.value.mistakes) == 4
    assert not (first / "run.yaml").exists()
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(AccelsimError):
        write_init(blocked)


def test_the_init_network_is_a_real_int8_network() -> None:
    import onnx
    import onnxruntime

    from accelsim.config.init_network import images_npz, network_onnx

    model = onnx.load_from_string(network_onnx())
    assert (model.ir_version, model.opset_import[0].version) == (10, 17)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Conv") == 3
    assert kinds.count("QuantizeLinear") == 7
    data = np.load(io.BytesIO(images_npz()), allow_pickle=False)
    images, labels = data["images"], data["labels"]
    assert images.shape == (96, 3, 16, 16)
    assert images.dtype == np.uint8
    assert np.bincount(labels, minlength=4).min() >= 10, "every class occurs"
    session = onnxruntime.InferenceSession(network_onnx(), providers=["CPUExecutionProvider"])
    values = ((images / np.float32(255) - np.float32(0.5)) / np.float32(0.25)).astype(np.float32)
    single = [session.run(None, {"image": v[None]})[0].argmax() for v in values]
    assert single == labels.tolist()


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "runs").glob("*.yaml")), ids=str)
def test_shipped_runs_load(file: Path) -> None:
    if not (ROOT / "configs" / "models" / "resnet20_cifar10_int8.onnx").exists():
        pytest.skip("the shipped networks are not built")
    study = load_study(file)
    assert study.targets
    assert read_file(str(file)).entries["schema"].node.value == "accelsim/run/v1"
