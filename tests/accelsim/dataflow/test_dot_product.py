"""The closed form of an array of dot products, beside its registers stepped one by one."""

from __future__ import annotations

import dot_model
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.dataflow import gemm_cycles
from accelsim.dataflow.dot_product import (
    DotArray,
    DotTile,
    blocks,
    conv_cycles,
    conv_moves,
    latency,
    moves,
    register_bits,
    sets,
    spots,
)
from accelsim.errors import AccelsimError

arrays = st.builds(
    lambda rows, channels, positions, burst, set_cycles, depthwise: DotArray(
        rows, channels * positions[0] * positions[1], positions, burst, set_cycles, depthwise
    ),
    st.integers(1, 5), st.integers(1, 4), st.tuples(st.integers(1, 2), st.integers(1, 3)),
    st.integers(1, 4), st.integers(1, 20), st.booleans(),
)  # fmt: skip
tiles = st.builds(
    DotTile,
    height=st.integers(1, 3), width=st.integers(1, 4), filters=st.integers(1, 5),
    channels=st.integers(1, 7), taps=st.integers(1, 5), groups=st.integers(1, 3),
)  # fmt: skip


@given(tile=tiles, array=arrays, seed=st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_closed_form_and_sums_equal_the_stepped_registers(tile, array, seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(-99, 99, (tile.groups, tile.height, tile.width, tile.taps, tile.channels))
    b = rng.integers(-99, 99, (tile.groups, tile.taps, tile.channels, tile.filters))
    sums, cycles = dot_model.run(a, b, tile, array)
    assert (sums == np.einsum("ghwtc,gtcf->ghwf", a, b)).all()
    assert cycles == conv_cycles(tile, array) - _unused_beats(tile, array)


def _unused_beats(tile, array):
    """Cycles of the last burst that has no weights any more: the model's last sum is earlier."""
    last = dot_model._terms(tile, array)[-1]
    return array.burst - len(last)


@given(tile=tiles, array=arrays)
def test_never_faster_than_all_multipliers_busy(tile, array):
    macs = (
        tile.height * tile.width * tile.filters * tile.channels * tile.taps * tile.groups
    )  # fmt: skip
    assert conv_cycles(tile, array) * array.rows * array.cols >= macs
    moved = conv_moves(tile, array)
    assert moved.b == tile.filters * tile.channels * tile.taps * tile.groups
    outputs = tile.height * tile.width * tile.filters * tile.groups
    assert moved.sums_written - moved.sums_read == outputs


@given(
    m=st.integers(1, 99), n=st.integers(1, 99), k=st.integers(1, 99), rows=st.integers(1, 16),
    cols=st.integers(1, 16), groups=st.integers(1, 4),
)  # fmt: skip
def test_a_plain_product_is_a_convolution_with_one_tap(m, n, k, rows, cols, groups):
    cycles = gemm_cycles(m, n, k, rows, cols, "dot", "full", groups=groups)
    array = DotArray(rows, cols, depthwise=False)
    assert cycles == conv_cycles(DotTile(1, m, n, k, groups=groups), array)
    assert moves(m, n, k, rows, cols) == conv_moves(DotTile(1, m, n, k), array)


def test_nvdla_by_hand():
    """64 lanes, 32 channels: 3 x 3 x 128 -> 256 channels on 14 x 14 outputs is 9 taps x 2 groups of
    channels x 8 blocks of 196 positions, then 8 cycles through product, 6 levels, accumulator."""
    tile, array = DotTile(14, 14, 256, 128, 9), DotArray(64, 32)
    assert conv_cycles(tile, array) == 9 * 2 * 8 * 196 + 8
    assert latency(64) == 8


def test_ethos_u55_by_hand():
    """256 MACs: a microblock of 2 x 2 positions and 8 channels, sets of 4 x 8 weights each."""
    array = DotArray(8, 32, (2, 2), burst=4, set_cycles=32)
    deep = DotTile(16, 16, 16, 64, 9)  # 64 channels are two sets of 32
    assert (spots(deep, array), sets(deep, array), blocks(deep, array)) == (64, 18, 2)
    assert conv_cycles(deep, array) == 18 * 2 * 4 * 64 + latency(8)
    first = DotTile(16, 16, 16, 3, 9)  # three channels: four taps per set
    assert sets(first, array) == 3
    depthwise = DotTile(16, 16, 1, 1, 9, groups=16)
    assert (sets(depthwise, array), blocks(depthwise, array)) == (3, 2)
    vector = DotTile(1, 1, 64, 256)  # one position: the units wait for weights
    assert conv_cycles(vector, array) == (8 * 8 - 1) * 32 + 4 + latency(8)


def test_units_without_a_channel_each_take_groups_one_by_one():
    tile = DotTile(8, 8, 1, 1, 9, groups=16)
    assert blocks(tile, DotArray(8, 8, depthwise=False)) == 16
    assert blocks(tile, DotArray(8, 8)) == 2


def test_registers_of_a_multiplier():
    assert register_bits(8, 8, 32, "full") == 2 * 8 + 8 + 16 + 32


@pytest.mark.parametrize("wrong", [(0, 4), (4, 6, (2, 2)), (4, 4, (1, 1), 0), (4, True)])
def test_arrays_that_cannot_be(wrong):
    with pytest.raises(AccelsimError) as caught:
        DotArray(*wrong)
    assert [m.code for m in caught.value.mistakes] == ["M333"]


def test_scalesim_has_no_such_array():
    with pytest.raises(AccelsimError) as caught:
        gemm_cycles(4, 4, 4, 4, 4, "dot", "full", "scalesim")
    assert "M313" in [m.code for m in caught.value.mistakes]
    with pytest.raises(AccelsimError):
        gemm_cycles(4, 4, 4, 4, 4, "dot")  # overlap "none" is not one of its own
