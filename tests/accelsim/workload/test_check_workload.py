"""The checker finds each kind of contradiction in an otherwise right workload."""

from dataclasses import replace

import pytest

from accelsim.errors import AccelsimError
from accelsim.workload import Gemm, Op, OpKind, Role, Tensor, Window, Workload, check_workload


def tensor(name, shape, role=Role.ACTIVATION, dtype="int8"):
    return name, Tensor(name, shape, dtype, role)


CONV = Op(
    "conv", OpKind.CONV, ("x",), "c", "w", "b", Gemm(16, 18, 3),
    Window(1, 2, 4, 4, 3, 4, 4, 3, 3, pads=(1, 1, 1, 1)), 48,
)  # fmt: skip
RELU = Op("relu", OpKind.RELU, ("c",), "y", vector_ops=48)
GOOD = Workload(
    "good",
    dict(
        [
            tensor("x", (1, 2, 4, 4), Role.INPUT),
            tensor("w", (3, 2, 3, 3), Role.WEIGHT),
            tensor("b", (3,), Role.BIAS, "int32"),
            tensor("c", (1, 3, 4, 4)),
            tensor("y", (1, 3, 4, 4), Role.OUTPUT),
        ]
    ),
    (CONV, RELU),
    ("x",),
    ("y",),
    aliases={"v": "c"},
)


def test_good_workload_passes():
    check_workload(GOOD)


def with_conv(**changes):
    return replace(GOOD, ops=(replace(CONV, **changes), RELU))


def with_tensor(name, **changes):
    return replace(GOOD, tensors={**GOOD.tensors, name: replace(GOOD.tensors[name], **changes)})


@pytest.mark.parametrize(
    ("workload", "text"),
    [
        (replace(GOOD, ops=(RELU, CONV)), "before it is made"),
        (replace(GOOD, ops=(CONV, replace(RELU, output="c"))), "output tensor 'c'"),
        (replace(GOOD, ops=(CONV, replace(RELU, name="conv"))), "operator 'conv' appears 2"),
        (replace(GOOD, outputs=("z",)), "'z' is used but not declared"),
        (replace(GOOD, inputs=()), "before it is made"),
        (replace(GOOD, aliases={"v": "gone"}), "no tensor"),
        (replace(GOOD, aliases={"c": "y"}), "both a tensor and an alias"),
        (with_tensor("y", role=Role.ACTIVATION), "has the role"),
        (with_tensor("w", role=Role.ACTIVATION), "has the role"),
        (with_tensor("x", dtype="int3"), "unknown type"),
        (with_tensor("b", shape=(0,)), "has the shape"),
        (with_tensor("w", shape=(3, 2, 3, 1)), "weight of 18 elements"),
        (with_tensor("x", shape=(1, 2, 4, 5)), "input of 40 elements"),
        (with_tensor("c", shape=(1, 3, 4, 5)), "output of 60 elements"),
        (with_conv(gemm=Gemm(16, 9, 3)), "weight of 54 elements, product needs 27"),
        (with_conv(gemm=Gemm(16, 18, 3, 2)), "product of 96"),
        (with_conv(gemm=None), "do not go together"),
        (with_conv(inputs=("x", "x")), "lists an input twice"),
        (with_conv(inputs=()), "reads nothing"),
        (with_conv(vector_ops=0), "no work for the vector unit"),
        (with_conv(window=replace(CONV.window, pads=(0, 1, 0, 1))), "positions along axis 0"),
    ],
)
def test_contradictions_are_found(workload, text):
    with pytest.raises(AccelsimError) as caught:
        check_workload(workload)
    assert all(m.code == "W190" for m in caught.value.mistakes)
    assert text in str(caught.value)


def matmul(k, left, right, gemm):
    tensors = dict(
        [
            tensor("a", left, Role.INPUT),
            tensor("b", right, Role.INPUT),
            tensor("y", (gemm.groups, gemm.m, gemm.n), Role.OUTPUT),
        ]
    )
    op = Op("mm", OpKind.MATMUL, ("a", "b"), "y", gemm=replace(gemm, k=k), vector_ops=1)
    return Workload("mm", tensors, (op,), ("a", "b"), ("y",))


def test_product_of_two_activations_is_counted_from_sizes():
    check_workload(matmul(5, (2, 3, 5), (2, 5, 4), Gemm(3, 5, 4, 2)))
    check_workload(matmul(5, (3, 5), (2, 5, 4), Gemm(3, 5, 4, 2)))  # one left operand for both
    with pytest.raises(AccelsimError, match="multiply-accumulates"):
        check_workload(matmul(4, (2, 3, 5), (2, 5, 4), Gemm(3, 4, 4, 2)))
