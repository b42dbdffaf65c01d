"""One table of element operations, and every reader's counts come from it."""

import pytest

from accelsim.workload import OpKind
from accelsim.workload.vector_work import WORK, Per, epilogue_work, vector_work

ARRAY = {OpKind.CONV, OpKind.MATMUL}


def test_every_vector_kind_has_an_entry_with_its_reason():
    assert {kind.value for kind in OpKind} - ARRAY <= set(WORK)
    assert not {kind.value for kind in ARRAY} & set(WORK)
    for work in WORK.values():
        assert work.count >= 1
        assert len(work.why) > 10


@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        (OpKind.RELU, {"outputs": 10}, 10),
        (OpKind.SOFTMAX, {"outputs": 10}, 40),
        ("layer_norm", {"outputs": 10}, 50),
        ("rms_norm", {"outputs": 10}, 30),
        (OpKind.MAX_POOL, {"outputs": 10, "window": 9}, 90),
        (OpKind.GLOBAL_AVERAGE_POOL, {"outputs": 2, "inputs": 98}, 98),
        (OpKind.REDUCE, {"outputs": 2, "inputs": 98}, 98),
        ("nary", {"outputs": 10, "window": 4}, 30),
        ("nary", {"outputs": 10, "window": 1}, 10),
        ("rotary", {"outputs": 10}, 30),
    ],
)
def test_known_counts(name, arguments, count):
    assert vector_work(name, **arguments) == count


def test_softmax_is_four_passes_over_each_element():
    """Written out: the operations of a plain softmax of n elements, counted one by one."""
    n, operations = 7, 0
    operations += n  # maximum
    operations += n  # exponential of the difference
    operations += n  # sum
    operations += n  # quotient
    assert vector_work(OpKind.SOFTMAX, n) == operations


def test_unknown_names_and_array_operators():
    with pytest.raises(KeyError):
        vector_work("conv", 10)
    assert [epilogue_work(10, stages) for stages in (0, 1, 2)] == [10, 10, 20]
    assert vector_work("resize_taps", 10, window=4) == 40
    assert {work.per for work in WORK.values()} == set(Per)
