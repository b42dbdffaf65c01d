"""Small networks and accelerators built by hand."""

from __future__ import annotations

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
