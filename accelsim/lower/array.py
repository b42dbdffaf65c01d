"""The tile loop of an array operator as commands.

Per tile: fill the weight (and bias) buffer if its tile changed, fill the input buffer if the input
streams and its tile changed, run the array, and after the last reduction tile let the vector unit
drain the accumulators into the output. Loads wait for the last reader of their slot, array commands
for the vector command that drained their accumulator half, vector commands for the store of their
slot.

Without a cache operands are loaded for every tile, and the bias for every output tile.

Loops inside the one over k (:mod:`accelsim.mapping.orders`) keep the sums of several output tiles,
a *set*, in one half of the accumulators. The first array command of a set waits for the last drain
of the set before the previous one.

Scratchpad reads of an array command are counted at the array's edge (im2col, so a pixel is read
once per window it is in): see ``moves`` of each dataflow; the bias initialises the accumulators in
the first reduction tile. Partial sums beyond the first fold are read from and written to the
accumulators; reading back those of an earlier tile adds one read per sum. Partial sums of one set
(of one output tile, where k is innermost) are one value, written when its first reduction tile
starts; later ones update it in place. So a sum of a set counts as live from the first array command
of the set to its last drain, which errs on the safe side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from accelsim.lower.builder import CLEAR, FRESH, ProgramBuilder, Recipe, Transfer
from accelsim.lower.nest import HALVES, ArrayShape, Roles
from accelsim.lower.streams import Stream
from accelsim.mapping.orders import live_sums, loops_of
from accelsim.mapping.runs import Extent, Runs, tile_count, without_last
from accelsim.mapping.tiles import ArrayOp, Block, element_bytes
from accelsim.program import Touch, Work
from accelsim.taskgraph import TaskKind

BEGUN = -2
"""A flag: first reduction tile of a set of output tiles whose first array command is issued."""


def emit_array(
    builder: ProgramBuilder,
    operands: ArrayOp,
    shape: ArrayShape,
    roles: Roles,
    order: str,
    *,
    early: bool,
) -> None:
    """Issue the commands of one run of an operator. ``early``: its first load of constants may
    come before the step begins, so it waits for nothing here."""
    loop = _Loop(builder, operands, shape, roles, early=early)
    loop.run(order)


class _Loop:
    """The loop nest: groups, then n, m and k in the tiling's order."""

    def __init__(
        self,
        builder: ProgramBuilder,
        operands: ArrayOp,
        shape: ArrayShape,
        roles: Roles,
        *,
        early: bool,
    ) -> None:
        self._builder, self._operands, self._roles = builder, operands, roles
        self._nest, self._early = shape.nest, early

        def stream(slots: tuple[int, ...], queue: int) -> Stream | None:
            return Stream(builder, len(slots), queue) if slots else None

        self._a = stream(shape.a, builder.array_queue)
        self._b = stream(shape.b, builder.array_queue)
        self._bias = stream(shape.bias, builder.array_queue)
        self._out = stream(shape.out, builder.store_queue)
        self._halves = Stream(builder, HALVES, builder.vector_queue)
        # Flags: the buffer does not hold the current tile (always down without a buffer); this is
        # a first reduction tile (FRESH: the first array command of its set); then what earlier
        # tiles left of an element operation, should there be no whole number of them per output.
        self._stale_a = builder.cell(FRESH if self._a else CLEAR)
        self._stale_b = builder.cell(FRESH if self._b else CLEAR)
        self._stale_bias = builder.cell(FRESH if self._bias else CLEAR)
        self._first = builder.cell(CLEAR)
        self._rest = builder.cell(CLEAR)
        self._outputs = operands.gemm.m * operands.gemm.n * operands.gemm.groups
        self._a_element = element_bytes(operands.a)
        self._m: Extent = (0, 0)
        self._k: Extent = (0, 0)
        self._block: Extent = (0, 0)
        self._blocks: Runs[Extent] = ()
        self._loops = ""
        self._completes = False
        """The current reduction tile is the last one, of a loop over k that is not innermost."""
        self._loads: dict[tuple[Extent, Extent, bool, bool], Transfer] = {}
        self._inputs: dict[tuple[Extent, Extent, Extent], Transfer] = {}
        self._tiles: dict[tuple[Extent, Extent, Extent, int], Recipe] = {}
        self._drains: dict[tuple[Extent, Extent, int], tuple[Recipe, Transfer | None]] = {}

    def run(self, order: str) -> None:
        """Everything, in order. A buffer is filled anew when an index changes that its tile
        depends on: a loop of one iteration changes none."""
        a = [self._stale_a] if self._a else []
        b = [self._stale_b] if self._b else []
        bias = [self._stale_bias] if self._bias else []
        nest = self._nest
        self._on_m = a if nest.pixel_tiles > 1 else []
        self._on_k = a + b if nest.reduction_tiles > 1 else []
        self._on_tile = [] if self._builder.timing.reuses else a + b + bias
        several = sum(count for count, _ in nest.groups) > 1
        for count, blocks in nest.groups:
            self._blocks, per_run = blocks, tile_count(blocks)
            self._on_group = a + b + bias if several else []
            self._on_block = b + bias if per_run > 1 else []
            self._loops = loops_of(order, per_run, nest.pixel_tiles, nest.reduction_tiles)
            self._builder.repeat(count, self._group)

    def _group(self) -> None:
        self._raise(self._on_group)
        self._inside(self._loops)

    def _inside(self, loops: str) -> None:
        """The loops that are left, outer to inner."""
        if not loops:
            self._tile()
        elif loops[0] == "k":
            self._reduce(loops[1:])
        elif loops[0] == "n":
            self._walk(self._blocks, partial(self._channels, loops[1:]))
        else:
            self._walk(self._nest.pixels, partial(self._pixels, loops[1:]))

    def _channels(self, inside: str, block: Extent) -> None:
        self._block = block
        self._raise(self._on_block)
        self._inside(inside)

    def _pixels(self, inside: str, m: Extent) -> None:
        self._m = m
        self._raise(self._on_m)
        self._inside(inside)

    def _reduce(self, inside: str) -> None:
        """All reduction tiles of one output tile, or of all that the loops ``inside`` walk, and
        their way out."""
        self._builder.cells[self._first] = FRESH
        if not inside:
            self._walk(self._nest.reductions, partial(self._reduction, ""))
            self._drain()
            return
        before, last = without_last(self._nest.reductions)
        self._walk(before, partial(self._reduction, inside))
        self._completes = True
        self._reduction(inside, last)
        self._completes = False

    def _reduction(self, inside: str, k: Extent) -> None:
        self._k = k
        self._raise(self._on_k)
        self._inside(inside)
        self._builder.cells[self._first] = CLEAR

    def _walk(self, runs: Runs[Extent], body: Callable[[Extent], None]) -> None:
        repeat = self._builder.repeat
        for run in runs:
            if run.leaf is not None:
                repeat(run.count, partial(body, run.leaf))
            else:
                repeat(run.count, partial(self._walk, run.inner, body))

    def _raise(self, flags: list[int]) -> None:
        for cell in flags:
            self._builder.cells[cell] = FRESH

    def _tile(self) -> None:
        """Loads that the tile needs, and its array command."""
        self._raise(self._on_tile)
        cells = self._builder.cells
        if cells[self._stale_b] or (cells[self._stale_bias] and cells[self._first]):
            self._load_constants()
        if cells[self._stale_a]:
            self._load_input()
        self._compute()
        if self._completes:
            self._drain()

    def _load_constants(self) -> None:
        """Weights and, with the first weights of an output channel block, its bias; a second
        operand that is no constant comes on its own."""
        cells, constant = self._builder.cells, self._operands.constant
        b = self._b if cells[self._stale_b] else None
        bias = self._bias if cells[self._stale_bias] and cells[self._first] else None
        cells[self._stale_b] = CLEAR
        if bias is not None:
            cells[self._stale_bias] = CLEAR
        if b is not None and bias is not None and not constant:
            self._load(b, None)
            b = None
        self._load(b, bias)

    def _load(self, b: Stream | None, bias: Stream | None) -> None:
        """One load into the next slots of the streams that are given."""
        builder, user, fresh = self._builder, CLEAR, False
        early = self._early and b is not None and b.untouched
        for stream in (b, bias):
            if stream is not None:
                last = stream.advance()
                user, fresh = max(user, last), fresh or stream.fresh(last)
        key = (self._k, self._block, b is not None, bias is not None)
        transfer = self._loads.get(key)
        if transfer is None:
            transfer = self._loads[key] = self._loading(b=b is not None, bias=bias is not None)
        if early:
            user, fresh = CLEAR, False
        builder.load(transfer, fresh=fresh, array=user)

    def _loading(self, *, b: bool, bias: bool) -> Transfer:
        """Recipe of a load of weights (or a second activation), a bias, or both."""
        operands, roles, block = self._operands, self._roles, self._shape
        writes, homes = [], []
        if b:
            writes.append(Touch(roles.b, operands.b_bytes((0, self._k[0]), block), fresh=True))
            homes.append(roles.homes["b"])
        if bias:
            writes.append(Touch(roles.bias, operands.bias_bytes(block), fresh=True))
            homes.append(roles.homes["bias"])
        tensor = operands.b if b or operands.bias is None else operands.bias
        constant = operands.constant or not b
        kind = TaskKind.LOAD_WEIGHT if constant else TaskKind.LOAD_INPUT
        return self._builder.loading(
            kind, tuple(writes), tensor.name, constant=constant, homes=homes
        )

    def _load_input(self) -> None:
        """The streamed input tile, unless all of it lies in the padding."""
        builder, operands, a = self._builder, self._operands, self._a
        builder.cells[self._stale_a] = CLEAR
        size = self._a_bytes()
        if size == 0 or a is None:
            return
        user = a.advance()
        key = (self._m, self._k, self._block)
        transfer = self._inputs.get(key)
        if transfer is None:
            writes = (Touch(self._roles.a, size, fresh=True),)
            homes = (self._roles.homes["a"],)
            transfer = builder.loading(TaskKind.LOAD_INPUT, writes, operands.a.name, homes=homes)
            self._inputs[key] = transfer
        builder.load(transfer, fresh=a.fresh(user), array=max(0, user))

    def _compute(self) -> None:
        """The array command, after its operands and what drained its accumulator half."""
        builder, cells = self._builder, self._builder.cells
        first, drained = cells[self._first], CLEAR
        if first == FRESH:
            cells[self._first] = BEGUN
            drained = self._halves.advance()
        key = (self._m, self._k, self._block, first)
        recipe = self._tiles.get(key)
        if recipe is None:
            recipe = self._tiles[key] = self._array_recipe(first)
        done = builder.array(recipe, vector=max(0, drained))
        for slots in (self._a, self._b, self._bias):
            if slots is not None:
                slots.used_by(done)

    def _array_recipe(self, first: int) -> Recipe:
        operands, roles, block = self._operands, self._roles, self._shape
        (m, _), (k, _) = self._m, self._k
        sums = Touch(roles.sums, m * block.channels * self._builder.timing.sum_bytes)
        # No more than there is, should a batched product share one operand.
        a_bytes = min(self._a_bytes(), operands.a.bytes)
        reads = [Touch(roles.a, a_bytes)] if a_bytes else []
        reads.append(Touch(roles.b, min(operands.b_bytes((0, k), block), operands.b.bytes)))
        if first and operands.bias is not None:
            reads.append(Touch(roles.bias, operands.bias_bytes(block)))
        if not first:
            reads.append(sums)
        work = self._builder.timing.array(operands.shape(m, block, k, first=bool(first)))
        return Recipe(
            work.cycles,
            Work(
                TaskKind.ARRAY, tuple(reads), self._begun() if first == FRESH else (),
                sram_read_bytes=work.sram_read_bytes,
                accumulator_read_bytes=work.accumulator_read_bytes,
                accumulator_write_bytes=work.accumulator_write_bytes,
                macs=m * block.channels * operands.slots(k),
                weight_read_bytes=work.weight_read_bytes, dataflow=operands.dataflow,
            ),
        )  # fmt: skip

    def _begun(self) -> tuple[Touch, ...]:
        """The sums of a set that begins with the current tile."""
        sums = live_sums(
            self._operands.gemm, self._m[0], self._shape.channels, self._loops,
            self._nest.reduction_tiles,
        )  # fmt: skip
        size = sums * self._builder.timing.sum_bytes
        return (Touch(self._roles.sums, size, fresh=True, from_start=True),)

    def _drain(self) -> None:
        """The vector command that requantises an output tile, and its store if the output
        streams."""
        builder, out = self._builder, self._out
        key = (self._m, self._block, self._element_ops())
        recipes = self._drains.get(key)
        if recipes is None:
            recipes = self._drains[key] = self._drain_recipes(key[2])
        drain, store = recipes
        user = out.advance() if out is not None else CLEAR
        self._halves.used_by(builder.vector(drain, store=max(0, user), array=True))
        if out is not None and store is not None:
            out.used_by(builder.store(store))

    def _element_ops(self) -> int:
        """Element operations of the output tile: its share of the operator's."""
        cells, sums = self._builder.cells, self._m[0] * self._block[0] * self._block[1]
        amount = self._operands.op.vector_ops * sums - cells[self._rest]
        cells[self._rest] = -(amount % self._outputs)
        return amount // self._outputs

    def _drain_recipes(self, element_ops: int) -> tuple[Recipe, Transfer | None]:
        operands, roles, timing = self._operands, self._roles, self._builder.timing
        m, block = self._m[0], self._shape
        sums, size = m * block.channels, operands.out_bytes((0, m), block)
        held = sums * timing.sum_bytes
        element_ops = timing.passes(element_ops, sums)
        made = Touch(roles.out, size, fresh=self._out is not None)
        work = Work(
            TaskKind.VECTOR, (Touch(roles.sums, held),), (made,), accumulator_read_bytes=held,
            sram_write_bytes=size, vector_ops=element_ops,
        )  # fmt: skip
        drain = Recipe(timing.epilogue(operands.op.kind, element_ops, size, sums), work)
        if self._out is None:
            return drain, None
        read, name = Touch(roles.out, size), operands.output.name
        home = roles.homes["out"]
        return drain, self._builder.storing(TaskKind.STORE_OUTPUT, read, name, home=home)

    @property
    def _shape(self) -> Block:
        """The current channel block."""
        groups, channels = self._block
        return Block(0, groups, 0, channels)

    def _a_bytes(self) -> int:
        """Bytes of A in the current tile."""
        return self._m[1] * self._k[1] * self._block[0] * self._a_element
