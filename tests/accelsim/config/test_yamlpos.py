"""YAML with positions: core-schema scalars, and refusals that say where."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.config.yamlpos import MAX_NODES, Node, parse, read_file
from accelsim.errors import AccelsimError, Location, Mistake


def load(text: str) -> Node:
    return parse(text, Location("f.yaml"), ".")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("true", True), ("False", False),
        ("1e-6", 1e-6), ("1e6", 1e6), ("1.5E+3", 1500.0), (".5", 0.5), ("3.", 3.0),
        ("0777", 777), ("0o17", 15), ("0x1F", 31), ("-12", -12), ("+3", 3),
        ("12:30", "12:30"), ("1_000", "1_000"), ("2024-01-02", "2024-01-02"),
        ("~", None), ("null", None), ("", None), ("'1'", "1"), ('"no"', "no"),
        (".inf", math.inf), ("-.inf", -math.inf), ("{}", {}), ("[]", []), ("|\n  a\n", "a\n"),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    node = load(text)
    assert node.plain == value
    assert type(node.plain) is type(value)


def test_positions_count_from_one() -> None:
    root = load("a: 1\nb:\n  - x\n  - {c: 2}\n")
    assert str(root.entries["b"].key) == "f.yaml:2:1"
    items = root.entries["b"].node.value
    assert isinstance(items, tuple)
    assert str(items[1].entries["c"].node.location) == "f.yaml:4:9"


def test_keys_are_text() -> None:
    assert load("64: a\nno: b\n").plain == {"64": "a", "no": "b"}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
)
TALL = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(60))


@pytest.mark.parametrize(
    ("text", "code", "line", "part"),
    [
        ("a: 1\n\tb: 2\n", "C010", 2, "tab"),
        ("a: [1,\n", "C010", 2, "not valid YAML"),
        ("a: b: c\n", "C010", 1, "mapping values"),
        ("a: 1\nb: 2\na: 3\n", "C011", 3, "'a' twice"),
        ("a: {x: 1, x: 2}\n", "C011", 1, "'x' twice"),
        ("a: *x\n", "C010", 1, "alias '*x'"),
        ("a: &x [*x]\n", "C010", 1, "alias '*x'"),
        ("a: 1\n---\nb: 2\n", "C010", 2, "second YAML document"),
        ("a: !!python/object:os.system x\n", "C010", 1, "tag"),
        ("? [a, b]\n: 1\n", "C010", 1, "not plain text"),
        ("b: &b {x: 1}\na:\n  <<: *b\n", "C010", 3, "merge key"),
        (BOMB, "C012", None, "aliases"),
        (TALL, "C012", None, "nested"),
        ("[" * 200 + "]" * 200, "C012", 1, "nested"),
        ("- x\n" * (MAX_NODES + 1), "C012", None, "values"),
        ("a: 'x", "C010", 1, "not valid YAML"),
        ("a: \x00", "C010", None, "not valid YAML"),
        ('a: "\\UFFFFFFFF"', "C010", None, "out of range"),
        ('a: "\\uD800"', "C010", 1, "surrogate"),
        ("a: " + "9" * 5000, "C010", 1, "40 digits"),
        ("%YAML 9.9\n---\na: 1\n", "C010", None, "not valid YAML"),
    ],
)  # fmt: skip
def test_refusals(text: str, code: str, line: int | None, part: str) -> None:
    with pytest.raises(AccelsimError) as caught:
        load(text)
    mistake = caught.value.mistakes[0]
    assert mistake.code == code
    assert part in mistake.message
    assert mistake.location is not None
    assert mistake.location.file == "f.yaml"
    if line is not None:
        assert mistake.location.line == line


def test_all_duplicate_keys_at_once() -> None:
    with pytest.raises(AccelsimError) as caught:
        load("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert len(caught.value.mistakes) == 2


def test_files(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_bytes(b"# " + b"x" * (1 << 20))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: 1\nb: \xff\xfe\n")
    for path, code in (
        (big, "C012"),
        (binary, "C010"),
        (tmp_path, "C007"),
        (tmp_path / "no", "C007"),
    ):
        with pytest.raises(AccelsimError) as caught:
            read_file(str(path))
        assert caught.value.mistakes[0].code == code
    bom = tmp_path / "bom.yaml"
    bom.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_file(str(bom)).plain == {"a": 1}


def test_aliases_are_fine_in_moderation() -> None:
    assert load("a: &x [1, 2]\nb: *x\n").plain == {"a": [1, 2], "b": [1, 2]}


_CHARS = "ab1.: -[]{},&*!?|>'\"%@#\n\t~e\\x0"


@given(st.text(alphabet=_CHARS, max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    mistakes: tuple[Mistake, ...] = ()
    try:
        load(text)
    except AccelsimError as error:
        mistakes = error.mistakes
    assert all(m.location and m.location.file == "f.yaml" for m in mistakes)


_VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=12),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abcXYZ09", min_size=1, max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(_VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    """YAML 1.2 contains JSON: what the json module writes reads back equal."""
    import json

    assert load(json.dumps(value)).plain == json.loads(json.dumps(value))
