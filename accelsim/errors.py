"""The whole error taxonomy on one page.

User mistakes raise :class:`AccelsimError`, which carries every mistake found (not only the first),
each with a position where there is one, a stable code and a hint. A design that cannot work raises
:class:`InfeasibleError`, whose payload is a structured result. ``assert`` stays for our own bugs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """Where in a user's input a mistake sits. Lines and columns count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.file]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        return ":".join(parts)


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: what, where, and what to do about it.

    ``code`` is stable and greppable, e.g. ``C003`` (configuration), ``W101`` (workload),
    ``D201`` (data), ``M301`` (mapping), ``S401`` (schedule), ``F501`` (faults), ``U001`` (usage).
    """

    code: str
    message: str
    hint: str = ""
    location: Location | None = None

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        hint = f"\n    hint: {self.hint}" if self.hint else ""
        return f"{where}{self.code} {self.message}{hint}"


class AccelsimError(Exception):
    """Bad usage or bad input. Carries all mistakes of the input at once; exit code 2."""

    exit_code = 2

    def __init__(self, mistakes: Mistake | Iterable[Mistake]) -> None:
        found = (mistakes,) if isinstance(mistakes, Mistake) else tuple(mistakes)
        assert found, "an AccelsimError needs at least one mistake"
        self.mistakes: tuple[Mistake, ...] = found
        super().__init__("\n".join(str(m) for m in found))

    def __reduce__(self) -> tuple[type[AccelsimError], tuple[tuple[Mistake, ...]]]:
        return (type(self), (self.mistakes,))


@dataclass(frozen=True)
class Infeasibility:
    """Why something cannot work: ``demand`` against ``limit`` in ``unit``, and what would help."""

    statement: str
    demand: int
    limit: int
    unit: str
    terms: tuple[tuple[str, int], ...] = ()
    """The largest contributions to the demand: (name, amount in ``unit``), largest first."""
    levers: tuple[str, ...] = ()
    """Concrete changes of the input that would satisfy the constraint."""

    @property
    def gap(self) -> int:
        """Demand minus limit, in ``unit``."""
        return self.demand - self.limit

    def __str__(self) -> str:
        lines = [
            f"{self.statement}: needs {self.demand} {self.unit}, "
            f"limit {self.limit} {self.unit}, short by {self.gap} {self.unit}"
        ]
        lines += [f"    {name}: {amount} {self.unit}" for name, amount in self.terms]
        lines += [f"    would help: {lever}" for lever in self.levers]
        return "\n".join(lines)


class InfeasibleError(AccelsimError):
    """The design cannot work as asked (or a solver found nothing); exit code 3."""

    exit_code = 3

    def __init__(self, infeasibility: Infeasibility, location: Location | None = None) -> None:
        self.infeasibility = infeasibility
        self.location = location
        hint = "; ".join(infeasibility.levers)
        message = str(Infeasibility(**{**infeasibility.__dict__, "levers": ()}))
        super().__init__(Mistake("I001", message, hint, location))

    def __reduce__(self) -> tuple[type[InfeasibleError], tuple[Infeasibility, Location | None]]:  # type: ignore[override]
        return (type(self), (self.infeasibility, self.location))


def suggest(word: str, known: Sequence[str]) -> str:
    """A hint such as ``did you mean 'rows'?``, or the list of what is known."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(sorted(known))
