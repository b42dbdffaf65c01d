"""Energy figures in the accelerator file: pydantic models, used at this boundary only."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.fields import Exact, File, Nanometres, Part, about, problem
from accelsim.errors import suggest


class AccelergyPart(Part):
    """A table of your own: the reference tables that Accelergy writes."""

    ert: Annotated[File, about("ERT.yaml, version 0.3 or 0.4: pJ per action")]
    art: Annotated[File | None, about("ART.yaml: um2 per component; left out: estimated")] = None
    node: Annotated[Nanometres, about("of the figures, e.g. '45 nm'", unit="nm")]
    map: Annotated[
        dict[str, str],
        about("our figure -> component.action of the ERT, e.g. scratchpad.read: buffer.read"),
    ] = Field(default_factory=dict)
    bits: Annotated[
        dict[str, Annotated[int, Field(ge=1, le=2**20)]],
        about("memory taken from the ERT -> bits that one of its accesses moves", unit="bit"),
    ] = Field(default_factory=dict)
    areas: Annotated[
        dict[str, list[str]], about("block -> components of the ART that make it up")
    ] = Field(default_factory=dict)


class EnergyPart(Part):
    """Where energy figures come from."""

    table: Annotated[
        str, about("one published table (accelergy: your own, below); sources are never mixed")
    ] = "horowitz_45nm"
    fill_from: Annotated[
        list[str], about("tables that supply what this one lacks, in order; the report says what")
    ] = Field(default_factory=list)
    scale: Annotated[
        bool, about("scale figures of another node to the technology of the accelerator")
    ] = False
    vdd: Annotated[
        float | None,
        Field(ge=0.5, le=1.2),
        about("supply voltage to scale to; left out: the same on both sides", unit="V"),
    ] = None
    clock_gating: Annotated[
        Exact, Field(le=1), about("share of an idle unit's clock energy that is saved", unit="1")
    ] = Field(default=0, validate_default=True)
    leakage_mw_per_mm2: Annotated[Exact, about("static power per area", unit="mW/mm2")] = Field(
        default=0, validate_default=True
    )
    leakage_by_block: Annotated[
        dict[str, Exact],
        about("block (array, vector, scratchpad, ...) -> its own leakage", unit="mW/mm2"),
    ] = Field(default_factory=dict)
    accelergy: Annotated[AccelergyPart | None, about("your own table (with table: accelergy)")] = (
        None
    )

    @field_validator("table")
    @classmethod
    def _table_exists(cls, table: str) -> str:
        from accelsim.cost.accelergy import OWN
        from accelsim.cost.tables import TABLES

        known = (*TABLES, OWN)
        if table not in known:
            raise problem("C005", f"unknown energy table '{table}'", suggest(table, known))
        return table

    @field_validator("fill_from")
    @classmethod
    def _donors_exist(cls, tables: list[str]) -> list[str]:
        from accelsim.cost.tables import TABLES

        for table in tables:
            if table not in TABLES:
                hint = suggest(table, list(TABLES))
                raise problem("C005", f"unknown energy table '{table}'", hint)
        return tables

    @field_validator("vdd")
    @classmethod
    def _voltage_scales(cls, vdd: float | None, info: ValidationInfo) -> float | None:
        if vdd is not None and not info.data.get("scale"):
            raise problem("C009", "vdd without scale has no effect", "scale: true")
        return vdd

    @field_validator("leakage_by_block")
    @classmethod
    def _blocks_exist(cls, leakage: dict[str, Fraction]) -> dict[str, Fraction]:
        from accelsim.cost.accelergy import BLOCKS

        for block in leakage:
            if block not in BLOCKS:
                raise problem("C005", f"unknown block '{block}'", suggest(block, BLOCKS))
        return leakage

    @field_validator("accelergy")
    @classmethod
    def _own_is_chosen(
        cls, part: AccelergyPart | None, info: ValidationInfo
    ) -> AccelergyPart | None:
        table = info.data.get("table")
        if part is not None and table not in (None, "accelergy"):
            message = f"accelergy is given, but the table is '{table}'"
            raise problem("C009", message, "table: accelergy")
        return part
