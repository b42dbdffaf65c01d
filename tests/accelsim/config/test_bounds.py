"""Includes, dotted keys and sizes end in one clear mistake however far a config goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accelsim.config import include
from accelsim.config.fields import Bytes
from accelsim.config.load import load_study
from accelsim.config.merge import MAX_KEYS
from accelsim.config.schema import LARGEST_PIXEL
from accelsim.errors import AccelsimError, Mistake
from faults import data
from ilp import validate

Write = Callable[..., Path]


def mistakes_of(path: Path, **overrides: Any) -> tuple[Mistake, ...]:
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    with pytest.raises(AccelsimError) as caught:
        load_study(path, named)
    assert caught.value.exit_code == 2
    return caught.value.mistakes


def codes_of(path: Path, **overrides: Any) -> list[str]:
    return [m.code for m in mistakes_of(path, **overrides)]


def test_files_that_include_two_files_each(study: Write) -> None:
    """2^23 reads if every level were followed: an accelerator has no accelerator."""
    path = study()
    for level in range(23):
        below = f"accelerator: a{level + 1}.yaml\nsafety: a{level + 1}.yaml\n"
        text = f"schema: accelsim/accelerator/v1\n{below}"
        (path.parent / f"a{level}.yaml").write_text(text)
    before = time.process_time()
    found = mistakes_of(path, accelerator="a0.yaml")
    assert time.process_time() - before < 5
    assert {m.code for m in found} == {"C001", "C002"}
    assert "unknown key 'accelerator'" in {m.message for m in found}


def test_runs_that_include_two_runs_each(study: Write) -> None:
    path = study()
    for level in range(23):
        below = f"accelerator: r{level + 1}.yaml\nsafety: r{level + 1}.yaml\n"
        (path.parent / f"r{level}.yaml").write_text(f"schema: accelsim/run/v1\n{below}")
    (path.parent / "r23.yaml").write_text("schema: accelsim/run/v1\n")
    assert codes_of(path, accelerator="r0.yaml") == ["C015"]


def chain(path: Path, length: int) -> Path:
    """A run config that extends one that extends ... the valid study."""
    below = path.name
    for level in range(length):
        name = f"e{level}.yaml"
        (path.parent / name).write_text(f"schema: accelsim/run/v1\nextends: {below}\n")
        below = name
    return path.parent / below


def test_a_chain_of_files_has_an_end(study: Write) -> None:
    path = study()
    assert load_study(chain(path, include.MAX_CHAIN - 2)).base.accelerator is not None
    for length in (include.MAX_CHAIN, 600):
        [mistake] = mistakes_of(chain(path, length))
        assert mistake.code == "C012"
        assert "chain of more than 20 files" in mistake.message
        assert mistake.location is not None
        assert mistake.location.line == 2


def test_too_many_files(study: Write) -> None:
    path = study()
    machine = (path.parent / "npu.yaml").read_text()
    lines = []
    for number in range(include.MAX_FILES + 20):
        (path.parent / f"m{number}.yaml").write_text(machine)
        lines.append(f"  v{number}: {{accelerator: m{number}.yaml}}\n")
    path.write_text(path.read_text().replace("  os:\n", "".join(lines) + "  os:\n"))
    [mistake] = [m for m in mistakes_of(path) if m.code == "C012"]
    assert "more than 100 files" in mistake.message
    # The same file many times is one file.
    text = path.read_text()
    for number in range(include.MAX_FILES + 20):
        text = text.replace(f"accelerator: m{number}.yaml", "accelerator: m0.yaml")
    path.write_text(text)
    assert len(load_study(path).variants) == include.MAX_FILES + 22


def test_a_file_that_is_missing_is_reported_wherever_it_is_named(study: Write) -> None:
    path = study()
    missing = "  v: {accelerator: no.yaml}\n  w: {accelerator: no.yaml}\n"
    path.write_text(path.read_text().replace("  os:\n", missing + "  os:\n"))
    found = mistakes_of(path)
    assert [m.code for m in found] == ["C007", "C007"]
    assert len({str(m.location) for m in found}) == 2


@pytest.mark.parametrize(
    "old",
    [
        "accelerator: npu.yaml", "safety: rates.yaml", "  model: net.onnx", "  file: images.npz",
        "name: small",
    ],
)  # fmt: skip
def test_a_nul_character_in_a_path(study: Write, old: str) -> None:
    path = study()
    key = "extends" if old.startswith("name") else old.partition(":")[0]
    path.write_text(path.read_text().replace(old, f'{key}: "a\\0b"', 1))
    found = [m for m in mistakes_of(path) if m.code == "C007"]
    assert len(found) == 1
    assert found[0].location is not None
    assert found[0].location.line is not None
    assert "C007" in codes_of(path, accelerator='"x\\0y"')
    assert "C007" in codes_of(path, accelerator=Path("x\0y"))


def test_a_path_that_is_too_long(study: Write) -> None:
    assert codes_of(study(), accelerator="a" * 5000) == ["C007"]


@pytest.mark.parametrize("length", [MAX_KEYS + 1, 3000])
def test_a_dotted_key_has_an_end(study: Write, length: int) -> None:
    key = ".".join("a" * length)
    [mistake] = mistakes_of(study(), **{key: "1"})
    assert mistake.code == "C012"
    assert len(str(mistake)) < 300
    if length > 300:
        return  # more than a key of YAML may have
    path = study()
    path.write_text(path.read_text().replace("  os:\n", f"  long: {{{key}: 1}}\n  os:\n"))
    assert codes_of(path) == ["C012"]


@pytest.mark.parametrize(
    "given",
    [
        {"faults": "null", "faults__count": "8"},
        {"faults__count": "8", "faults": "null"},
        {"faults": "3", "faults__count": "8"},
        {"faults": "{count: 3}", "faults__count": "8"},
        {"accelerator__array": "{rows: 8}", "accelerator__array__rows": "null"},
        {"accelerator": "{array: {rows: 8}}", "accelerator__array": "null"},
    ],
)
def test_overrides_that_exclude_each_other(study: Write, given: dict[str, str]) -> None:
    [mistake] = mistakes_of(study(), **given)
    assert mistake.code == "C011"
    assert "given" in mistake.message
    assert "--set" in mistake.hint


def test_overrides_that_fill_each_other_stand_together(study: Write) -> None:
    given = {"accelerator": "npu.yaml", "accelerator.array.rows": "4", "faults": "{}"}
    found = load_study(study(), {**given, "faults.count": "9"}).base
    assert found.accelerator is not None
    assert found.faults is not None
    assert (found.accelerator.array.rows, found.faults.count) == (4, 9)


@pytest.mark.parametrize("value", ["[]", "3", "text"])
def test_variants_that_are_no_mapping(study: Write, value: str) -> None:
    [mistake] = mistakes_of(study(), variants=value)
    assert (mistake.code, str(mistake.location)) == ("C003", "--set variants")
    assert "variants must be a mapping" in mistake.message


def test_a_value_under_one_that_is_no_mapping_is_not_lost(study: Write) -> None:
    path = study()
    text = path.read_text()
    start, end = text.index("faults:\n"), text.index("safety:")
    path.write_text(text[:start] + "faults: 3\n" + text[end:])
    [mistake] = mistakes_of(path, faults__count="8")
    assert (mistake.code, str(mistake.location)) == ("C003", "--set faults.count")
    assert "'faults': it is '3', not a mapping" in mistake.message
    assert f"{path}:" in mistake.hint
    assert set(codes_of(study(), faults__count__much="8")) == {"C003"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mean: [0.5, 0.5, 0.5]", "mean: [1.0e+38]"),
        ("std: [0.25, 0.25, 0.25]", "std: [1.0e+308]"),
        ("std: [0.25, 0.25, 0.25]", "std: [1.0, 1.0e-45, 1.0]"),
        ("divide_by: 255", "divide_by: 1.0e-45"),
    ],
)
def test_constants_that_float32_cannot_use(study: Write, old: str, new: str) -> None:
    path = study()
    path.write_text(path.read_text().replace(old, new))
    [mistake] = mistakes_of(path)
    assert mistake.code == "C004"
    assert f"data.{new.partition(':')[0]}: must be between" in mistake.message
    assert mistake.location is not None
    assert mistake.location.file == str(path)


def test_bounds_of_the_schema_are_those_of_the_parts() -> None:
    """The config cannot import them, so a test holds them together."""
    largest = [
        getattr(m, "le", None) for f in Bytes.__metadata__ for m in getattr(f, "metadata", ())
    ]
    assert validate.MAX_BYTES in largest
    assert (data.LARGEST, data.SMALLEST) == (LARGEST_PIXEL, 1 / LARGEST_PIXEL)


def test_a_scratchpad_beyond_what_can_be_scheduled(study: Write) -> None:
    [mistake] = mistakes_of(study(), accelerator__scratchpad__size="1024 TiB")
    assert mistake.code == "C004"
    assert load_study(study(), {"accelerator.scratchpad.size": "16 TiB"}).base.accelerator
    for quantity in ("1e300", "1e299 B", "1e4000 B"):
        [mistake] = mistakes_of(study(), accelerator__scratchpad__size=f"'{quantity}'")
        assert mistake.code in ("C004", "C006")
        assert str(mistake.location) == "--set accelerator.scratchpad.size"
