"""Which view goes into which file of a run folder."""

from __future__ import annotations

from pathlib import Path

from accelsim.record import RunRecord, csv_files, variant_folder
from accelsim.store import save, save_views


def views(record: RunRecord) -> dict[str, str]:
    """Relative path -> text of every view: report, JUnit, and a timeline per simulated variant."""
    from accelsim.report.html import html_report
    from accelsim.report.junit import junit_xml

    texts = {"report.html": html_report(record), "junit.xml": junit_xml((record,))}
    return texts | timelines(record)


def timelines(record: RunRecord) -> dict[str, str]:
    """Relative path -> Perfetto trace of every simulated variant."""
    from accelsim.report.perfetto import perfetto_json
    from accelsim.sim.trace_file import read_trace

    texts = {}
    for name, variant in record.variants.items():
        if variant.trace is not None:
            file = f"{variant_folder(name)}trace.perfetto.json"
            clock = int(variant.info["clock_hz"])
            texts[file] = perfetto_json(read_trace(variant.trace), clock)
    return texts


def write_run_folder(record: RunRecord, directory: Path) -> Path:
    """Save a record with all its views; the folder appears only when it is whole."""
    return save(record, directory, views(record))


def write_views(
    record: RunRecord, directory: Path, *, html: bool, timeline: bool, csv: bool
) -> tuple[Path, ...]:
    """Make the chosen views of a saved run again, each file replaced atomically."""
    from accelsim.report.html import html_report

    texts: dict[str, str] = {}
    if html:
        texts["report.html"] = html_report(record)
    if timeline:
        texts |= timelines(record)
    if csv:
        texts |= csv_files(record)
    return save_views(directory, texts)
