"""Transformer descriptions in YAML."""

import pytest

from accelsim.errors import AccelsimError
from accelsim.workload.transformer import preset, transformer
from accelsim.workload.transformer_yaml import read_transformer

HEAD = "schema: accelsim/transformer/v1\n"


def write(folder, text):
    path = folder / "net.yaml"
    path.write_text(text)
    return path


def refused(folder, text):
    with pytest.raises(AccelsimError) as caught:
        read_transformer(write(folder, text))
    return [(m.code, m.location.line, m.message) for m in caught.value.mistakes]


def test_a_preset(tmp_path):
    path = write(tmp_path, HEAD + "preset: gpt2\ntokens: 64\n")
    assert repr(read_transformer(path)) == repr(preset("gpt2", 64))
    assert read_transformer(path, batch=3).macs == preset("gpt2", 64, batch=3).macs


def test_a_preset_with_another_size(tmp_path):
    path = write(tmp_path, HEAD + "preset: llama2_7b\nlayers: 2\nvocab: 0\nname: short\n")
    workload = read_transformer(path)
    expected = transformer("short", 2, 4096, 32, 32, 11008, 512)
    assert repr(workload) == repr(expected)


def test_dimensions(tmp_path):
    text = "layers: 2\nd_model: 64\nheads: 4\nd_ff: 128\ntokens: 16\ngated: false\n"
    workload = read_transformer(write(tmp_path, HEAD + text))
    assert repr(workload) == repr(transformer("net", 2, 64, 4, 4, 128, 16, gated=False))


def test_decode(tmp_path):
    text = "preset: gpt2\nmode: decode\ncontext: 100\ndtype: float16\n"
    workload = read_transformer(write(tmp_path, HEAD + text))
    assert repr(workload) == repr(preset("gpt2", mode="decode", context=100, dtype="float16"))


def test_every_mistake_has_its_place(tmp_path):
    text = "preset: gtp2\ntokens: 0\nmode: train\nlayer: 3\n"
    found = refused(tmp_path, HEAD + text)
    assert [(code, line) for code, line, _ in found] == [
        ("C005", 2), ("C004", 3), ("C005", 4), ("C001", 5),
    ]  # fmt: skip


def test_missing_keys_and_contradictions(tmp_path):
    found = refused(tmp_path, HEAD + "layers: 2\nheads: 4\n")
    assert {code for code, _, _ in found} == {"C002"}
    assert len(found) == 3
    text = "layers: 2\nd_model: 30\nheads: 4\nd_ff: 8\ntokens: 4\n"
    assert [code for code, _, _ in refused(tmp_path, HEAD + text)] == ["W130"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("preset: gpt2\n", "C002"),
        ("schema: accelsim/run/v1\npreset: gpt2\n", "C015"),
        (HEAD + "preset: [gpt2\n", "C010"),
        ("- 1\n", "C002"),
        ("", "C002"),
    ],
)
def test_other_files(tmp_path, text, code):
    assert refused(tmp_path, text)[0][0] == code
