"""Types of config fields: quantities, names from a known set, files; each with our own messages.

Validators raise :func:`problem`, which carries a code and a hint of ours through pydantic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from accelsim import units
from accelsim.errors import AccelsimError, suggest

T = TypeVar("T")

LARGEST = 2**63 - 1

Count = Annotated[int, Field(ge=1, le=10**7)]
Amount = Annotated[int, Field(ge=0, le=10**9)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
File = Annotated[str, Field(min_length=1, max_length=4096, json_schema_extra={"format": "path"})]


def problem(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """A validation error with a code and a hint of ours."""
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint})


def _through(parse: Callable[[object], T]) -> Callable[[object], T]:
    """A parser of :mod:`accelsim.units` as a pydantic validator."""

    def validate(value: object) -> T:
        try:
            return parse(value)
        except AccelsimError as error:
            mistake = error.mistakes[0]
            raise problem(mistake.code, mistake.message, mistake.hint) from None

    return validate


def _whole(dimension: units.Dimension) -> BeforeValidator:
    parse = _through(lambda value: units.parse_int(value, dimension))
    return BeforeValidator(parse, json_schema_input_type=int | str)


def _real(dimension: units.Dimension) -> BeforeValidator:
    parse = _through(lambda value: float(units.parse(value, dimension)))
    return BeforeValidator(parse, json_schema_input_type=float | str)


Bytes = Annotated[int, _whole(units.SIZE), Field(gt=0, le=2**44)]
"""``128 KiB`` or plain bytes; at most what the scheduler can count with (16 TiB)."""
Hertz = Annotated[int, _whole(units.FREQUENCY), Field(gt=0, le=10**12)]
"""``500 MHz``."""
BytesPerSecond = Annotated[int, _whole(units.RATE), Field(gt=0, le=10**16)]
"""``3.2 GB/s``."""
Nanometres = Annotated[int, _whole(units.LENGTH), Field(gt=0, le=10_000)]
"""``28 nm``."""
Cycles = Annotated[int, _whole(units.CYCLES), Field(ge=0, le=10**9)]
"""``50`` or ``50 cycles``."""
Seconds = Annotated[float, _real(units.TIME), Field(gt=0)]
"""``33 ms``."""
Share = Annotated[float, _real(units.SHARE), Field(gt=0, le=1)]
"""``0.1`` or ``10 %``."""


def _limit(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise problem("C003", f"must be a number or a quantity such as '20 ms', not {value!r}")
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        raise problem("C004", f"must be a finite number, not {value}")
    return value


Limit = Annotated[Any, BeforeValidator(_limit, json_schema_input_type=int | float | str)]
"""A target's limit: a number in the metric's unit, or a quantity with its own."""


def _fraction(value: object) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem("C003", f"must be a number, not {value!r}")
    if not 0 <= value <= 10**9:
        raise problem("C004", f"must be between 0 and 1e9, is {value}")
    return Fraction(repr(value))


Exact = Annotated[
    Fraction, BeforeValidator(_fraction, json_schema_input_type=float), Field(ge=0, strict=False)
]
"""A non-negative decimal kept exactly."""


@dataclass(frozen=True)
class OneOf:
    """Annotation of a text field: only names in ``known`` pass; others get a suggestion."""

    known: tuple[str, ...]
    what: str
    hint: str = ""

    def check(self, value: str) -> str:
        """The value itself, if known."""
        if value not in self.known:
            hint = self.hint or suggest(value, self.known)
            raise problem("C005", f"unknown {self.what} '{value}'", hint)
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.known)}


def about(description: str, unit: str = "") -> Any:
    """What a field means, and its unit for the JSON schema."""
    return Field(description=description, json_schema_extra={"unit": unit} if unit else None)


class Part(BaseModel):
    """A mapping of a config file: strict, closed, frozen. A key set to null counts as left out."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {k: v for k, v in data.items() if v is not None or k not in cls.model_fields}
