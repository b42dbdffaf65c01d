"""Row stationary: closed forms against the stepped array, and Eyeriss as published."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from row_model import convolution, run_layer

from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.row_mapping import (
    best_of_strip,
    buffer_words,
    least_cycles,
    map_convolution,
    refusals,
)
from accelsim.dataflow.row_moves import RowMoves, moves
from accelsim.dataflow.row_stationary import (
    PassTimes,
    RowArray,
    RowStationary,
    active_pes,
    conv_cycles,
    pass_times,
    passes,
    utilisation,
)
from accelsim.errors import AccelsimError, InfeasibleError

EYERISS = RowArray()


@st.composite
def layers(draw):
    """A small convolution, an array, and a mapping that it can run."""

    def pair(low, high):
        return st.tuples(st.integers(low, high), st.integers(low, high))

    groups = draw(st.integers(1, 2))
    shape = {
        "channels": groups * draw(st.integers(1, 4)), "filters": groups * draw(st.integers(1, 4)),
        "size": draw(pair(2, 6)), "kernel": draw(pair(1, 3)), "stride": draw(pair(1, 3)),
        "dilation": draw(pair(1, 2)), "pads": (*draw(pair(0, 2)), *draw(pair(0, 2))),
        "groups": groups, "batch": draw(st.integers(1, 3)),
    }  # fmt: skip
    try:
        conv = ConvShape(**shape)
    except AccelsimError:
        assume(False)
    array = RowArray(
        rows=draw(st.integers(1, 6)), cols=draw(st.integers(1, 5)),
        filter_bus_words=draw(st.integers(1, 4)), ifmap_bus_words=draw(st.integers(1, 3)),
        psum_bus_words=draw(st.integers(1, 4)),
    )  # fmt: skip
    mapping = RowStationary(
        e=draw(st.integers(1, conv.out_height)), p=draw(st.integers(1, 3)),
        q=draw(st.integers(1, 2)), r=draw(st.integers(1, 2)), t=draw(st.integers(1, 3)),
        m=conv.group_filters, n=draw(st.integers(1, conv.batch)),
        kernel_rows=draw(st.integers(1, conv.kernel[0])),
        kernel_cols=draw(st.integers(1, conv.kernel[1])),
    )  # fmt: skip
    assume(not refusals(conv, mapping, array))
    return conv, array, mapping


def operands(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(-99, 99, (shape.batch, shape.channels, *shape.size))
    return x, rng.integers(-99, 99, (shape.filters, shape.group_channels, *shape.kernel))


@pytest.mark.parametrize("skip_idle", [False, True])
@given(layers())
@settings(max_examples=60, deadline=None)
def test_stepped_array_convolves_in_the_predicted_cycles(skip_idle, layer):
    """Results, cycles and every word moved; padding, stride, dilation, groups, batch, folds."""
    shape, array, mapping = layer
    x, w = operands(shape)
    out, cycles, counts = run_layer(shape, mapping, array, x, w, skip_idle)
    assert np.array_equal(out, convolution(shape, x, w))
    assert cycles == conv_cycles(shape, mapping, array, skip_idle)
    moved = moves(shape, mapping, skip_idle)
    assert moved.filter_words == counts["filter"]
    assert moved.filter_spad_writes == counts["filter spad"]
    assert moved.ifmap_words == counts["ifmap"]
    assert moved.ifmap_spad_writes == counts["ifmap spad"]
    assert (moved.sums_written, moved.sums_read) == (counts["sums written"], counts["sums read"])
    assert (moved.hops, moved.spad_macs) == (counts["hops"], counts["macs"])


@pytest.mark.parametrize("bus", ["filter_bus_words", "ifmap_bus_words", "psum_bus_words"])
def test_a_narrower_bus_costs_what_is_predicted(bus):
    shape = ConvShape(4, 8, (6, 6), (3, 3), pads=(1, 1, 1, 1), batch=2)
    mapping = RowStationary(3, 4, 2, 1, 2, 8, 2, 3, 3)
    wide = RowArray(rows=6, cols=3, filter_bus_words=4, ifmap_bus_words=2, psum_bus_words=2)
    narrow = replace(wide, **{bus: getattr(wide, bus) - 1})
    x, w = operands(shape)
    stepped = [run_layer(shape, mapping, array, x, w)[1] for array in (wide, narrow)]
    assert stepped == [conv_cycles(shape, mapping, array) for array in (wide, narrow)]
    assert stepped[0] < stepped[1]


def test_one_pass_by_hand():
    """Two images of three columns; 2 x 3 sets of PEs, one channel, two filters per PE."""
    shape = ConvShape(1, 2, (4, 4), (2, 2), batch=2)
    mapping = RowStationary(e=3, p=2, q=1, r=1, t=1, m=2, n=2, kernel_rows=2, kernel_cols=2)
    array = RowArray(rows=2, cols=3, filter_bus_words=4, ifmap_bus_words=1, psum_bus_words=2)
    (kind,) = passes(shape, mapping)
    # 2 filter rows of 4 words; 4 input rows, one new column and one more at the start;
    # 2 x 2 MACs; 3 columns of 2 sums, one link up.
    assert pass_times(shape, array, kind) == PassTimes(load=2, step=4, fill=4, macs=4, sums=4)
    assert conv_cycles(shape, mapping, array) == 8 + (3 * 4 + 4) + 2 * 4 + 4 + 4
    assert active_pes(mapping) == 6
    assert utilisation(shape, mapping, array) == shape.macs / (40 * 6)
    # Weights 8; inputs 2 x 16 over the bus, each PE gets a row: 2 x 6 x 4; sums 2 x 2 x 9.
    assert moves(shape, mapping) == RowMoves(
        filter_words=8, ifmap_words=32, sums_read=0, sums_written=36, hops=36,
        filter_spad_writes=24, ifmap_spad_writes=48, spad_macs=144,
        dram_filters=8, dram_ifmap=32, dram_ofmap=36,
    )  # fmt: skip


@given(
    load=st.integers(1, 30), step=st.integers(1, 12), fill=st.integers(0, 12),
    macs=st.integers(1, 12), sums=st.integers(1, 12), images=st.integers(1, 5),
    columns=st.integers(1, 5),
)  # fmt: skip
@settings(max_examples=400)
def test_pass_is_the_longest_path_of_its_recurrence(load, step, fill, macs, sums, images, columns):
    latch = start = 0
    for job in range(images * columns):
        extra = fill if job % columns == 0 else 0
        start = max(start + step, latch) + extra if job else max(load, step + fill)
        latch = max(start + macs, latch + sums) if job else start + macs
    assert PassTimes(load, step, fill, macs, sums).cycles(images, columns) == latch + sums


@given(layers())
@settings(max_examples=100, deadline=None)
def test_dram_traffic_by_enumeration(layer):
    """Every real element that a strip, a part of the kernel and a block of filters needs."""
    shape, _, mapping = layer
    ifmap = 0
    for first in range(0, shape.out_height, mapping.e):
        strip = range(first, min(first + mapping.e, shape.out_height))
        for i, j in product(
            range(0, shape.kernel[0], mapping.kernel_rows),
            range(0, shape.kernel[1], mapping.kernel_cols),
        ):
            seen = {
                (y * shape.stride[0] + a * shape.dilation[0] - shape.pads[0],
                 z * shape.stride[1] + b * shape.dilation[1] - shape.pads[1])
                for y in strip for z in range(shape.out_width)
                for a in range(i, min(i + mapping.kernel_rows, shape.kernel[0]))
                for b in range(j, min(j + mapping.kernel_cols, shape.kernel[1]))
            }  # fmt: skip
            ifmap += sum(0 <= a < shape.size[0] and 0 <= b < shape.size[1] for a, b in seen)
    moved = moves(shape, mapping)
    assert moved.dram_ifmap == ifmap * shape.channels * shape.batch
    weights = shape.filters * shape.group_channels * shape.kernel[0] * shape.kernel[1]
    strips, batches = ceil(shape.out_height / mapping.e), ceil(shape.batch / mapping.n)
    assert moved.dram_filters == weights * strips * batches


@given(layers())
@settings(max_examples=100, deadline=None)
def test_edge_passes_may_take_only_what_they_hold(layer):
    shape, array, mapping = layer
    exact = conv_cycles(shape, mapping, array, skip_idle=True)
    assert exact <= conv_cycles(shape, mapping, array)
    # Never faster than every PE busy in every cycle.
    assert exact * array.rows * array.cols >= shape.macs
    assert sum(kind.count for kind in passes(shape, mapping)) <= sum(
        kind.count for kind in passes(shape, mapping, skip_idle=True)
    )


@given(layers())
@settings(max_examples=40, deadline=None)
def test_search_finds_a_legal_mapping_at_least_as_fast(layer):
    shape, array, mapping = layer
    found = map_convolution(shape, array)
    assert refusals(shape, found, array) == []
    # Parts that a mapping leaves uneven waste cycles, so even ones are enough.
    same = replace(mapping, kernel_rows=found.kernel_rows, kernel_cols=found.kernel_cols)
    if not refusals(shape, same, array):
        assert conv_cycles(shape, found, array) <= conv_cycles(shape, same, array)


@given(layers())
@settings(max_examples=60, deadline=None)
def test_search_counts_the_cycles_of_what_it_compares(layer):
    """The search's arithmetic over whole arrays of mappings, exact to the cycle."""
    shape, array, mapping = layer
    found = best_of_strip(shape, array, mapping.e, mapping.kernel_rows, mapping.kernel_cols)
    if found is not None:
        cycles, best = found
        columns = ceil(shape.kernel[1] / mapping.kernel_cols)
        assert cycles * shape.groups * columns == conv_cycles(shape, best, array)
        bound = least_cycles(shape, array, mapping.e, mapping.kernel_rows, mapping.kernel_cols)
        assert bound <= cycles


def test_search_beats_every_mapping_there_is():
    """All of them that keep the kernel whole: what the search skips is never faster."""
    array = RowArray(3, 4, ifmap_words=6, filter_words=12, psum_words=4, buffer_words=90)
    for shape in (
        ConvShape(3, 5, (5, 4), (3, 2), pads=(1, 0, 1, 0), batch=2),
        ConvShape(5, 3, (4, 7), (2, 1), (2, 1), batch=3),
    ):
        found = map_convolution(shape, array)
        extents = (shape.out_height, 4, 6, 3, 4)
        for e, p, q, r, t, n in product(
            *(range(1, extent + 1) for extent in (*extents, shape.batch))
        ):
            m = min(p * t, shape.group_filters)
            every = RowStationary(e, p, q, r, t, m, n, *shape.kernel)
            if not refusals(shape, every, array):
                assert conv_cycles(shape, found, array) <= conv_cycles(shape, every, array)


# Eyeriss, JSSC 2017: mappings of table III (e, p, q, r, t, m, n); from table V the processing
# latency in ms, accesses of the global buffer in MB, and active PEs; 200 MHz, batch 4.
ALEXNET = {
    "CONV1": (ConvShape(3, 96, (227, 227), (11, 11), (4, 4), batch=4), (7, 16, 1, 1, 2, 96, 1),
              16.5, 18.5, 154),
    "CONV2": (ConvShape(96, 256, (27, 27), (5, 5), pads=(2,) * 4, groups=2, batch=4),
              (27, 16, 2, 1, 1, 64, 1), 39.2, 77.6, 135),
    "CONV3": (ConvShape(256, 384, (13, 13), (3, 3), pads=(1,) * 4, batch=4),
              (13, 16, 4, 1, 4, 64, 4), 21.8, 50.2, 156),
    "CONV4": (ConvShape(384, 384, (13, 13), (3, 3), pads=(1,) * 4, groups=2, batch=4),
              (13, 16, 3, 2, 2, 64, 4), 16.0, 37.4, 156),
    "CONV5": (ConvShape(384, 256, (13, 13), (3, 3), pads=(1,) * 4, groups=2, batch=4),
              (13, 16, 3, 2, 2, 64, 4), 10.0, 24.9, 156),
}  # fmt: skip


def _mapping(shape, e, p, q, r, t, m, n):
    return RowStationary(e, p, q, r, t, m, n, *shape.kernel)


@pytest.mark.parametrize("layer", list(ALEXNET))
def test_eyeriss_alexnet(layer):
    """Table V's latency within 10 % (-6.5, -7.1, +5.6, +2.8, +9.7 %), with table III's mapping."""
    shape, parameters, milliseconds, megabytes, pes = ALEXNET[layer]
    mapping = map_convolution(shape, EYERISS, _mapping(shape, *parameters))
    assert active_pes(mapping) == pes
    cycles = conv_cycles(shape, mapping, EYERISS, skip_idle=True)
    assert cycles / 200e3 == pytest.approx(milliseconds, rel=0.10)
    assert 0.83 <= shape.macs / (cycles * pes) <= 0.96
    if layer != "CONV3":  # q r = 4 of table III alone means 64 rounds of sums, 63 MB
        moved = moves(shape, mapping, skip_idle=True)
        assert _buffer_mb(moved) == pytest.approx(megabytes, rel=0.06)
    # The search does at least as well as the paper's mapping, and not much better.
    searched = conv_cycles(shape, map_convolution(shape, EYERISS), EYERISS)
    assert searched <= conv_cycles(shape, mapping, EYERISS)
    assert searched / 200e3 == pytest.approx(milliseconds, rel=0.10)


def _buffer_mb(moved):
    """Words of 16 bits in MB of 2^20 bytes (table III's KB are 1,024 bytes, too)."""
    words = moved.filter_words + moved.ifmap_words + moved.sums_read + moved.sums_written
    return 2 * words / 2**20


# Table VI, batch 3. The paper does not print these mappings. They follow from what it does print,
# none of it a time: active PEs (156 = 3 x 13 x 4 and 168 = 3 x 14 x 4), the global buffer's
# accesses (sums written and read back C / (q r) times), and its size (m e W sums, 100 KB). The
# accesses also say that the last strip moves its own rows only: skip_idle.
VGG16 = {
    "CONV1-1": (3, 64, 224, (13, 4, 1, 1, 4, 16, 1), 38.0, 112.6, 156),
    "CONV1-2": (64, 64, 224, (13, 4, 1, 1, 4, 16, 1), 810.6, 2402.8, 156),
    "CONV2-1": (64, 128, 112, (13, 8, 1, 1, 4, 32, 1), 405.3, 1201.4, 156),
    "CONV2-2": (128, 128, 112, (13, 8, 1, 1, 4, 32, 1), 810.8, 2402.8, 156),
    "CONV3-1": (128, 256, 56, (13, 16, 2, 1, 4, 64, 1), 204.0, 607.4, 156),
    "CONV3-2": (256, 256, 56, (13, 16, 2, 1, 4, 64, 1), 408.1, 1214.8, 156),
    "CONV4-1": (256, 512, 28, (14, 16, 4, 1, 4, 64, 1), 105.1, 321.8, 168),
    "CONV4-2": (512, 512, 28, (14, 16, 4, 1, 4, 64, 1), 210.0, 643.7, 168),
    "CONV5-1": (512, 512, 14, (14, 16, 4, 2, 2, 64, 3), 48.3, 90.0, 168),
}


@pytest.mark.parametrize("layer", list(VGG16))
def test_eyeriss_vgg16(layer):
    channels, filters, size, parameters, milliseconds, megabytes, pes = VGG16[layer]
    shape = ConvShape(channels, filters, (size, size), (3, 3), pads=(1,) * 4, batch=3)
    mapping = map_convolution(shape, EYERISS, _mapping(shape, *parameters))
    assert active_pes(mapping) == pes
    cycles = conv_cycles(shape, mapping, EYERISS, skip_idle=True)
    assert cycles / 200e3 == pytest.approx(milliseconds, rel=0.04)
    rate = shape.macs / (cycles * pes)
    if layer.startswith(("CONV1", "CONV2")):
        assert rate == pytest.approx(0.219, abs=0.008)
    charged = conv_cycles(shape, mapping, EYERISS)  # the last strip as long as a full one
    assert charged / 200e3 == pytest.approx(milliseconds, rel=0.15)
    if layer != "CONV1-1":  # the table has 3/64 of CONV1-2, so counts a read before the first sums
        moved = moves(shape, mapping, skip_idle=True)
        assert _buffer_mb(moved) == pytest.approx(megabytes, rel=0.02)


def test_first_vgg_layers_wait_for_sums_and_alexnet_for_macs():
    """Why 21.9 %: with one channel per pass, 208 sums cross a bus of four per 12 MACs of a PE."""
    channels, filters, size, parameters, *_ = VGG16["CONV1-2"]
    shape = ConvShape(channels, filters, (size, size), (3, 3), pads=(1,) * 4, batch=3)
    kind = passes(shape, _mapping(shape, *parameters))[0]
    assert pass_times(shape, EYERISS, kind) == PassTimes(36, 15, 30, 12, 52 + 2)
    shape, parameters, *_ = ALEXNET["CONV1"]
    times = pass_times(shape, EYERISS, passes(shape, _mapping(shape, *parameters))[0])
    assert times == PassTimes(11 * 2 * 44, 35 * 4, 35 * 7, 16 * 11, 56 + 10)


def test_a_matrix_product_is_a_one_by_one_convolution():
    shape = ConvShape.of_gemm(m=10, n=6, k=8, groups=2)
    assert (shape.macs, shape.out_height, shape.out_width) == (2 * 10 * 6 * 8, 1, 10)
    mapping = map_convolution(shape, RowArray(rows=4, cols=4))
    x, w = operands(shape)
    out, cycles, _ = run_layer(shape, mapping, RowArray(rows=4, cols=4), x, w)
    assert cycles == conv_cycles(shape, mapping, RowArray(rows=4, cols=4))
    for g in range(2):
        product_ = x[0, 8 * g : 8 * g + 8, 0].T @ w[6 * g : 6 * g + 6, :, 0, 0].T
        assert np.array_equal(out[0, 6 * g : 6 * g + 6, 0].T, product_)


def test_kernel_larger_than_array_and_spad_is_folded():
    shape = ConvShape(2, 3, (20, 20), (17, 15))
    mapping = map_convolution(shape, EYERISS)
    assert mapping.kernel_rows <= 12
    assert mapping.kernel_cols <= 12
    assert refusals(shape, mapping, EYERISS) == []
    assert 0 < utilisation(shape, mapping, EYERISS) <= 1


def test_fixed_mapping_is_obeyed_or_refused_with_every_reason():
    shape, parameters, *_ = ALEXNET["CONV3"]
    fixed = _mapping(shape, *parameters)
    assert map_convolution(shape, EYERISS, fixed) is fixed
    with pytest.raises(AccelsimError) as caught:
        map_convolution(shape, EYERISS, replace(fixed, p=32, q=8, t=5, m=128, n=9))
    reasons = [(mistake.code, mistake.message) for mistake in caught.value.mistakes]
    assert {code for code, _ in reasons} == {"M322"}
    text = "\n".join(message for _, message in reasons)
    for part in ("9 of 4", "5 of 4", "160 of 128", "768 of 224", "24 of 12", "32 of 24", "51200"):
        assert part in text
    with pytest.raises(AccelsimError, match="e is 0, not a whole number"):
        map_convolution(shape, EYERISS, replace(fixed, e=0))


def test_bad_shapes_and_arrays_are_named():
    with pytest.raises(AccelsimError) as caught:
        ConvShape(0, 1, (4, 4), stride=(0, 1), pads=(0, -1, 0, 0))
    assert [m.code for m in caught.value.mistakes] == ["M320"] * 3
    with pytest.raises(AccelsimError, match="kernel that is larger"):
        ConvShape(1, 1, (2, 2), (3, 3))
    with pytest.raises(AccelsimError, match="3 groups that do not divide"):
        ConvShape(3, 4, (2, 2), groups=3)
    with pytest.raises(AccelsimError) as caught:
        map_convolution(ConvShape(1, 1, (2, 2)), RowArray(rows=0, psum_words=1.5))
    assert [m.code for m in caught.value.mistakes] == ["M321"] * 2
    with pytest.raises(InfeasibleError) as infeasible:
        map_convolution(ConvShape(1, 1, (2, 90_000)), EYERISS)
    assert infeasible.value.infeasibility.demand == 180_000


def test_cycles_are_exact_at_ten_to_the_fifteen():
    shape = ConvShape(2**20, 2**20, (128, 128), (3, 3), pads=(1,) * 4, batch=8)
    mapping = map_convolution(shape, EYERISS)
    one = replace(shape, channels=shape.channels // 2)
    assert conv_cycles(shape, mapping, EYERISS) == 2 * conv_cycles(one, mapping, EYERISS) > 10**15
    assert buffer_words(shape, mapping) <= EYERISS.buffer_words
