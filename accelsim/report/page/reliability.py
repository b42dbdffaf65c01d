"""All sections on the reliability of one variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelsim.report.page import campaign, exposure, fmeda
from accelsim.report.page.blocks import Section

if TYPE_CHECKING:
    from accelsim.store import VariantRecord


def sections(prefix: str, variant: VariantRecord) -> list[Section]:
    """The reliability chapters of one variant, those with data only."""
    found = [
        exposure.section(prefix, variant.exposure),
        campaign.section(prefix, variant.campaign),
        fmeda.section(prefix, variant.fmeda, variant.metrics),
    ]
    return [section for section in found if section is not None]
