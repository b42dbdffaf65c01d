"""Operators that read parts: the mapping moves what they pick, no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import AccelsimError
from accelsim.mapping.layout import constants_of
from accelsim.mapping.vector_tiles import tile_kinds, vector_grain, vector_input_bytes, vector_tiles
from accelsim.plan import Tiling
from accelsim.workload import Op, OpKind, Role, Tensor, Workload, check_workload


def workload(source, table, output, **changes):
    """ids and a table of ``table`` elements picked into ``output`` ones."""
    tensors = {
        "x": Tensor("x", (source,), "int32", Role.INPUT),
        "t": Tensor("t", (table,), "int8", Role.WEIGHT),
        "y": Tensor("y", (output,), "int8", Role.OUTPUT),
    }
    op = Op("pick", OpKind.GATHER, ("x",), "y", "t", vector_ops=output, picks=True)
    return Workload("w", tensors, (Op(**{**op.__dict__, **changes}),), ("x",), ("y",))


@given(st.integers(1, 50), st.integers(1, 500), st.integers(1, 60), st.integers(1, 20))
def test_tiles_read_in_all_what_is_picked(source, table, output, size):
    net = workload(source, table, output)
    check_workload(net)
    (op,) = net.ops
    target = net.tensors["y"]
    tiles = list(vector_tiles(op, target, Tiling(size, 1, 1)))
    for name in ("x", "t"):
        read = sum(vector_input_bytes(op, net.tensors[name], target, tile) for tile in tiles)
        assert read == net.read_bytes(op, name) <= net.tensors[name].bytes
    assert tile_kinds(op, net, Tiling(size, 1, 1)).tiles == len(tiles)
    ((_, tiled),) = constants_of(op, net)
    assert tiled == (table >= output)


def test_a_whole_table_is_read_by_others():
    net = workload(4, 100, 10, picks=False, kind=OpKind.ADD)
    (op,) = net.ops
    assert net.read_bytes(op, "t") == 100
    assert net.least_read_bytes == {"x": 16, "t": 100}
    assert constants_of(op, net)[0][1] is False


def test_a_norm_is_tiled_in_whole_last_axes():
    tensor = Tensor("y", (3, 5, 7), "int8", Role.OUTPUT)
    grains = {
        kind: vector_grain(Op("o", kind, ("x",), "y"), tensor)
        for kind in (OpKind.LAYER_NORM, OpKind.SOFTMAX, OpKind.ADD)
    }
    assert grains == {OpKind.LAYER_NORM: 7, OpKind.SOFTMAX: 7, OpKind.ADD: 1}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"t": ("t[0]",)}, "both a tensor and cut into parts"),
        ({"big": ("gone",)}, "'big' is cut into 'gone', which is no tensor"),
    ],
)
def test_parts_that_cannot_be(parts, text):
    net = workload(4, 100, 10)
    with pytest.raises(AccelsimError) as caught:
        check_workload(Workload(**{**net.__dict__, "parts": parts}))
    assert text in str(caught.value)
