"""Graphs that several tests share."""

from __future__ import annotations

from itertools import chain, combinations
from random import Random

from ilp import Mode, Op, Problem


def graph(sizes, ops, inputs=(), capacity=0, **settings):
    """A problem from (inputs, outputs) pairs of tensor names."""
    made = tuple(Op(i, tuple(a), tuple(b)) for i, (a, b) in enumerate(ops))
    return Problem(dict(sizes), made, tuple(inputs), (), capacity, **settings)


CHAIN = ({"a": 4, "b": 4, "c": 4}, [("", "a"), ("a", "b"), ("b", "c")], "")
DIAMOND = ({"x": 4, "a": 4, "b": 4, "y": 2}, [("x", "a"), ("a", "b"), ("bx", "y")], "x")
SIAMESE = (
    {"s": 1, "a": 10, "c": 1, "b": 10, "d": 1, "y": 1},
    [("s", "a"), ("s", "b"), ("a", "c"), ("b", "d"), ("cd", "y")],
    "s",
)
EIGHT = (
    {str(i): size for i, size in enumerate([1, 9, 1, 8, 1, 7, 8, 7])},
    [("", str(i)) for i in range(8)] + [(str(i), "") for i in range(8)],
    "",
)


def resnet20(capacity=131072, *, variants=5, order="free", scale=1, seed=0):
    """ResNet-20 on 32 x 32 images, int8: convolutions with streamed and resident modes."""
    random = Random(seed)
    sizes = {"image": 3 * 1024 * scale}
    ops = []

    def add(name, inputs, size, weights):
        sizes[name] = size * scale
        ops.append(Op(name, inputs, (name,), modes(name, inputs, size * scale, weights)))
        return name

    def modes(name, inputs, size, weights):
        result = []
        touched = (*inputs, name)
        base = 2000 + 8 * weights + size
        subsets = chain.from_iterable(combinations(touched, n) for n in range(len(touched) + 1))
        for subset in subsets:
            moved = sum(sizes[t] if t != name else size for t in subset)
            for v in range(variants):
                workspace = weights // (v + 1) + 1024 * len(subset) + 16 * random.randrange(64)
                cost = base + moved // 6 + v * 700 + random.randrange(500)
                early = weights // (v + 1) // 2
                label = f"{'+'.join(subset) or 'resident'}/{v}"
                result.append(
                    Mode(label, workspace, min(early, workspace), cost, frozenset(subset))
                )
                late = cost + early // 6
                result.append(Mode(label + "/late", workspace, 0, late, frozenset(subset)))
        return tuple(result)

    last = add("stem", ("image",), 16384, 432)
    for stage, (channels, pixels) in enumerate([(16, 1024), (32, 256), (64, 64)]):
        for block in range(3):
            size = channels * pixels
            weights = channels * channels * 9
            shortcut = last
            if block == 0 and stage:
                shortcut = add(f"short{stage}", (last,), size, channels * channels // 2)
            first = add(f"conv{stage}{block}a", (last,), size, weights)
            second = add(f"conv{stage}{block}b", (first,), size, weights)
            last = add(f"add{stage}{block}", (second, shortcut), size, 0)
    last = add("pool", (last,), 64, 0)
    last = add("fc", (last,), 16, 640)
    return Problem(
        sizes,
        tuple(ops),
        ("image",),
        (last,),
        capacity,
        order=order,
        inputs_clean=True,
        alignment=16,
    )
