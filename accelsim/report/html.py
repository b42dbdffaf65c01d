"""The HTML report: one file that opens anywhere, with no network, from a run record.

The charts are drawn by plotly.js, embedded once; a content security policy in the page forbids
every network access, so the report stays what it was and tells nobody that it was read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accelsim.printable import printable, printable_tree
from accelsim.report.charts.style import Chart
from accelsim.report.page import (
    campaign,
    exposure,
    fmeda,
    performance,
    provenance,
    summary,
    variants,
)
from accelsim.report.page.blocks import Block, Group, Heading, Note, Section, Source, charts_of

if TYPE_CHECKING:
    from accelsim.record import RunRecord, VariantRecord


def html_report(record: RunRecord) -> str:
    """The whole report as one HTML document (UTF-8 text, about 5 MB, most of it plotly.js).

    The same record gives the same bytes. Parts that the record lacks (no simulation, no campaign)
    are left out, with a sentence where a reader would look for them.

    Raises:
        AccelsimError: R501, the trace in the record cannot be read.
    """
    chapters = tuple(_shown(chapter) for chapter in sections(record))
    outcome, sentence = summary.headline(record.verdicts)
    page: str = _template().render(
        title=printable(record.name),
        configuration=printable(summary.configuration_line(record.base)),
        sha=printable(record.sha256),
        outcome=outcome,
        headline=printable(sentence),
        sections=chapters,
        charts=page_charts(chapters),
        plotly=_plotly(),
    )
    return page


def sections(record: RunRecord) -> tuple[Section, ...]:
    """All chapters in reading order, without their looks."""
    base = record.base
    absent = performance.missing(base)
    found = [
        summary.verdict_section(record),
        summary.key_figures(base),
        variants.variant_section(record),
        Section("sec-simulation", "Simulation", "The simulated inference", blocks=(absent,))
        if absent
        else None,
        *performance.sections("base", base),
        *_faults(record),
        _variant_details(record),
        provenance.provenance_section(record),
    ]
    return tuple(section for section in found if section is not None)


def _shown(chapter: Section) -> Section:
    """A chapter in which every text is printable: the one place that all names from files pass on
    their way into the page. Only source text keeps its lines."""
    blocks = tuple(
        printable_tree(block, keep="\n" if isinstance(block, Source) else "")
        for block in chapter.blocks
    )
    return replace(printable_tree(replace(chapter, blocks=())), blocks=blocks)


def page_charts(chapters: tuple[Section, ...]) -> tuple[Chart, ...]:
    """Every chart of the page; their ids are unique."""
    found = tuple(chart for chapter in chapters for chart in charts_of(chapter.blocks))
    assert len({chart.id for chart in found}) == len(found), "chart ids must be unique"
    return found


def _faults(record: RunRecord) -> tuple[Section | None, ...]:
    base = record.base
    return (
        exposure.section("base", base.exposure),
        campaign.section("base", base.campaign),
        _no_campaign(record),
        campaign.rates_section(record),
        fmeda.section("base", base.fmeda, base.metrics),
    )


def _no_campaign(record: RunRecord) -> Section | None:
    if any(variant.campaign for _, variant in variants.everyone(record)):
        return None
    line = "No fault campaign was configured (faults:): what upsets do to the answers is unknown."
    return Section(
        "sec-no-campaign", "Faults", "Fault injection", blocks=(Note("Not configured", (line,)),)
    )


def _variant_details(record: RunRecord) -> Section | None:
    groups: list[Block] = [
        Group(name, "simulated" if variant.layers else "faults only", blocks)
        for i, (name, variant) in enumerate(record.others.items())
        if (blocks := _details(f"v{i}", variant))
    ]
    if not groups:
        return None
    return Section(
        "sec-details",
        "Details",
        "Each variant in detail",
        "The same views as above for every variant; open the one of interest.",
        tuple(groups),
    )


def _details(prefix: str, variant: VariantRecord) -> tuple[Block, ...]:
    reliability = (
        exposure.section(prefix, variant.exposure),
        campaign.section(prefix, variant.campaign),
        fmeda.section(prefix, variant.fmeda, variant.metrics),
    )
    chapters = [
        *performance.sections(prefix, variant),
        *(section for section in reliability if section is not None),
    ]
    blocks: list[Block] = []
    if performance.missing(variant) and chapters:
        line = "Faults only: this variant was not simulated on the accelerator."
        blocks.append(Note("Not simulated", (line,)))
    for chapter in chapters:
        blocks += [Heading(chapter.title), *chapter.blocks]
    return tuple(blocks)


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("accelsim.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    assert "</script" not in script.lower(), "plotly.js would end its own script element"
    return script
