"""The pages of docs/ are true: their files are read, their commands and Python lines are run, and
what they print is what the page says."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from accelsim.cli import main
from accelsim.config.load import load_accelerator

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted(path for path in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
SAVED = ("yaml", "csv", "ini")
NAME = re.compile(r"`(\w+\.\w+)`")
"""A block that is a file stands behind its name: the last file named in the paragraph before."""


@dataclass(frozen=True)
class Page:
    """The blocks of a page."""

    files: dict[str, str]
    commands: tuple[tuple[str, str], ...]
    """(command, what it prints)."""
    python: str
    """Everything of one page, to be run in one go."""


def page_of(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    files: dict[str, str] = {}
    commands: list[tuple[str, str]] = []
    python: list[str] = []
    for kind, before, block in blocks(text):
        if kind in SAVED:
            names = NAME.findall(before)
            assert names, f"{path.name}: a file without a name behind {before!r}"
            assert names[-1] not in files, f"{path.name}: {names[-1]} twice"
            files[names[-1]] = block
        elif kind == "console":
            commands += [
                (entry.split("\n", 1)[0], entry.split("\n", 1)[1])
                for entry in re.split(r"^\$ ", block, flags=re.M)[1:]
            ]
        else:
            assert kind == "pycon", f"{path.name}: nothing checks a block of kind {kind!r}"
            python.append(block)
    return Page(files, tuple(commands), "\n".join(python))


def blocks(text: str) -> list[tuple[str, str, str]]:
    """(kind, the paragraph before, content) of every fenced block."""
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip().rsplit("\n\n", 1)[-1]
        found.append((match[1], before, match[2]))
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the root of the repository, where examples may write."""
    for name in ("configs", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "example").symlink_to(ROOT / "reports" / "example")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """What a command of a page prints, stdout and stderr; ``> file`` and ``cat`` work as usual."""
    words = shlex.split(command)
    if words[0] == "cat":
        return Path(words[1]).read_text(encoding="utf-8")
    assert words[0] == "accelsim", command
    words, target = (words[:-2], words[-1]) if ">" in words else (words, None)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        main()
    out, err = capsys.readouterr()
    assert bool(stopped.value.code) == ("mistake" in err), f"{command}\n{err}"
    if target is None:
        return out + err
    Path(target).write_text(out, encoding="utf-8")
    return err


def agree(expected: str, found: str) -> bool:
    """``...`` stands for any text, on a line of its own for any lines; blanks at the end of a line
    do not count."""
    parts = [re.escape(part) for part in expected.strip().split("...")]
    found = re.sub(r" +$", "", found.strip(), flags=re.M)
    return re.fullmatch(".*".join(parts), found, re.S) is not None


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_examples_of_a_page_are_true(
    path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = page_of(path)
    for name, text in page.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for command, expected in page.commands:
        found = printed(command, capsys, monkeypatch)
        assert agree(expected or "...", found), f"{command}\n{found}"
    if page.python:
        (folder / "page.txt").write_text(page.python, encoding="utf-8")
        done = subprocess.run(  # a process of its own, as for a reader
            [sys.executable, "-m", "doctest", "page.txt"],
            capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text):
        page = (path.parent / target) if target else path
        assert page.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
            assert anchor in {head.lower().replace(" ", "-") for head in heads}, anchor


def test_a_page_that_lies_is_noticed() -> None:
    assert agree("a\n...\nd\n", "a\nb\nc\nd\n")
    assert not agree("a\n...\nd\n", "a\nb\nc\n")
    assert agree("cost ..., proved", "cost 12, proved")
    assert doctest.DocTestParser().get_examples(page_of(ROOT / "docs" / "model.md").python)


def machine_row(path: Path) -> str:
    """A line of the README's table of shipped machines."""
    machine = load_accelerator(path)
    array, on_chip = machine.array, machine.scratchpad.bytes + machine.accumulators.bytes
    on_chip += machine.weight_sram.bytes if machine.weight_sram else 0
    kind = f"{array.rows} x {array.cols} {'/'.join(array.dataflows)}"
    kind += f", {array.sparsity[0]}:{array.sparsity[1]} sparse" if array.sparsity else ""
    memories = [machine.dram, *([machine.weight_memory] if machine.weight_memory else [])]
    rates = " + ".join(f"{m.kind} {m.bytes_per_second / 1e9:g} GB/s" for m in memories)
    return (
        f"| `{path.stem}` | {kind} | {machine.clock_hz / 1e6:g} MHz, {machine.technology_nm} nm "
        f"| {on_chip / 1024:,g} KiB | {rates} |"
    )


def test_the_readme_lists_the_shipped_machines() -> None:
    rows = [
        machine_row(path) for path in sorted((ROOT / "configs" / "accelerators").glob("*.yaml"))
    ]
    head = ["| file | array | clock, node | on chip | backing memories |", "|---|---|---|---|---|"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- machines: begin.*?-->\n(.*?)<!-- machines: end -->", text, re.S)
    assert found
    wanted = "\n".join([*head, *rows]) + "\n"
    assert found[1] == wanted, f"README.md, Accelerators; right is:\n{wanted}"


def test_every_format_of_a_network_has_an_example() -> None:
    page = page_of(ROOT / "docs" / "inputs.md")
    read = set(re.findall(r'read_network\("([^"]+)"\)', page.python))
    assert {Path(name).suffix for name in read} == {".onnx", ".tflite", ".csv", ".yaml"}
    assert {name for name in page.files if name.endswith(".csv")} <= read
