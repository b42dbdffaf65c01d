"""Dimensions of transformers: published ones, and whether given ones fit each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.workload.graph import BITS, Gemm
from accelsim.workload.limits import (
    MAX_ELEMENTS,
    MAX_OPERATORS,
    MAX_TABLE,
    product_excess,
    shape_excess,
)

MODES = ("prefill", "decode")


@dataclass(frozen=True)
class Dimensions:
    """What makes a published network: see :func:`transformer` for the meaning of each."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_ff: int
    vocab: int
    gated: bool
    tokens: int
    """Usual number of tokens of a prefill."""
    source: str


def _classic(
    layers: int, width: int, heads: int, vocab: int, tokens: int, source: str
) -> Dimensions:
    """A network of the GPT, BERT or ViT family: the perceptron is four times as wide."""
    return Dimensions(layers, width, heads, heads, 4 * width, vocab, False, tokens, source)


PRESETS: dict[str, Dimensions] = {
    "llama2_7b": Dimensions(
        32, 4096, 32, 32, 11008, 32000, True, 512,
        "Touvron et al. 2023, arXiv 2307.09288; released config.json",
    ),
    "llama2_13b": Dimensions(
        40, 5120, 40, 40, 13824, 32000, True, 512,
        "Touvron et al. 2023, arXiv 2307.09288; released config.json (R)",
    ),
    "llama2_70b": Dimensions(
        80, 8192, 64, 8, 28672, 32000, True, 512,
        "Touvron et al. 2023, arXiv 2307.09288; released config.json (R)",
    ),
    "llama3_8b": Dimensions(
        32, 4096, 32, 8, 14336, 128256, True, 512,
        "Grattafiori et al. 2024, arXiv 2407.21783, table 3 (R)",
    ),
    "gpt2": _classic(12, 768, 12, 50257, 1024, "Radford et al. 2019; released config.json (R)"),
    "gpt2_xl": _classic(48, 1600, 25, 50257, 1024, "Radford et al. 2019, table 2 (R)"),
    "bert_base": _classic(12, 768, 12, 0, 128, "Devlin et al. 2019, arXiv 1810.04805 (R)"),
    "bert_large": _classic(24, 1024, 16, 0, 128, "Devlin et al. 2019, arXiv 1810.04805 (R)"),
    "vit_s16": _classic(12, 384, 6, 0, 197, "Touvron et al. 2021, arXiv 2012.12877, table 1 (R)"),
    "vit_b16": _classic(12, 768, 12, 0, 197, "Dosovitskiy et al. 2021, arXiv 2010.11929 (R)"),
}  # fmt: skip
"""Published networks. (R): recalled, not read again. BERT starts behind its embeddings and ends
before its heads, ViT likewise (its patch embedding is a convolution of its own)."""


@dataclass(frozen=True)
class Sizes:
    """The arguments of :func:`transformer`, and what follows from them."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_ff: int
    tokens: int
    vocab: int
    gated: bool
    dtype: str
    batch: int
    mode: str
    context: int
    head_dim: int

    @property
    def rows(self) -> int:
        """Rows of K and V."""
        return self.context + self.tokens

    @property
    def cached(self) -> bool:
        """Whether keys and values outlive the run."""
        return self.gated or self.mode == "decode" or self.context > 0

    @property
    def scores(self) -> tuple[int, int, int, int]:
        """Shape of the scores."""
        return self.batch, self.heads, self.tokens, self.rows

    @property
    def cache(self) -> tuple[int, int, int, int]:
        """Shape of the keys, and of the values, of a layer."""
        return self.batch, self.kv_heads, self.rows, self.head_dim


def contradictions(sizes: Sizes) -> Iterator[tuple[str, str]]:
    """(what is wrong, hint)."""
    for least, keys in (
        (1, ("layers", "d_model", "heads", "kv_heads", "d_ff", "tokens", "batch", "head_dim")),
        (0, ("vocab", "context")),
    ):
        for key in keys:
            value = getattr(sizes, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                yield f"{key} must be a whole number of at least {least}, not {value!r}", ""
    if sizes.dtype not in BITS:
        yield f"unknown type {sizes.dtype!r}", "known: " + ", ".join(BITS)
    if sizes.mode not in MODES:
        yield f"mode {sizes.mode!r} does not exist", "known: " + ", ".join(MODES)
    if sizes.mode == "decode" and sizes.context == 0:
        yield "decode needs earlier tokens", "set context to the tokens in the cache"


def uneven_heads(sizes: Sizes, head_dim: int) -> Iterator[tuple[str, str]]:
    """Heads that do not divide what they share; ``head_dim`` as it was given (0: by default)."""
    if sizes.heads % sizes.kv_heads:
        yield (
            f"{sizes.heads} heads cannot share {sizes.kv_heads} key and value heads equally",
            "kv_heads divides heads",
        )
    if not head_dim and sizes.d_model % sizes.heads:
        text = f"d_model {sizes.d_model} is not a multiple of {sizes.heads} heads"
        yield text, "give head_dim if heads are wider or narrower"


def excesses(s: Sizes) -> Iterator[str]:
    """What is beyond :mod:`accelsim.workload.limits`."""
    rows, inner, group = s.batch * s.tokens, s.heads * s.head_dim, s.heads // s.kv_heads
    groups = s.batch * s.kv_heads
    shapes: tuple[tuple[str, tuple[int, ...], int], ...] = (
        ("the scores", s.scores, MAX_ELEMENTS),
        ("the cache", s.cache, MAX_ELEMENTS),
        ("the activations", (rows, max(s.d_model, s.d_ff, inner)), MAX_ELEMENTS),
        ("the embedding", (s.vocab, s.d_model), MAX_TABLE),
        ("a weight", (s.d_model, max(s.d_ff, inner)), MAX_TABLE),
    )
    for what, shape, most in shapes:
        excess = shape_excess(shape, most)
        if excess:
            yield f"{what}: {excess}"
    for gemm in (
        Gemm(rows, s.d_model, inner), Gemm(rows, s.d_model, s.d_ff), Gemm(rows, s.d_ff, s.d_model),
        Gemm(group * s.tokens, s.head_dim, s.rows, groups),
        Gemm(group * s.tokens, s.rows, s.head_dim, groups),
        Gemm(rows, s.d_model, max(1, s.vocab)),
    ):  # fmt: skip
        excess = product_excess(gemm)
        if excess:
            yield excess
    if s.layers * 18 + 6 > MAX_OPERATORS:
        yield f"{s.layers} layers; the limit is {(MAX_OPERATORS - 6) // 18}"
