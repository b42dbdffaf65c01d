"""The command line. Results go to stdout, everything else to stderr.

Exit codes: 0 all targets met; 1 a target missed or inconclusive; 2 bad usage or input;
3 infeasible, or a solver stopped without a solution; 4 internal error; 130 interrupted.
Heavy imports happen inside the commands, so that ``--help`` stays instant.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.errors import AccelsimError, Mistake
from accelsim.printable import printable, printable_lines

if TYPE_CHECKING:
    from accelsim.pipeline import Run

INTERRUPTED = 130
UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE, errno.EFBIG)
"""What a write to stdout may end with. All other writes report their own failures."""
GRAVITY = (0, 1, 3, 2, 4)
"""Exit codes from the mildest to the gravest."""

app = typer.Typer(
    help="Speed, energy, memory plan, fault rates and an ASIL verdict for a neural-network "
    "accelerator, from one config file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[Path, typer.Argument(help="run config (YAML, schema accelsim/run/v1)")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="override a config key, e.g. mapping.objective=energy"
    ),
]
Seed = Annotated[int | None, typer.Option(help="seed of every fault campaign")]
Jobs = Annotated[
    int | None, typer.Option("-j", "--jobs", min=1, help="worker processes [default: all cores]")
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact-events",
        help="step every event on the reference engine, without fast-forward: slower, same result",
    ),
]


def _overrides(sets: list[str] | None) -> dict[str, str]:
    """``key=value`` options as a mapping; a missing ``=`` is bad usage."""
    mistakes = [
        Mistake("U001", f"--set {item!r} is not KEY=VALUE", "write --set accelerator.array.rows=32")
        for item in sets or ()
        if "=" not in item or not item.split("=", 1)[0].strip()
    ]
    if mistakes:
        raise AccelsimError(mistakes)
    return {key.strip(): value for key, value in (item.split("=", 1) for item in sets or ())}


def _run(
    config: Path,
    sets: list[str] | None,
    seed: int | None,
    jobs: int | None,
    exact: bool,
    reserve: Callable[[str], None],
) -> Run:
    """Run a config; ``reserve`` takes the name of the run before any work, and may refuse."""
    from accelsim.config.load import load_study
    from accelsim.pipeline import run
    from accelsim.progress import terminal_progress

    reserve(load_study(config, _overrides(sets), seed).name)
    with terminal_progress() as progress:
        return run(
            config,
            overrides=_overrides(sets),
            seed=seed,
            workers=jobs or _cores(),
            exact_events=exact,
            progress=progress,
        )


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@app.command()
def run(
    config: Config,
    sets: Sets = None,
    seed: Seed = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="run folder [default: reports/<name>]")
    ] = None,
    jobs: Jobs = None,
    json: Annotated[
        bool, typer.Option("--json", help="print metrics.json instead of the summary")
    ] = False,
    exact_events: Exact = False,
) -> None:
    """Simulate, plan, inject, judge; write the run folder."""
    from accelsim.report.files import write_run_folder
    from accelsim.store import require_replaceable

    def reserve(name: str) -> None:  # before the work, not after it
        require_replaceable(output or Path("reports") / name)

    done = _run(config, sets, seed, jobs, exact_events, reserve)
    folder = write_run_folder(done.record, output or Path("reports") / done.record.name)
    if json:
        sys.stdout.write((folder / "metrics.json").read_text(encoding="utf-8"))
    else:
        _print_summary(done.record)
        _say(f"report: {folder / 'report.html'}")
    raise typer.Exit(done.exit_code)


def _print_summary(record: object) -> None:
    from rich.console import Console

    from accelsim.report.console import summary

    width = None if sys.stdout.isatty() else 100
    Console(file=sys.stdout, width=width, highlight=False).print(summary(record))  # type: ignore[arg-type]


@app.command()
def check(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="run configs and/or run folders", metavar="CONFIG|RUN_DIR..."),
    ],
    sets: Sets = None,
    seed: Seed = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="keep the run folder(s) here")
    ] = None,
    jobs: Jobs = None,
    junit: Annotated[Path | None, typer.Option(help="write a JUnit file")] = None,
    sarif: Annotated[Path | None, typer.Option(help="write a SARIF file")] = None,
    output_format: Annotated[str, typer.Option("--format", help="text, json or github")] = "text",
    exact_events: Exact = False,
) -> None:
    """The CI gate: judge the targets; exit 0 only when all are met."""
    from accelsim.check import check_inputs
    from accelsim.outputs import require_writable, write_output

    if output_format not in ("text", "json", "github"):
        raise AccelsimError(
            Mistake("U002", f"unknown --format {output_format!r}", "use text, json or github")
        )
    require_writable({"junit": junit, "sarif": sarif}, inputs)
    options = (sets, seed, jobs, exact_events)
    result = check_inputs(inputs, lambda path, reserve: _run(path, *options, reserve), output)
    sys.stdout.write(result.render(output_format))
    for error in result.errors:
        _complain(error)
    for path, text in ((junit, result.junit), (sarif, result.sarif)):
        if path is not None:
            write_output(path, text())
    raise typer.Exit(max(result.exit_codes, key=GRAVITY.index))


@app.command()
def validate(
    configs: Annotated[list[Path], typer.Argument(help="config files")], sets: Sets = None
) -> None:
    """Read configs, and the networks and data they name, without running them."""
    from accelsim.pipeline import validate as validate_config

    mistakes: list[Mistake] = []
    for path in configs:
        try:
            validate_config(path, _overrides(sets))
            _say(f"{path}: valid")
        except AccelsimError as error:
            mistakes += error.mistakes
    if mistakes:
        raise AccelsimError(mistakes)


@app.command()
def schema() -> None:
    """Print the JSON schema of the config files."""
    import json

    from accelsim.config.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2, sort_keys=True) + "\n")


@app.command()
def explain(
    name: Annotated[
        str,
        typer.Argument(
            help="a metric, config key, protection, error or exit code; or a config file: its "
            "mapping"
        ),
    ],
    sets: Sets = None,
) -> None:
    """Say what a name means, with unit, default and source, or how a config is mapped."""
    if name.endswith((".yaml", ".yml")):
        from accelsim.pipeline import explain_config

        sys.stdout.write(explain_config(name, _overrides(sets)) + "\n")
        return
    from accelsim.config.explain import explain as explain_name

    sys.stdout.write(explain_name(name).rstrip("\n") + "\n")


@app.command("import")
def import_config(
    file: Annotated[Path, typer.Argument(help="a SCALE-Sim .cfg file")],
) -> None:
    """Print another tool's machine as an accelsim accelerator file, assumptions marked."""
    from accelsim.workload.scalesim_config import scalesim_accelerator

    sys.stdout.write(scalesim_accelerator(str(file)).rstrip("\n") + "\n")


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="where to write the starter files")] = Path(),
) -> None:
    """Write a commented config, an accelerator and a tiny network that run as they are."""
    from accelsim.config.init import write_init

    written = write_init(directory)
    for path in written:
        _say(f"wrote {path}")
    _say(f"now: accelsim run {directory / 'run.yaml'}")


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="a run folder")],
    html: Annotated[bool, typer.Option("--html", help="write report.html")] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="write trace.perfetto.json")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="write the CSV tables")] = False,
) -> None:
    """Print the summary of a run folder, or make its views again."""
    from accelsim.report.files import write_views
    from accelsim.store import load

    record = load(run_dir)
    if not (html or timeline or csv):
        _print_summary(record)
        return
    for path in write_views(record, run_dir, html=html, timeline=timeline, csv=csv):
        _say(f"wrote {path}")


def _say(line: str) -> None:
    """A line on stdout; a path in it may come from a file."""
    sys.stdout.write(f"{printable(line)}\n")


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"accelsim {version('accelsim')}\n")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


def _complain(error: AccelsimError) -> None:
    for mistake in error.mistakes:  # their texts hold names from files: these must not act
        sys.stderr.write(f"{printable_lines(str(mistake))}\n")
    count = len(error.mistakes)
    sys.stderr.write(f"accelsim: {count} {'mistake' if count == 1 else 'mistakes'}\n")


def guarded(body: Callable[[], None]) -> int:
    """Run ``body`` and turn how it ends into an exit code; no user sees a traceback of ours for
    their mistake, and every one of ours says how to report it."""
    try:
        body()
    except AccelsimError as error:
        _complain(error)
        return error.exit_code
    except SystemExit as stop:  # how typer ends: also after Ctrl-C (130) and wrong usage (2)
        if stop.code == INTERRUPTED:
            sys.stderr.write("accelsim: interrupted; no run folder was written\n")
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as bug:  # the last resort: our own bug, reported as such
        if isinstance(bug, OSError) and bug.filename is None and bug.errno in UNWRITTEN:
            return _unwritten(bug)
        import traceback

        sys.stderr.write(printable("".join(traceback.format_exception(bug)), keep="\n"))
        sys.stderr.write(
            "accelsim: internal error. This is a bug in accelsim, not in your input: please "
            "report the lines above with your config.\n"
        )
        return 4
    return 0


def _flushed() -> int:
    """Write out stdout; the exit code where that fails, else 0."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return 0


def _unwritten(error: OSError) -> int:
    """The exit code when stdout takes no more. A reader that has seen enough (``| head``) is no
    failure; a full disk is reported."""
    with open(os.devnull, "wb") as nothing:  # nothing more is tried when Python ends
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    hint = "redirect the output to another place; a run folder that was asked for is written"
    message = f"cannot write the output: {error.strerror}"
    _complain(AccelsimError(Mistake("U003", message, hint)))
    return 2


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character the terminal lacks is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        code = guarded(app)
        code = _flushed() or code
    except KeyboardInterrupt:  # a second Ctrl-C, while the first one is answered
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
