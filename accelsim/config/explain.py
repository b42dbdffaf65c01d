"""``accelsim explain NAME``: what a metric, a config key, an exit code, a protection or an error
code means. The texts come from where the thing itself is defined."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from accelsim.config.error_codes import ERROR_CODES
from accelsim.config.fields import OneOf
from accelsim.config.problems import model_inside
from accelsim.config.schema import RunPart
from accelsim.errors import AccelsimError, Mistake, suggest
from accelsim.metrics import KNOWN

EXIT_CODES: dict[str, str] = {
    "0": "all targets are met (or a command without targets succeeded)",
    "1": "a target is missed or inconclusive",
    "2": "bad usage or bad input: also no targets to check, or a metric that does not exist",
    "3": "infeasible, or a solver stopped without a solution",
    "4": "internal error: a bug of accelsim, please report it",
    "130": "interrupted",
}

ALIASES: dict[str, str] = {
    "spfm": "asil.spfm", "lfm": "asil.lfm", "pmhf": "asil.pmhf_fit", "sdc": "sdc.p",
    "latency": "latency.seconds", "throughput": "throughput.inferences_per_s",
    "energy": "energy.total_j", "area": "area.mm2",
}  # fmt: skip
"""What people call a metric, in small letters -> its name."""

FAMILIES: dict[str, str] = {
    "A": "accelerator: arrays, tables, protections",
    "C": "configuration",
    "D": "evaluation data",
    "E": "energy and area tables",
    "F": "fault campaign and FMEDA",
    "I": "infeasible (exit code 3)",
    "M": "mapping",
    "R": "run folders and trace files",
    "S": "schedule and placement",
    "U": "usage of the command line",
    "V": "verdicts on targets",
    "W": "workload (the network)",
}
"""First letter of an error code -> what the error is about."""


def explain(name: str) -> str:
    """What ``name`` means, as a few lines of text.

    Takes a metric (also with a fault rate, ``sdc.p@1e-05``), a dotted config key
    (``accelerator.array.rows``; its end is enough if that is unique), an exit code (``3``), a
    protection (``secded``, ``secded+self_test``) or an error code or its family (``C003``, ``C``).

    Raises:
        AccelsimError: U006, nothing is called so.
    """
    word = name.strip()
    found = [text for find in _FINDERS for text in find(word)]
    if found:
        return "\n\n".join(found)
    hint = suggest(word, _everything())
    if hint.startswith("known: "):
        hint = "a metric, a config key, an exit code, a protection or an error code"
    raise AccelsimError(Mistake("U006", f"nothing is called '{word}'", hint))


def _metric(word: str) -> Iterator[str]:
    said, at, rate = word.partition("@")
    base = ALIASES.get(said.lower(), said)
    if base in KNOWN:
        unit, meaning = KNOWN[base]
        where = f" at the fault rate {rate} per bit" if at else ""
        yield f"metric {base}{at}{rate} [{unit or 'text'}]\n  {meaning}{where}"


def _exit_code(word: str) -> Iterator[str]:
    code = re.sub(r"^exit[ -]?(code)?\s*", "", word)
    if code in EXIT_CODES:
        yield f"exit code {code}\n  {EXIT_CODES[code]}"
    elif word in ("exit", "exit code", "exit codes"):
        lines = [f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()]
        yield "\n".join(["exit codes", *lines])


def _error_code(word: str) -> Iterator[str]:
    family = FAMILIES.get(word[:1]) if re.fullmatch(r"[A-Z](\d{3})?", word) else None
    if family is None or (len(word) > 1 and word not in ERROR_CODES):
        return
    known = {code: text for code, text in ERROR_CODES.items() if code.startswith(word)}
    lines = [f"  {code}  {text}" for code, text in known.items()]
    yield "\n".join([f"error code {word}: {family}", *lines])


def _protection(word: str) -> Iterator[str]:
    from accelsim.arch.protection import PROTECTIONS, resolve

    if not all(part.strip() in PROTECTIONS for part in word.split("+")):
        return
    found = resolve(word)
    yield "\n".join(
        [
            f"protection {word}",
            f"  for: {', '.join(sorted(found.applies_to))}",
            f"  covers {found.coverage_transient:.4g} of transient and "
            f"{found.coverage_permanent:.4g} of permanent faults; corrects "
            f"{found.corrected_transient:.4g} and {found.corrected_permanent:.4g} of these, the "
            "rest stops the system",
            *_prevention(found.rate_factor, found.periodic),
            f"  costs {_area(found.area_factor, found.register_area_factor)}, "
            f"{found.energy_factor:.4g} x energy, {found.latency_cycles} cycles per task",
            f"  source [{found.mark}]: {found.source}",
        ]
    )


def _area(factor: float, registers: float) -> str:
    """The whole structure's factor, and that of its flip-flops where these cost more."""
    if registers == 1.0:
        return f"{factor:.4g} x area"
    whole = "" if factor == 1.0 else f", then {factor:.4g} x the area of the structure"
    return f"{registers:.4g} x the area of its flip-flops{whole}"


def _prevention(rate_factor: float, periodic: bool) -> Iterator[str]:
    if rate_factor != 1.0:
        yield f"  upset rate of its flip-flops x {rate_factor:.4g}"
    if periodic:
        yield "  finds faults once per safety.self_test_interval"


def config_keys() -> dict[str, tuple[FieldInfo, type[BaseModel]]]:
    """Every dotted key of a run config with its field and the model that holds it."""
    return dict(_walk(RunPart, ""))


def _walk(
    model: type[BaseModel], path: str
) -> Iterator[tuple[str, tuple[FieldInfo, type[BaseModel]]]]:
    for name, info in model.model_fields.items():
        dotted = f"{path}.{name}" if path else name
        yield dotted, (info, model)
        inner = model_inside(info.annotation)
        if inner is not None and dotted != "system.cores.accelerator":  # as below 'accelerator'
            yield from _walk(inner, dotted)


def _config_key(word: str) -> Iterator[str]:
    keys = config_keys()
    if word not in keys:
        inside = _inside_named(word, keys)
        if inside is not None:
            yield _key_text(word, *keys[inside])
            return
        fitting = [key for key in keys if key.endswith(f".{word}")]
        for key in fitting if len(fitting) <= 3 else ():
            yield _key_text(key, *keys[key])
        return
    yield _key_text(word, *keys[word])


def _inside_named(word: str, keys: Mapping[str, tuple[FieldInfo, type[BaseModel]]]) -> str | None:
    """The key that is meant by one with a name of the user's in it: ``mapping.layers.conv1.m``."""
    for key, (info, _) in keys.items():
        inner = model_inside(info.annotation)
        if get_origin(info.annotation) is dict and inner and word.startswith(f"{key}."):
            name, dot, field = word.removeprefix(f"{key}.").rpartition(".")
            return f"{key}.{field}" if dot and name and field in inner.model_fields else key
    return None


def _key_text(key: str, info: FieldInfo, model: type[BaseModel]) -> str:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, Mapping) else {}
    unit = f" [{extra['unit']}]" if extra.get("unit") else ""
    lines = [f"config key {key}{unit}", f"  {info.description}"]
    choices = next((m.known for m in info.metadata if isinstance(m, OneOf)), ())
    if choices:
        lines.append(f"  one of: {', '.join(choices)}")
    inner = model_inside(info.annotation)
    if inner is not None:
        lines.append(f"  keys: {', '.join(inner.model_fields)}")
    elif info.is_required():
        lines.append("  required")
    elif _default(info) is not None:
        lines.append(f"  default: {_default(info)}")
    return "\n".join(lines)


def _default(info: FieldInfo) -> Any:
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value in ("", [], {}):
        return None
    return str(value).lower() if isinstance(value, bool) else value


_FINDERS: tuple[Callable[[str], Iterator[str]], ...] = (
    _metric, _config_key, _exit_code, _protection, _error_code,
)  # fmt: skip


def _everything() -> list[str]:
    from accelsim.arch.protection import PROTECTIONS

    return [*KNOWN, *ALIASES, *config_keys(), *EXIT_CODES, *PROTECTIONS, *ERROR_CODES]
