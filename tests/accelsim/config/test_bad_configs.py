"""Every bad input by name: a code, a position, our words, all at once, never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.config.load import load_study
from accelsim.config.yamlpos import parse
from accelsim.errors import AccelsimError, Location, Mistake

Write = Callable[..., Path]


def mistakes_of(path: Path, *args: Any, **kwargs: Any) -> tuple[Mistake, ...]:
    with pytest.raises(AccelsimError) as caught:
        load_study(path, *args, **kwargs)
    return caught.value.mistakes


def edited(study: Write, old: str, new: str, file: str = "run.yaml") -> Path:
    """The valid study with one place edited."""
    path = study()
    target = path.parent / file
    text = target.read_text()
    assert old in text
    target.write_text(text.replace(old, new, 1))
    return path


EDITS = [
    # old, new, file, code, line, part of the message, part of the hint
    ("batch: 1", "btach: 1", "run", "C001", 5, "unknown key 'btach'", "'batch'"),
    ("accelerator: npu.yaml", "acelerator: npu.yaml", "run", "C001", 6, "'acelerator'",
     "'accelerator'"),
    ("  model: net.onnx\n", "", "run", "C002", 3, "'model' is missing in workload", "ONNX"),
    ("batch: 1", "batch: one", "run", "C003", 5, "must be a whole number, not text 'one'", "images"),
    ("batch: 1", "batch: 1.5", "run", "C003", 5, "must be a whole number", ""),
    ("batch: 1", "batch: 0", "run", "C004", 5, "at least 1, is 0", ""),
    ("batch: 1", "batch: true", "run", "C003", 5, "whole number, not true", ""),
    ("batch: 1", "unsupported: no", "run", "C005", 5, "unknown treatment 'no'", "refuse"),
    ("net.onnx", "nett.onnx", "run", "C007", 4, "'nett.onnx' does not exist", "looked for"),
    ("images.npz", ".", "run", "C007", 13, "is a directory", ""),
    ("objective: latency", "objective: latencey", "run", "C005", 8, "'latencey'", "'latency'"),
    ("effort: 5", "effort: .nan", "run", "C004", 12, "effort", ""),
    ("effort: 5", "effort: -1", "run", "C004", 12, "greater than 0", ""),
    ("mean: [0.5, 0.5, 0.5]", "mean: 0.5", "run", "C003", 15, "a list", ""),
    ("mean: [0.5, 0.5, 0.5]", "mean: [0.5, 0.5]", "run", "C009", 16, "mean has 2", ""),
    ("std: [0.25, 0.25, 0.25]", "std: [0.25, 0, 0.25]", "run", "C004", 16, "greater than 0", ""),
    ("mode: exposure", "mode: rate", "run", "C002", 18, "needs rates", "rates:"),
    ("mode: exposure", "mode: sampling", "run", "C005", 18, "unknown mode", ""),
    ("mode: exposure", "mode: exposure\n  clip: zero", "run", "C009", 19, "mode exposure", ""),
    ("mode: exposure", "mode: rate\n  rates: [1e-5, 1e-5]", "run", "C009", 19, "twice", ""),
    ("mode: exposure", "mode: rate\n  rates: [2]", "run", "C004", 19, "less than 1", ""),
    ("seed: 7", "seed: -7", "run", "C004", 21, "at least 0", ""),
    ("name: small", "name: ../up", "run", "C004", 2, "cannot be a name", "folder"),
    ("name: small", "simulate: false", "run", "C009", 18, "simulate is false", ""),
    ("  os:\n", "  base:\n", "run", "C013", 24, "cannot be called 'base'", ""),
    ("  os:\n", "  a/b:\n", "run", "C013", 24, "cannot be called", ""),
    ("dataflow: os", "dataflow: os, overlap: preload", "run", "C009", 26,
     "dataflow 'os' has no overlap 'preload' (in variant 'os')", "none, full, column"),
    ("accelerator.array.rows", "accelerator.array.rowz", "run", "C001", 28, "'rowz'", "'rows'"),
    ("accelerator.array.rows", "acc.array.rows", "run", "C001", 28, "unknown key 'acc'", ""),
    ("accelerator.array.cols", "accelerator.array.cols: 32\n    accelerator: {array: {cols: 1}}\n"
     "    accelerator.array.skip_idle", "run", "C011", 29, "'accelerator.array.cols' is given twice",
     ""),
    ("    accelerator.array.cols: 64", "    targets: []", "run", "C013", 29, "'targets'", ""),
    ("latency.seconds", "latency.secs", "run", "C005", 31, "'latency.secs'", "latency.seconds"),
    ("latency.seconds", "bound.resource", "run", "C005", 31, "not a number", ""),
    ("latency.seconds", "sdc.p@much", "run", "C005", 31, "not a fault rate", ""),
    ("latency.seconds\n", "sdc.p@1e-05\n", "run", "C014", 31, "no fault rate 1e-05", ""),
    ("at_most: 20 ms", "at_most: 20 MiB", "run", "C006", 32, "is a size, not a time", "20 ms"),
    ("at_most: 20 ms", "at_most: 20 ms\n    between: [1, 2]", "run", "C009", 31,
     "at_most and between", "exactly one"),
    ("    at_most: 20 ms\n", "", "run", "C009", 31, "none of them", ""),
    ("at_most: 20 ms", "between: [2, 1]", "run", "C009", 32, "contains nothing", ""),
    ("at_most: 20 ms", "between: [2]", "run", "C004", 32, "1 items", ""),
    ("latency.seconds\n    at_most: 20 ms", "sdc.p\n    at_least: 90", "run", "C004", 32,
     "is at most 1", "0.9"),
    ("variant: big", "variant: bigg", "run", "C013", 34, "unknown variant 'bigg'", "'big'"),
    ("relative_to: base", "relative_to: bse", "run", "C013", 35, "'bse'", "'base'"),
    ("relative_to: base", "relative_to: big", "run", "C009", 35, "compared with itself", ""),
    ("relative_to: base", "relative_to: x/metrics.json", "run", "C007", 35, "does not exist", ""),
    ("    budget_share: 0.1\n", "", "run", "C002", 37, "'budget_share' is missing", "0.1"),
    ("budget_share: 0.1", "budget_share: 1.5", "run", "C004", 38, "at most 1", ""),
    ("asil: B", "asil: A", "run", "C005", 37, "unknown ASIL 'A'", "B, C or D"),
    ("asil: B", "metric: latency.cycles\n    asil: B", "run", "C009", 37, "either", ""),
    ("asil: B", "metric: sram.peak_bytes\n    at_most: 1", "run", "C009", 37, "budget_share", ""),
    ("targets:\n", "targets: &t\n  - latency\n", "run", "C003", 31, "must be a mapping", ""),
    ("safety: rates.yaml", "safety: rats.yaml", "run", "C007", 22, "cannot read", ""),
    ("safety: rates.yaml\n", "", "run", "C014", 36, "needs safety", ""),
    ("accelerator: npu.yaml", "accelerator: run.yaml", "run", "C008", 6, "run.yaml -> ", ""),
    ("accelerator: npu.yaml", "accelerator: rates.yaml", "run", "C015", None, "a safety file", ""),
    ("accelerator: npu.yaml\n", "", "run", "C002", 1, "'accelerator' is missing", "simulate"),
    ("schema: accelsim/run/v1\n", "", "run", "C015", 1, "'schema' is missing", "run/v1"),
    ("accelsim/run/v1", "accelsim/run/v2", "run", "C015", 1, "unknown schema", "run/v1"),
    ("accelerator: npu.yaml", "accelerator: 3", "run", "C003", 6, "must be a mapping", ""),
    ("clock: 500 MHz", "clock: 500 MB", "npu", "C006", 3, "is a size, not a frequency", "MHz"),
    ("technology: 45 nm", "technology: 28 nm", "npu", "C009", 4, "is for 45 nm", "45 nm"),
    ("rows: 16", "rows: 16 PEs", "npu", "C003", 5, "whole number", ""),
    ("overlap: full", "overlap: fulll", "npu", "C005", 5, "'fulll'", "'full'"),
    ("softmax: 4", "softmx: 4", "npu", "C005", 6, "'softmx'", "'softmax'"),
    ("size: 128 KiB", "size: 128 KB", "npu", "C006", 7, "unknown unit 'KB'", "ambiguous"),
    ("alignment: 16", "alignment: 24", "npu", "C004", 7, "power of two", ""),
    ("kind: LPDDR4", "kind: LPDDR44", "npu", "C005", 9, "'LPDDR44'", "'LPDDR4'"),
    ("table: horowitz_45nm", "table: horowitz", "npu", "C005", 11, "energy table", "horowitz_45nm"),
    ("scratchpad: secded", "scratchpad: secdec", "npu", "C005", 13, "'secdec'", "'secded'"),
    ("scratchpad: secded", "array: parity", "npu", "C009", 13, "does not apply to array", "dmr"),
    ("scratchpad: secded", "scratchpad: secded+secded", "npu", "C009", 13, "secded+secded", ""),
    ("unit: FIT/Mbit", "unit: FIT", "rates", "C006", 2, "must be 'FIT/Mbit'", ""),
    ("value: 0.5", "value: 1.5", "rates", "C004", 7, "at most 1", ""),
    ("mark: E", "mark: X", "rates", "C005", 2, "unknown mark 'X'", ""),
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=[f"{e[3]}-{e[5][:30]}" for e in EDITS])
def test_one_mistake(study: Write, edit: tuple[str, str, str, str, int | None, str, str]) -> None:
    old, new, file, code, line, message, hint = edit
    found = mistakes_of(edited(study, old, new, f"{file}.yaml"))
    fitting = [m for m in found if m.code == code and message in m.message]
    assert fitting, [str(m) for m in found]
    mistake = fitting[0]
    assert hint in mistake.hint
    assert mistake.location is not None
    if line is not None:
        assert mistake.location.file.endswith(f"{file}.yaml")
        assert mistake.location.line == line
    assert len(found) <= 3, "one mistake must not cause a flood"


def test_all_mistakes_at_once_in_order(study: Write) -> None:
    path = edited(study, "batch: 1", "batch: one\n  bogus: 1")
    path.write_text(
        path.read_text()
        .replace("effort: 5", "effort: never")
        .replace("latency.seconds", "latency.second")
        .replace("net.onnx", "gone.onnx")
        .replace("variant: big", "variant: huge")
    )
    npu = path.parent / "npu.yaml"
    npu.write_text(npu.read_text().replace("500 MHz", "500 MB").replace("secded", "secdad"))
    found = mistakes_of(path)
    assert [m.code for m in found] == [
        "C007", "C003", "C001", "C003", "C005", "C013", "C006", "C005", "C005",
    ]  # fmt: skip
    places = [(m.location.file, m.location.line) for m in found if m.location]
    assert places == sorted(places, key=lambda p: (p[0].endswith("npu.yaml"), p[1]))


def test_the_base_mistake_is_not_repeated_by_every_variant(study: Write) -> None:
    found = mistakes_of(edited(study, "effort: 5", "effort: 0"))
    assert len(found) == 1


def test_self_include_in_a_circle(study: Write) -> None:
    path = edited(study, "name: small", "extends: a.yaml")
    (path.parent / "a.yaml").write_text("schema: accelsim/run/v1\nextends: b.yaml\n")
    (path.parent / "b.yaml").write_text("schema: accelsim/run/v1\nextends: run.yaml\n")
    circle = next(m for m in mistakes_of(path) if m.code == "C008")
    assert circle.message.count("->") == 3
    assert circle.location is not None
    assert circle.location.file.endswith("b.yaml")


def test_an_include_that_is_missing_names_the_place(study: Write) -> None:
    [mistake] = mistakes_of(edited(study, "npu.yaml", "gone/npu.yaml"))
    assert mistake.code == "C007"
    assert str(mistake.location).endswith("run.yaml:6:14")
    assert "counts from the file that names it" in mistake.hint


def test_alias_bomb_and_syntax_stop_early(study: Write) -> None:
    levels = "".join(f"k{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))
    [mistake] = mistakes_of(study(run__yaml="k0: &a0 [x]\n" + levels))
    assert mistake.code == "C012"
    [mistake] = mistakes_of(study(run__yaml="a: [\n"))
    assert mistake.code == "C010"
    [mistake] = mistakes_of(study(npu__yaml="a: 'x\n"))
    assert mistake.location is not None
    assert mistake.location.file.endswith("npu.yaml")
    for text in ("", "[]\n", "just text\n"):
        assert mistakes_of(study(run__yaml=text))[0].code == "C003"


SETS = [
    ("accelerator.array.rowz", "64", "C001", "'rowz'"),
    ("accelerator.array.rows", "many", "C003", "whole number"),
    ("accelerator.array.rows", "[1", "C010", "not valid YAML"),
    ("accelerator.array.rows", object(), "C003", "type object"),
    ("accelerator..rows", "1", "C001", "not a dotted key"),
    ("accelerator", "gone.yaml", "C007", "cannot read"),
    ("workload.model", "gone.onnx", "C007", "does not exist"),
    ("schema", "x", "C001", "cannot be overridden"),
    ("extends", "x.yaml", "C001", "cannot be overridden"),
    ("variants.nope.faults.count", "3", "C013", "unknown variant 'nope'"),
    ("variants.big.faults.count", "x", "C003", "in variant 'big'"),
    ("safety.sram_soft.value", "-1", "C004", "at least 0"),
]


@pytest.mark.parametrize(("key", "value", "code", "part"), SETS)
def test_bad_overrides(study: Write, key: str, value: object, code: str, part: str) -> None:
    found = mistakes_of(study(), {key: value})
    assert len(found) == 1
    assert found[0].code == code
    assert part in found[0].message
    assert str(found[0].location) == f"--set {key}"


def test_a_negative_seed(study: Write) -> None:
    [mistake] = mistakes_of(study(), seed=-1)
    assert str(mistake.location) == "--seed"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all keys of nested mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(item, dict | list):
            yield from _paths(item, (*path, key))


def _broken(value: Any, path: tuple[Any, ...], how: str, junk: Any) -> Any:
    """A copy with the key at ``path`` renamed, or its value replaced."""
    key, *rest = path
    if isinstance(value, list):
        return [_broken(v, tuple(rest), how, junk) if i == key else v for i, v in enumerate(value)]
    if rest:
        return {k: _broken(v, tuple(rest), how, junk) if k == key else v for k, v in value.items()}
    if how == "rename":
        return {f"{k}_x" if k == key else k: v for k, v in value.items()}
    return {k: junk if k == key else v for k, v in value.items()}


FREE_TEXT = {"name", "description", "source"}


@given(data=st.data())
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_broken_key_is_an_error_with_a_position(study: Write, data: st.DataObject) -> None:
    """Rename any key, or put nonsense in its place: an AccelsimError that says where."""
    import json

    path = study()
    file = data.draw(st.sampled_from(["run.yaml", "npu.yaml", "rates.yaml"]))
    text = (path.parent / file).read_text()
    tree = parse(text, Location(file), ".").plain
    how = data.draw(st.sampled_from(["rename", "replace"]))
    keys = [key for key in _paths(tree) if key[-1] not in FREE_TEXT or how == "rename"]
    if how == "rename":  # a variant may have any name
        keys = [key for key in keys if key not in (("variants", "os"), ("variants", "big"))]
    where = data.draw(st.sampled_from(keys))
    junk = data.draw(st.sampled_from([[[]], "\u2603 nonsense", {"a": {"b": 1}}, -1e300, [None]]))
    broken = _broken(tree, where, how, junk)
    (path.parent / file).write_text(json.dumps(broken, indent=1), encoding="utf-8")
    for mistake in mistakes_of(path):
        assert mistake.code
        assert mistake.location is not None
        assert mistake.location.line is not None
