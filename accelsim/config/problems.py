"""Collects every mistake of a config and puts it where it was written.

pydantic's findings are translated: our codes, our words, the position of the YAML node, and a
suggestion where a name is close to a known one.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from accelsim.config.yamlpos import Node
from accelsim.errors import AccelsimError, Location, Mistake, suggest

M = TypeVar("M", bound=BaseModel)

_KINDS = {
    "int_type": "a whole number", "int_from_float": "a whole number",
    "int_parsing": "a whole number", "int_parsing_size": "a smaller whole number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "string_type": "text", "list_type": "a list ([a, b])",
    "dict_type": "a mapping (key: value)", "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("gt", "greater than"), "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"), "less_than_equal": ("le", "at most"),
}  # fmt: skip


@dataclass
class Problems:
    """Mistakes found so far, each once. ``variant`` names the run under validation."""

    variant: str | None = None
    _found: dict[tuple[str, str, str], Mistake] = field(default_factory=dict)

    def add(self, code: str, message: str, hint: str = "", where: Location | None = None) -> None:
        """Record a mistake; one that the base run or an earlier variant has too counts once."""
        key = (code, message, str(where))
        if self.variant is not None:
            message = f"{message} (in variant '{self.variant}')"
        self._found.setdefault(key, Mistake(code, message, hint, where))

    def extend(self, error: AccelsimError) -> None:
        """Record the mistakes of an error."""
        for mistake in error.mistakes:
            self.add(mistake.code, mistake.message, mistake.hint, mistake.location)

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise all mistakes, in the order of the files and lines they stand on.

        Raises:
            AccelsimError: unless nothing was found.
        """
        if self._found:
            files: dict[str, int] = {}
            for mistake in self._found.values():
                files.setdefault(mistake.location.file if mistake.location else "", len(files))
            raise AccelsimError(sorted(self._found.values(), key=lambda m: _order(m, files)))


def _order(mistake: Mistake, files: Mapping[str, int]) -> tuple[int, int, int]:
    where = mistake.location or Location("")
    return files[where.file], where.line or 0, where.column or 0


def find(root: Node, path: Sequence[str | int]) -> tuple[Location, Node, bool]:
    """The node at ``path``, or the deepest one on the way.

    Returns:
        Where its key stands, the node, and whether the whole path exists.
    """
    key, node = root.location, root
    for step in path:
        if isinstance(step, str) and step in node.entries:
            entry = node.entries[step]
            key, node = entry.key, entry.node
        elif isinstance(step, int) and isinstance(node.value, tuple) and step < len(node.value):
            node = node.value[step]
            key = node.location
        else:
            return key, node, False
    return key, node, True


def where(root: Node, dotted: str) -> Location:
    """Where the value at a dotted path stands; of an absent one, where its parent's key stands."""
    key, node, exact = find(root, dotted.split("."))
    return node.location if exact else parent_location(key, node)


def parent_location(key: Location, node: Node) -> Location:
    """What to point at when something is missing in ``node``."""
    return key if key.file == node.location.file else node.location


def validate(model: type[M], node: Node, problems: Problems, at: Sequence[str] = ()) -> M | None:
    """The validated model, or None with the mistakes recorded.

    Args:
        model: what the mapping must be.
        node: the mapping.
        problems: takes the mistakes.
        at: path of ``node`` in the config, for messages about it as a whole.
    """
    try:
        return model.model_validate(node.plain)
    except ValidationError as error:
        for finding in error.errors(include_url=False):
            _translate(model, node, dict(finding), problems, at)
        return None


def failed_keys(model: type[BaseModel], node: Node) -> set[str]:
    """Top-level keys of ``node`` whose values do not validate."""
    try:
        model.model_validate(node.plain)
    except ValidationError as error:
        return {str(finding["loc"][0]) for finding in error.errors() if finding["loc"]}
    return set()


def _translate(
    model: type[BaseModel],
    root: Node,
    finding: Mapping[str, Any],
    problems: Problems,
    at: Sequence[str],
) -> None:
    """One finding of pydantic in our words, at its place."""
    kind, context = str(finding["type"]), finding.get("ctx", {})
    path = tuple(step for step in finding["loc"] if step != "[key]")
    key, node, exact = find(root, path)
    if kind == "missing":
        if not _beyond_repair(root, path):
            named = f"'{path[-1]}' is missing"
            inside = _dotted((*at, *path[:-1]))
            message = f"{named} in {inside}" if inside else named
            problems.add("C002", message, _meaning(model, path), parent_location(key, node))
        return
    name = _dotted((*at, *path)) or "the value"
    if kind == "extra_forbidden":
        known = _keys(model_at(model, path[:-1]))
        hint = suggest(str(path[-1]), known)
        if path[-1] == "include":
            hint = "a part from a file: its path in place of the keys, changes under 'variants'"
        problems.add("C001", f"unknown key '{path[-1]}'", hint, key)
        return
    place = node.location if exact else parent_location(key, node)
    code, message, hint = _say(kind, context, finding.get("input"), name)
    problems.add(code, message, hint or _meaning(model, path), place)


def _beyond_repair(root: Node, path: Sequence[str | int]) -> bool:
    """Whether a part on the way could not be read (reported already)."""
    return any(find(root, path[:length])[1].broken for length in range(len(path) + 1))


def _say(kind: str, context: Mapping[str, Any], given: object, name: str) -> tuple[str, str, str]:
    """Code, message and hint of a value that does not fit."""
    if kind.startswith("C0"):
        return kind, f"{name}: {context['message']}", str(context["hint"])
    if kind in _KINDS:
        return "C003", f"{name} must be {_KINDS[kind]}, not {_shown(given)}", ""
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return "C004", f"{name} must be {words} {context[bound]:g}, is {_shown(given)}", ""
    if kind in ("too_short", "too_long"):
        words = "at least" if kind == "too_short" else "at most"
        allowed = context["min_length" if kind == "too_short" else "max_length"]
        count = context.get("actual_length", 0)
        return "C004", f"{name} has {count} items, must have {words} {allowed}", ""
    if kind in ("string_too_short", "string_too_long"):
        return "C004", f"{name} is empty or too long", ""
    return "C003", f"{name} does not fit: {kind.replace('_', ' ')}", ""


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    if isinstance(value, int) and value.bit_length() > 256:  # Python writes no number of any length
        return f"a number of {value.bit_length()} bits"
    text = f"text '{value}'" if isinstance(value, str) else repr(value)
    if isinstance(value, bool):
        text = "true" if value else "false"
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(path: Iterable[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _meaning(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """Description and unit of a field, as a hint."""
    info = field_at(model, path)
    if info is None or not info.description:
        return ""
    extra = info.json_schema_extra
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    return f"{path[-1]}: {info.description}" + (f" [{unit}]" if unit and unit != "1" else "")


def field_at(model: type[BaseModel], path: Sequence[str | int]) -> FieldInfo | None:
    """The field that a path of keys leads to, if the models have it."""
    inner = model_at(model, path[:-1]) if path else None
    return inner.model_fields.get(str(path[-1])) if inner else None


def model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """The model of the mapping that a path of keys and list positions leads to."""
    inner: type[BaseModel] | None = model
    named = False  # whether the next step is a name of the user's, a key of ``dict[str, ...]``
    for step in path:
        if isinstance(step, int) or named:
            named = False
            continue
        info = inner.model_fields.get(step) if inner else None
        inner = model_inside(info.annotation) if info else None
        named = info is not None and get_origin(info.annotation) is dict
    return inner


def model_inside(annotation: Any) -> type[BaseModel] | None:
    """The model inside Optional, Annotated and list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, Annotated, list, dict):
        for argument in get_args(annotation):
            if (found := model_inside(argument)) is not None:
                return found
    return None


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()] if model else []
