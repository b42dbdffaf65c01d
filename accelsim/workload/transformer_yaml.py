"""Transformers from YAML: ``read_transformer``.

``schema: accelsim/transformer/v1`` with a ``preset`` or the dimensions (given with a preset they
replace its own), the number of tokens, mode and context; the keys are those of
:func:`accelsim.workload.transformer.transformer`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from accelsim.config.fields import OneOf, Part, about
from accelsim.config.problems import Problems, validate
from accelsim.config.yamlpos import Node, read_file
from accelsim.errors import Location
from accelsim.workload.graph import BITS, Workload
from accelsim.workload.transformer import MODES, PRESETS, transformer

SCHEMA = "accelsim/transformer/v1"

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Size = Annotated[int, Field(ge=0, le=2**31 - 1)]

_NEEDED = ("layers", "d_model", "heads", "d_ff")
"""Keys without a default where there is no preset."""


class TransformerPart(Part):
    """A transformer by its dimensions (``schema: accelsim/transformer/v1``)."""

    schema_: Annotated[str, Field(alias="schema")] = SCHEMA
    name: Annotated[str | None, about("name of the workload")] = None
    preset: Annotated[
        Annotated[str, OneOf(tuple(PRESETS), "transformer")] | None,
        about("a published network to start from"),
    ] = None
    layers: Annotated[Count | None, about("blocks")] = None
    d_model: Annotated[Count | None, about("elements per token")] = None
    heads: Annotated[Count | None, about("query heads")] = None
    kv_heads: Annotated[Count | None, about("key and value heads; as many as heads if absent")] = (
        None
    )
    head_dim: Annotated[Count | None, about("columns of a head; d_model / heads if absent")] = None
    d_ff: Annotated[Count | None, about("width of the multilayer perceptron")] = None
    vocab: Annotated[Size | None, about("size of the vocabulary; 0: no embedding, no head")] = None
    gated: Annotated[bool | None, about("Llama-like (true) or GPT- and BERT-like (false)")] = None
    tokens: Annotated[Count | None, about("new tokens per sequence")] = None
    mode: Annotated[str, OneOf(MODES, "mode"), about("prefill, or a step of decode")] = "prefill"
    context: Annotated[Size, about("tokens whose keys and values lie in the cache")] = 0
    dtype: Annotated[str, OneOf(tuple(BITS), "type"), about("element type")] = "int8"


def read_transformer(path: str | Path, batch: int = 1) -> Workload:
    """Reads a transformer description for ``batch`` sequences.

    Raises:
        AccelsimError: all mistakes of the file with their positions: C0xx (keys, values, YAML),
            C015 (another schema), W130 (dimensions that do not fit), W107 (too large).
    """
    root = read_file(str(path))
    problems = Problems()
    _require_schema(root, problems)
    part = validate(TransformerPart, root, problems)
    if part is not None:
        for key in _missing(part):
            hint = "give it, or a preset: " + ", ".join(PRESETS)
            problems.add("C002", f"'{key}' is missing", hint, root.location)
    problems.raise_if_any()
    assert part is not None, "mistakes were raised"
    return transformer(**_arguments(part, Path(path)), batch=batch, location=root.location)


def _require_schema(root: Node, problems: Problems) -> None:
    entry = root.entries.get("schema")
    given: Any = entry.node.value if entry else None
    if given == SCHEMA:
        return
    where: Location = entry.node.location if entry else root.location
    message = f"not a transformer: schema {given!r}" if entry else "the key 'schema' is missing"
    problems.add("C015" if entry else "C002", message, f"write schema: {SCHEMA}", where)


def _missing(part: TransformerPart) -> list[str]:
    needed = () if part.preset else _NEEDED
    if not part.preset and part.mode == "prefill":  # a step of decode makes one token by itself
        needed = (*needed, "tokens")
    return [key for key in needed if getattr(part, key) is None]


def _arguments(part: TransformerPart, path: Path) -> dict[str, Any]:
    """What the file says, or else the preset."""
    base = PRESETS[part.preset] if part.preset else None

    def pick(key: str, otherwise: Any) -> Any:
        given = getattr(part, key)
        return given if given is not None else getattr(base, key, otherwise)

    heads = pick("heads", 0)
    replaced = part.kv_heads is None and part.heads is not None
    tokens = 1 if part.mode == "decode" and part.tokens is None else pick("tokens", 0)
    return {
        "name": part.name or part.preset or path.stem,
        "layers": pick("layers", 0),
        "d_model": pick("d_model", 0),
        "heads": heads,
        "kv_heads": heads if replaced else pick("kv_heads", heads),
        "d_ff": pick("d_ff", 0),
        "tokens": tokens,
        "vocab": pick("vocab", 0),
        "gated": pick("gated", True),
        "head_dim": part.head_dim or 0,
        "dtype": part.dtype,
        "mode": part.mode,
        "context": part.context,
    }
