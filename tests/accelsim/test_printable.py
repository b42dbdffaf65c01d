"""Names that would steer a terminal are shown, not obeyed: texts, records, errors."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.cli import guarded
from accelsim.errors import AccelsimError, Infeasibility, InfeasibleError, Location, Mistake
from accelsim.metrics import Metric
from accelsim.printable import printable, printable_lines, printable_tree
from accelsim.verdict import Outcome

ACTIVE = ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv1/weight", "conv1/weight"),
        ("größe 大 µ", "größe 大 µ"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\tc\x7f", "a\\r\\nb\\tc\\x7f"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800\u200b\u2028", "\\ud800\\u200b\\u2028"),
    ],
)
def test_known_texts(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text() | st.text(st.characters(categories=ACTIVE)))
def test_nothing_active_is_left_and_the_rest_stays(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) in ACTIVE]
    assert printable(shown) == shown
    shown.encode("utf-8")
    kept = "".join(c for c in text if unicodedata.category(c) not in ACTIVE)
    rest = iter(shown)
    assert all(c in rest for c in kept), "in order, none is lost"
    assert printable("a\nb", keep="\n") == "a\nb"


@given(st.text(max_size=20))
def test_a_line_feed_cannot_forge_a_message(name: str) -> None:
    lines = printable_lines(f"C001 unknown key {name}\n    hint: none").split("\n")
    assert lines[0].startswith("C001")
    assert all(line.startswith("    ") for line in lines[1:])


def test_trees_keep_their_shape() -> None:
    evil = {"a\x1b": ["b\x07", ("c\u202e", 1, None, True)], "m": Metric("d\n", "1", "sim")}
    assert printable_tree(evil) == {
        "a\\x1b": ["b\\x07", ("c\\u202e", 1, None, True)],
        "m": Metric("d\\n", "1", "sim"),
    }
    assert printable_tree(Outcome.PASS) is Outcome.PASS


def fail(error: BaseException) -> None:
    raise error


EVIL = "\x1b]0;x\x07\u202e\naccelsim: 0 mistakes"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AccelsimError(Mistake("C001", f"unknown key {EVIL}", EVIL, Location(EVIL, 1))), 2),
        (InfeasibleError(Infeasibility(EVIL, 2, 1, "B", ((EVIL, 2),), (EVIL,))), 3),
        (RuntimeError(EVIL), 4),
    ],
)
def test_errors_on_the_terminal(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(lambda: fail(error)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert not [c for c in err if c != "\n" and unicodedata.category(c) in ACTIVE]
    assert "\\x1b]0;x" in err
    if code != 4:
        plain = [line for line in err.splitlines() if not line.startswith("    ")]
        assert len(plain) == 2, "one mistake, one count"


def test_a_path_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from accelsim.cli import app

    folder = tmp_path / "a\x1b[31m\u202e"
    with pytest.raises(SystemExit):
        app(["init", str(folder)])
    out = capsys.readouterr().out
    assert "wrote" in out
    assert not [c for c in out if c != "\n" and unicodedata.category(c) in ACTIVE]
