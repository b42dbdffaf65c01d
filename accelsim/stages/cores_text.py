"""``accelsim explain CONFIG`` for several cores: what was compared, and what runs where."""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.multicore.text import assignment_text
from accelsim.printable import printable
from accelsim.stages.cores import UNITS, Choice, figure


def choice_text(choice: Choice) -> str:
    """The chosen assignment, and the figures of everything that was tried for it."""
    text = "\n".join([assignment_text(choice.run), "", *_compared(choice)])
    return printable(text, keep="\n")


def _compared(choice: Choice) -> Iterator[str]:
    objective, unit = choice.objective, UNITS[choice.objective]
    yield f"compared for {objective} [{unit}]"
    for how, attempts in choice.stages:
        yield f"  {how}"
        for name, run in attempts.runs.items():
            mark = "  <- chosen" if run.assignment == choice.run.assignment else ""
            mine = mark if run.plans == choice.run.plans else ""
            yield f"    {name:<10}{figure(run, objective):>16,.6g}{mine}"
        for name, error in attempts.refused.items():
            mistake = error.mistakes[0]
            yield f"    {name:<10}{'refused':>16}  {mistake.code} {mistake.message.splitlines()[0]}"
