"""Small networks and accelerators built by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

from accelsim.arch.parts import (
    Accelerator,
    AccumulatorSram,
    Dma,
    Dram,
    Scratchpad,
    SystolicArray,
    VectorUnit,
)
from accelsim.lower import plan_traffic
from accelsim.mapping import Timing, candidates
from accelsim.mapping.array import loop_nest, realise
from accelsim.mapping.tile_counts import block_tiles, pixel_tiles, reduction_tiles
from accelsim.mapping.tiles import array_op
from accelsim.plan import Candidate, MemoryPlan, Step, Tiling
from accelsim.workload.graph import Gemm, Op, OpKind, Role, Tensor, Window, Workload


def edge_npu(**changes: object) -> Accelerator:
    machine = Accelerator(
        name="edge",
        clock_hz=500_000_000,
        technology_nm=45,
        array=SystolicArray(16, 16),
        vector=VectorUnit(16, 8),
        scratchpad=Scratchpad(128 * 1024),
        accumulators=AccumulatorSram(32 * 1024),
        dram=Dram("LPDDR4", 3_200_000_000, 50),
        dma=Dma(2, 16),
        leakage_mw_per_mm2=Fraction(10),
        control_flipflops={"array": 512, "dma": 1024, "core": 4096},
    )
    return replace(machine, **changes)  # type: ignore[arg-type]


def conv_op(
    name: str,
    source: str,
    target: str,
    c_in: int,
    size: int,
    c_out: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    pad: int | None = None,
    batch: int = 1,
    dilation: int = 1,
) -> tuple[Op, list[Tensor]]:
    pad = kernel // 2 if pad is None else pad
    out = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    window = Window(
        batch, c_in, size, size, c_out, out, out, kernel, kernel, (stride, stride),
        (dilation, dilation), (pad,) * 4, groups,
    )  # fmt: skip
    gemm = Gemm(batch * out * out, c_in // groups * kernel * kernel, c_out // groups, groups)
    tensors = [
        Tensor(f"{name}.w", (c_out, c_in // groups, kernel, kernel), "int8", Role.WEIGHT),
        Tensor(f"{name}.b", (c_out,), "int32", Role.BIAS),
        Tensor(target, (batch, c_out, out, out), "int8", Role.ACTIVATION),
    ]
    op = Op(
        name, OpKind.CONV, (source,), target, f"{name}.w", f"{name}.b", gemm, window,
        vector_ops=batch * c_out * out * out,
    )  # fmt: skip
    return op, tensors


def workload_of(name: str, source: Tensor, parts: list[tuple[Op, list[Tensor]]]) -> Workload:
    tensors = {source.name: source}
    for _, made in parts:
        tensors.update({tensor.name: tensor for tensor in made})
    ops = tuple(op for op, _ in parts)
    return Workload(name, tensors, ops, (source.name,), (ops[-1].output,))


def image(channels: int, size: int, batch: int = 1) -> Tensor:
    return Tensor("x", (batch, channels, size, size), "int8", Role.INPUT)


def one_conv(**geometry: int) -> Workload:
    values = {"c_in": 8, "size": 12, "c_out": 24, **geometry}
    part = conv_op("conv", "x", "y", **values)
    return workload_of("one", image(values["c_in"], values["size"], values.get("batch", 1)), [part])


def add_op(
    name: str, a: str, b: str, target: str, shape: tuple[int, ...]
) -> tuple[Op, list[Tensor]]:
    tensor = Tensor(target, shape, "int8", Role.ACTIVATION)
    return Op(name, OpKind.ADD, (a, b), target, vector_ops=tensor.elements), [tensor]


def resnet20() -> Workload:
    parts = [conv_op("stem", "x", "s0", 3, 32, 16)]
    last, width, size, index = "s0", 16, 32, 0
    for stage in range(3):
        for block in range(3):
            stride = 2 if stage > 0 and block == 0 else 1
            out = width * stride
            index += 1
            parts.append(conv_op(f"c{index}a", last, f"t{index}a", width, size, out, stride=stride))
            size //= stride
            parts.append(conv_op(f"c{index}b", f"t{index}a", f"t{index}b", out, size, out))
            short = last
            if stride == 2:
                short = f"short{index}"
                tensor = Tensor(short, (1, out, size, size), "int8", Role.ACTIVATION)
                parts.append(
                    (Op(short, OpKind.SLICE, (last,), short, vector_ops=tensor.elements), [tensor])
                )
            parts.append(
                add_op(f"a{index}", f"t{index}b", short, f"s{index}", (1, out, size, size))
            )
            last, width = f"s{index}", out
    pooled = Tensor("pool", (1, 64), "int8", Role.ACTIVATION)
    parts.append(
        (Op("gap", OpKind.GLOBAL_AVERAGE_POOL, (last,), "pool", vector_ops=64 * 64), [pooled])
    )
    fc = [
        Tensor("fc.w", (10, 64), "int8", Role.WEIGHT),
        Tensor("fc.b", (10,), "int32", Role.BIAS),
        Tensor("logits", (1, 10), "int8", Role.OUTPUT),
    ]
    op = Op(
        "fc", OpKind.MATMUL, ("pool",), "logits", "fc.w", "fc.b", Gemm(1, 64, 10), vector_ops=10
    )
    parts.append((op, fc))
    return workload_of("resnet20", image(3, 32), parts)


def candidate_of(
    op: Op,
    workload: Workload,
    machine: Accelerator,
    tiling: Tiling,
    streamed: frozenset[str] = frozenset(),
    hidden: int | None = 0,
) -> Candidate:
    """An array operator's candidate with a tiling of one's choice."""
    operands = array_op(op, workload, dataflow=tiling.dataflow)
    timing = Timing(machine)
    nest = loop_nest(
        operands,
        pixel_tiles(operands, tiling.m),
        block_tiles(operands, tiling.n),
        reduction_tiles(operands, tiling.k),
        tiling.order,
        timing,
    )
    return realise(nest, operands, streamed, "hand", machine, timing, hidden=hidden)


REGION = 1 << 20
"""Spacing of addresses in :func:`random_plan`: larger than any sample tensor or workspace."""


def random_plan(workload: Workload, accelerator: Accelerator, seed: int) -> MemoryPlan:
    """A correct plan drawn at random: any candidate per operator, tensors kept or reloaded.

    Every tensor and every workspace has a region of its own, so that only lifetimes, not
    placement, are at stake; the scratchpad of the plan is therefore large.
    """
    rng = random.Random(seed)
    places = {name: REGION * (2 + i) for i, name in enumerate(workload.tensors)}
    in_dram = set(workload.inputs)
    kept: set[str] = set()
    steps = []
    for index, op in enumerate(workload.ops):
        while True:
            candidate = rng.choice(candidates(op, workload, accelerator))
            missing = [name for name in op.inputs if name not in kept]
            if all(name in in_dram for name in missing):
                break
        loads = tuple(n for n in missing if n not in candidate.streamed)
        resident = [n for n in (*op.inputs, op.output) if n not in candidate.streamed]
        streamed = {n for n in op.inputs if n in candidate.streamed} - in_dram
        if streamed:  # a kept tensor without a DRAM copy cannot stream: use what is resident
            pools = candidates(op, workload, accelerator)
            candidate = next(c for c in pools if not c.streamed & set(op.inputs))
            loads = tuple(missing)
            resident = [n for n in (*op.inputs, op.output) if n not in candidate.streamed]
        # What stays for later keeps its bytes during this step too.
        kept |= set(resident)
        stores = []
        if op.output in candidate.streamed:
            in_dram.add(op.output)
        elif rng.random() < 0.5 or op.output in workload.outputs:
            stores.append(op.output)
            in_dram.add(op.output)
        addresses = {name: places[name] for name in workload.tensors if name in kept}
        steps.append(
            Step(op.name, candidate, loads, tuple(stores), addresses, REGION * (index % 2))
        )
        for name in [n for n in workload.tensors if n in kept and n in in_dram]:
            if rng.random() < 0.5:
                kept.discard(name)
    plan = MemoryPlan(tuple(steps), 0, 0, 0, 0, 0, 0, "latency", False, "feasible", "random")
    return replace(plan, traffic_bytes=sum(plan_traffic(workload, plan)))


def random_network(seed: int) -> Workload:
    """A few random convolutions with a residual addition, a pool and a product at the end."""
    rng = random.Random(seed)
    channels, size = rng.choice([3, 8, 17]), rng.choice([7, 9, 12])
    source = image(channels, size)
    width = rng.choice([8, 20, 33])
    kernel, stride = rng.choice([1, 3, 5]), rng.choice([1, 2])
    dilation = rng.choice([1, 2]) if size > kernel * 2 else 1
    parts = [conv_op("c0", "x", "t0", channels, size, width, kernel, stride, dilation=dilation)]
    assert parts[0][0].window is not None
    size = parts[0][0].window.out_height
    groups = rng.choice([1, width])
    parts.append(conv_op("c1", "t0", "t1", width, size, width, 3, 1, groups))
    parts.append(add_op("add", "t0", "t1", "t2", (1, width, size, size)))
    window = Window(1, width, size, size, width, size, size, 3, 3, pads=(1, 1, 1, 1))
    pooled = Tensor("t3", (1, width, size, size), "int8", Role.ACTIVATION)
    pool = Op("pool", OpKind.MAX_POOL, ("t2",), "t3", window=window, vector_ops=9 * pooled.elements)
    parts.append((pool, [pooled]))
    constant = Tensor("scale", (width,), "int8", Role.WEIGHT)
    scaled = Tensor("t4", (1, width, size, size), "int8", Role.ACTIVATION)
    scale = Op("mul", OpKind.MUL, ("t3",), "t4", "scale", vector_ops=scaled.elements)
    parts.append((scale, [constant, scaled]))
    product = Tensor("t5", (width, width), "int8", Role.ACTIVATION)
    gemm = Gemm(width, size * size, width)
    parts.append(
        (
            Op("qk", OpKind.MATMUL, ("t4", "t2"), "t5", gemm=gemm, vector_ops=width * width),
            [product],
        )
    )
    final = Tensor("y", (width, width), "int8", Role.OUTPUT)
    parts.append((Op("soft", OpKind.SOFTMAX, ("t5",), "y", vector_ops=4 * width * width), [final]))
    return workload_of(f"random{seed}", source, parts)
