"""Programs for the tests of the simulator: random ones, and pipelines of tiles."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from accelsim.program import Block, Command, Node, Program, Repeat, Work
from accelsim.taskgraph import TaskKind

WORK = Work(TaskKind.ARRAY)
MOST = 1500
"""Commands of a random program, so that the reference engine is done in milliseconds."""

CYCLES = st.one_of(st.sampled_from([0, 0, 1, 2, 3, 5, 7, 10, 10, 20]), st.integers(0, 200))
BACKS = st.sampled_from([1, 1, 1, 2, 2, 3, 4, 8, 20, 60])
COUNTS = st.sampled_from([1, 2, 3, 4, 5, 7, 12, 30])


@st.composite
def commands(draw: st.DrawFn, mine: Sequence[int], queues: int, ports: int) -> Command:
    """One command on one of ``mine``, waiting mostly for those, now and then for any queue."""
    queue = draw(st.sampled_from(list(mine)))
    far = draw(st.integers(0, 9)) == 0
    others = [q for q in (range(queues) if far else mine) if q != queue]
    deps = tuple((q, draw(BACKS)) for q in others if draw(st.booleans()))
    path = tuple(port for port in range(ports) if draw(st.integers(0, 2)) == 0)
    return Command(queue, draw(CYCLES), WORK, deps, path)


@st.composite
def bodies(
    draw: st.DrawFn, mine: Sequence[int], queues: int, ports: int, depth: int
) -> tuple[Node, ...]:
    """Commands and loops, nested up to ``depth`` deep."""
    found: list[Node] = []
    for _ in range(draw(st.integers(1, 4))):
        if depth and draw(st.integers(0, 4)) < 2:
            body = draw(bodies(mine, queues, ports, depth - 1))
            found.append(Repeat(draw(COUNTS), body))
        else:
            found.append(draw(commands(mine, queues, ports)))
    return tuple(found)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Up to four cores of up to three queues on up to three shared ports; a few blocks, of one core
    or of all, some of them several times."""
    cores, per_core = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    queues, ports = cores * per_core, draw(st.integers(0, 3))
    pool: list[tuple[Node, ...]] = []
    blocks: list[Block] = []
    for step in range(draw(st.integers(1, 4))):
        if pool and draw(st.integers(0, 3)) == 0:
            body = draw(st.sampled_from(pool))
        else:
            core = draw(st.integers(0, cores - 1))
            shared = draw(st.integers(0, 4)) == 0
            mine = range(queues) if shared else range(core * per_core, (core + 1) * per_core)
            body = draw(bodies(mine, queues, ports, draw(st.integers(0, 3))))
            pool.append(body)
        if draw(st.integers(0, 2)) == 0:
            body = (Repeat(draw(COUNTS), body),)
        blocks += [Block(f"op{step}", step, body)] * draw(st.sampled_from([1, 1, 1, 2, 5]))
    found = program(blocks, queues, ports)
    while found.commands > MOST:
        blocks = [_shorter(block) for block in blocks]
        if found == program(blocks, queues, ports):
            blocks.pop()
        found = program(blocks, queues, ports)
    return found


@st.composite
def recurring(draw: st.DrawFn) -> Program:
    """A few loops of two queues, each met again and again, nested now and then; between them
    commands of a third queue that wait for somewhere in the loops, or are waited for in them."""
    loops: list[tuple[Node, ...]] = []
    for _ in range(draw(st.integers(1, 2))):
        ahead = draw(st.sampled_from([(), (), ((2, draw(st.integers(1, 6))),)]))
        port = draw(st.sampled_from([(), (0,)]))
        load = Command(0, draw(CYCLES), WORK, ((1, draw(st.integers(1, 3))),), port)
        run = Command(1, draw(CYCLES), WORK, ((0, 1), *ahead))
        body: Node = Repeat(draw(st.integers(5, 40)), (load, run))
        if draw(st.booleans()):
            body = Repeat(draw(st.integers(2, 5)), (load, body))
        loops.append((body,))
    blocks: list[Block] = []
    for step in range(draw(st.integers(2, 9))):
        if draw(st.integers(0, 2)):
            blocks.append(Block("loop", step, draw(st.sampled_from(loops))))
            continue
        awaited, back = draw(st.integers(0, 1)), draw(st.integers(1, 90))
        path = draw(st.sampled_from([(), (0,)]))
        third = Command(2, draw(st.integers(0, 900)), WORK, ((awaited, back),), path)
        blocks.append(Block("third", step, (third,) * draw(st.integers(1, 3))))
    return program(blocks, 3, 1)


def program(blocks: Sequence[Block], queues: int, ports: int) -> Program:
    """The blocks on queues ``q0``, ``q1``, ... and ports ``p0``, ``p1``, ..."""
    names = tuple(f"q{queue}" for queue in range(queues))
    return Program(names, tuple(f"p{port}" for port in range(ports)), tuple(blocks))


def _shorter(block: Block) -> Block:
    """The block with every loop halved."""

    def halved(node: Node) -> Node:
        if isinstance(node, Command):
            return node
        return Repeat(max(1, node.count // 2), tuple(map(halved, node.body)))

    return Block(block.op, block.step, tuple(map(halved, block.body)))


def pipeline(count: int, load: int, compute: int, store: int, buffers: int = 2) -> Program:
    """``count`` tiles through load (q0), compute (q1) and store (q2), so many buffers between each
    two of them; no port is shared."""
    tile = (
        Command(0, load, WORK, ((1, buffers),)),
        Command(1, compute, WORK, ((0, 1), (2, buffers))),
        Command(2, store, WORK, ((1, 1),)),
    )
    return program([Block("op", 0, (Repeat(count, tile),))], 3, 0)


def layer(
    cycles: tuple[int, int, int], counts: tuple[int, int, int], base: int = 0, step: int = 0
) -> Block:
    """Three nested loops on three queues from ``base`` on, loads and stores sharing port 0."""
    load, compute, store = cycles
    dma, out, array = base, base + 1, base + 2
    inner = Repeat(
        counts[0],
        (
            Command(dma, load, WORK, ((array, 2),), (0,)),
            Command(array, compute, WORK, ((dma, 1),)),
        ),
    )
    middle = Repeat(
        counts[1],
        (
            Command(dma, load // 2, WORK, ((array, 1),), (0,)),
            inner,
            Command(array, 5, WORK, ((out, 2),)),
            Command(out, store, WORK, ((array, 1),), (0,)),
        ),
    )
    weights = Command(dma, 10 * load, WORK, ((array, 3),), (0,))
    return Block(f"layer{step}", step, (Repeat(counts[2], (weights, middle)),))
