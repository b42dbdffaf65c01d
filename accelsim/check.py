"""The CI gate: configs and run folders in, verdicts and exit codes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.printable import printable, printable_tree
from accelsim.record import RunRecord
from accelsim.verdict import Outcome, Verdict, exit_code, tally

if TYPE_CHECKING:
    from accelsim.pipeline import Run


@dataclass(frozen=True)
class CheckResult:
    """What all inputs gave: records that ran, errors of those that did not, one code per input."""

    records: tuple[RunRecord, ...]
    errors: tuple[AccelsimError, ...]
    exit_codes: tuple[int, ...]

    @property
    def verdicts(self) -> tuple[tuple[str, Verdict], ...]:
        """(run name, verdict) of all records."""
        return tuple((r.name, v) for r in self.records for v in r.verdicts)

    def junit(self) -> str:
        """JUnit XML, one suite per run."""
        from accelsim.report.junit import junit_xml

        return junit_xml(self.records)

    def sarif(self) -> str:
        """SARIF 2.1.0: one result per target that is not met."""
        from accelsim.report.sarif import sarif_json

        return sarif_json(self.records)

    def render(self, style: str) -> str:
        """The verdicts as ``text``, ``json`` or ``github`` annotations; names from files cannot
        steer the terminal."""
        if style == "json":
            return render_json(self.verdicts)
        if style == "github":
            return "".join(annotation(v) for _, v in self.verdicts if v.outcome != Outcome.PASS)
        from accelsim.report.basis import asil_basis, cautions

        basis = [
            f"note: {printable(f'{record.name}, {line}')}\n"
            for record in self.records
            for line in (*asil_basis(record), *cautions(record))
        ]
        return "".join(basis) + render_text(self.verdicts)


Runner = Callable[[Path, Callable[[str], None]], "Run"]
"""Runs a config. Calls its second argument with the name of the run before any work."""


def check_inputs(inputs: Sequence[Path], runner: Runner, output: Path | None) -> CheckResult:
    """Judge each input: a run folder as it is, a config by running it.

    An input that cannot be judged does not keep the others from being judged. ``output`` keeps the
    run folders made here (a subfolder per run when there are several inputs); a place that is taken
    is refused before the run.
    """
    from accelsim.report.files import write_run_folder
    from accelsim.store import load

    places: dict[str, Path] = {}

    def reserve(name: str) -> None:
        if output is not None:
            place = output / name if len(inputs) > 1 else output
            _require_free(place, places)
            places[name] = place

    records: list[RunRecord] = []
    errors: list[AccelsimError] = []
    codes: list[int] = []
    for path in inputs:
        try:
            if path.is_dir():
                record = load(path)
            else:
                record = runner(path, reserve).record
                if output is not None:
                    write_run_folder(record, places[record.name])
            if not record.verdicts:
                raise AccelsimError(
                    Mistake(
                        "U004",
                        "there are no targets to check",
                        "add a `targets:` list to the config",
                        Location(str(path)),
                    )
                )
        except AccelsimError as error:
            errors.append(error)
            codes.append(error.exit_code)
            continue
        records.append(record)
        codes.append(exit_code(record.verdicts))
    return CheckResult(tuple(records), tuple(errors), tuple(codes))


def _require_free(place: Path, taken: Mapping[str, Path]) -> None:
    """AccelsimError R510 or U008 unless a run folder can go to ``place``."""
    from accelsim.store import require_replaceable

    if place in taken.values():
        hint = "give the configs different names, or check them one by one"
        message = "two runs of this command have the same name"
        raise AccelsimError(Mistake("U008", message, hint, Location(str(place))))
    require_replaceable(place)


def limit_text(verdict: Verdict) -> str:
    """The requirement in words, e.g. ``>= 0.99``."""
    if verdict.limit_high is not None:
        return f"in [{verdict.limit:g}, {verdict.limit_high:g}]"
    return f"{verdict.relation} {verdict.limit:g}"


def render_text(verdicts: Sequence[tuple[str, Verdict]]) -> str:
    """One line per verdict, then the count; what is not met comes last, where it is seen."""
    order = {Outcome.PASS: 0, Outcome.INCONCLUSIVE: 1, Outcome.FAIL: 2}
    lines = []
    found = sorted(printable_tree(tuple(verdicts)), key=lambda pair: order[pair[1].outcome])
    for run, v in found:
        if not v.applicable:
            where = run if v.variant == "base" else f"{run}/{v.variant}"
            lines.append(f"{v.outcome.upper()} ({v.detail}) {where}: {v.name}")
            continue
        value = "not finite" if v.value is None else f"{v.value:.6g}"
        bound = "" if v.bound is None or v.bound == v.value else f" (bound {v.bound:.6g})"
        where = run if v.variant == "base" else f"{run}/{v.variant}"
        unit = f" {v.unit}" if v.unit not in ("", "1") else ""
        lines.append(
            f"{v.outcome.upper():<12} {where}: {v.name} = {value}{unit}{bound}, "
            f"required {limit_text(v)}{unit}"
        )
    if verdicts:
        lines.append(tally([v for _, v in verdicts]))
    return "".join(f"{line}\n" for line in lines)


def render_json(verdicts: Sequence[tuple[str, Verdict]]) -> str:
    """A list of verdict objects."""
    rows: list[dict[str, Any]] = [{"run": run, **v.__dict__} for run, v in verdicts]
    return json.dumps(rows, indent=2, sort_keys=True, default=str) + "\n"


def _escape(text: str, *, prop: bool = False) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C") if prop else escaped


def annotation(verdict: Verdict) -> str:
    """A GitHub workflow command that marks the target in the config."""
    verdict = printable_tree(verdict)
    file, _, rest = verdict.location.partition(":")
    line, _, column = rest.partition(":")
    parts = [f"file={_escape(file, prop=True)}"]
    parts += [f"line={line}"] if line else []
    parts += [f"col={column}"] if column else []
    value = "not finite" if verdict.value is None else f"{verdict.value:.6g}"
    text = f"{verdict.name} = {value}, required {limit_text(verdict)}: {verdict.detail}"
    level = "error" if verdict.outcome == Outcome.FAIL else "warning"
    return f"::{level} {','.join(parts)},title=accelsim {verdict.outcome}::{_escape(text)}\n"
