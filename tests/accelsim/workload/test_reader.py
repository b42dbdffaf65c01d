"""One reader for every format, chosen by content, then by name."""

from pathlib import Path

import pytest
from onnx_builders import one, save

from accelsim.errors import AccelsimError
from accelsim.workload.reader import network_kind, read_network

MODELS = Path(__file__).parents[3] / "configs/models"


def refused(path, **kwargs):
    with pytest.raises(AccelsimError) as caught:
        read_network(path, **kwargs)
    return caught.value.mistakes


def test_onnx(tmp_path):
    path = save(one("Relu", [[1, 4]]), tmp_path, "net.bin")
    assert network_kind(path) == "onnx"
    assert len(read_network(path).ops) == 1


def test_tflite_by_its_first_bytes(tmp_path):
    pytest.importorskip("tflite", reason="the extra accelsim[tflite] is not installed")
    path = tmp_path / "renamed.onnx"
    path.write_bytes((MODELS / "resnet8_cifar10_int8.tflite").read_bytes())
    assert read_network(path).macs == 12_501_632


def test_topology():
    assert len(read_network(MODELS / "resnet50_topology.csv").ops) == 54


def test_yaml_by_its_schema(tmp_path):
    path = tmp_path / "net.yml"
    path.write_text("schema: accelsim/layers/v1\ninputs: {x: [1, 4]}\n"
                    "layers: [{name: y, kind: matmul, columns: 3}]\n")  # fmt: skip
    assert read_network(path, batch=5).macs == 60
    path.write_text("schema: accelsim/transformer/v1\npreset: gpt2\ntokens: 8\n")
    assert read_network(path).macs > 10**8
    for text, part in (("a: 1\n", "'schema' is missing"), ("schema: 3\n", "schema is '3'")):
        path.write_text(text)
        (mistake,) = refused(path)
        assert (mistake.code, part in mistake.message) == ("W109", True)
        assert mistake.location.line == 1


@pytest.mark.parametrize("name", ["net.h5", "net.pt", "net"])
def test_files_of_no_known_format(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (mistake,) = refused(path)
    assert mistake.code == "W109"
    assert ".tflite" in mistake.hint


def test_an_onnx_file_that_is_none_keeps_its_own_error(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"nothing")
    assert {m.code for m in refused(path)} == {"W101"}
    assert "no such file" in refused(tmp_path / "missing.onnx")[0].message
    assert "no such file" in refused(tmp_path / "missing.csv")[0].message


def test_options_reach_the_reader():
    assert refused(MODELS / "resnet8_cifar10_int8.tflite", batch=0)[0].code == "W103"


def test_campaigns_take_onnx_networks_only():
    from accelsim.config.types import DataConfig, FaultsConfig
    from accelsim.stages.campaign import check_campaign

    for name in ("resnet8_cifar10_int8.tflite", "resnet50_topology.csv"):
        with pytest.raises(AccelsimError, match="into ONNX networks only") as caught:
            check_campaign(str(MODELS / name), DataConfig("none.npz"), FaultsConfig("exposure"))
        assert caught.value.mistakes[0].code == "F502"
