"""Every read finds what it takes: checked on a program, at any size.

In program order a command reads from a value at most as many bytes as were written to it before.
:func:`accelsim.sim.check.check_trace` judges the same by simulated time, command by command.
"""

from __future__ import annotations

from accelsim.program import Block, Command, Node, Program, Touch
from accelsim.sim.check import TraceError

Written = list[int]
"""Per buffer of a block: bytes written to its present value."""


def check_written(program: Program) -> None:
    """Raise :class:`TraceError` with the reads that find fewer bytes than they take.

    Of a loop two iterations are gone through. In the second one a value that an iteration begins is
    as in all later ones, and one that was begun before the loop only gains bytes; so what holds in
    the first two holds in all of them.
    """
    residents: dict[tuple[str, str], int] = {}
    found: list[str] = []
    for block in program.blocks:
        for at in block.starts:
            residents[block.buffers[at].structure, block.buffers[at].tensor] = 0
        keys = [(buffer.structure, buffer.tensor) for buffer in block.buffers]
        kept = [buffer.resident_bytes > 0 for buffer in block.buffers]
        written = [
            residents.get(key, 0) if stays else 0 for key, stays in zip(keys, kept, strict=True)
        ]
        _walk(block, block.body, written, found)
        residents |= {k: n for k, n, stays in zip(keys, written, kept, strict=True) if stays}
    if found:
        raise TraceError(tuple(dict.fromkeys(found)))


def _walk(block: Block, body: tuple[Node, ...], written: Written, found: list[str]) -> None:
    for node in body:
        if isinstance(node, Command):
            for touch in node.work.reads:
                if touch.bytes > written[touch.buffer]:
                    found.append(_missing(block, touch, written[touch.buffer]))
            for touch in node.work.writes:
                before = 0 if touch.fresh and not block.buffers[touch.buffer].resident_bytes else 1
                written[touch.buffer] = before * written[touch.buffer] + touch.bytes
            continue
        _walk(block, node.body, written, found)
        if node.count > 1:
            once = written.copy()
            _walk(block, node.body, written, found)
            for at, (now, then) in enumerate(zip(written, once, strict=True)):
                written[at] += (node.count - 2) * (now - then)


def _missing(block: Block, touch: Touch, there: int) -> str:
    tensor = block.buffers[touch.buffer].tensor
    return f"{block.op}: reads {touch.bytes} bytes of {tensor}, of which {there} have been written"
