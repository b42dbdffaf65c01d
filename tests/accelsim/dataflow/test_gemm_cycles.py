"""Whole products: known figures, edge tiles, conventions, bad arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.dataflow import gemm_cycles, overlaps_of
from accelsim.errors import AccelsimError

# ResNet-50 with the dimensions of SCALE-Sim's topology file, which writes padding into the size:
# (input height and width, filter height and width, channels, filters, stride) -> layers.
RESNET50 = {
    (224, 7, 3, 64, 2): 1,
    (56, 1, 64, 64, 1): 1,
    (56, 3, 64, 64, 1): 3,
    (56, 1, 64, 256, 1): 4,
    (56, 1, 256, 64, 1): 2,
    (56, 1, 256, 128, 2): 1,
    (28, 3, 128, 128, 1): 4,
    (28, 1, 128, 512, 1): 4,
    (56, 1, 256, 512, 2): 1,
    (28, 1, 512, 128, 1): 3,
    (28, 1, 512, 256, 2): 1,
    (14, 3, 256, 256, 1): 6,
    (14, 1, 256, 1024, 1): 6,
    (28, 1, 512, 1024, 2): 1,
    (14, 1, 1024, 256, 1): 5,
    (14, 1, 1024, 512, 2): 1,
    (7, 3, 512, 512, 1): 3,
    (7, 1, 512, 2048, 1): 3,
    (14, 1, 1024, 2048, 2): 1,
    (7, 1, 2048, 512, 1): 2,
    (1, 1, 2048, 1000, 1): 1,
}


def test_one_tile():
    assert gemm_cycles(4, 4, 6, 4, 4, "os") == 6 + 2 * 4 + 4 - 2
    assert gemm_cycles(6, 4, 4, 4, 4, "ws") == 6 + 2 * 4 + 4 - 1
    assert gemm_cycles(4, 6, 4, 4, 4, "is") == 6 + 2 * 4 + 4 - 1
    assert gemm_cycles(4, 4, 6, 4, 4, "os", mac_input="registered") == 17
    assert gemm_cycles(4, 4, 6, 4, 4, "os", convention="scalesim") == 6 + 4 + 4 - 2 - 1
    assert gemm_cycles(6, 4, 4, 4, 4, "ws", convention="scalesim") == 6 + 8 + 4 - 2 - 1


@pytest.mark.parametrize(
    ("dataflow", "overlap", "period"),
    [
        ("os", "none", 32), ("os", "full", 10), ("os", "column", 14),
        ("ws", "none", 33), ("ws", "preload", 17), ("ws", "full", 10), ("ws", "column", 15),
        ("is", "none", 33), ("is", "preload", 17), ("is", "full", 10), ("is", "column", 15),
    ],
)  # fmt: skip
def test_periods_by_hand(dataflow, overlap, period):
    """Three tiles of an 8 x 8 array with ten streamed positions."""
    shape = {"os": (24, 8, 10), "ws": (10, 24, 8), "is": (24, 10, 8)}[dataflow]
    one = 10 + 2 * 8 + 8 - (2 if dataflow == "os" else 1)
    assert gemm_cycles(*shape, 8, 8, dataflow, overlap) == 2 * period + one


def _resnet50(**options):
    total = 0
    for (size, kernel, channels, filters, stride), layers in RESNET50.items():
        out = -(-(size - kernel + stride) // stride)
        shape = (out * out, filters, kernel * kernel * channels, 128, 128)
        total += layers * gemm_cycles(*shape, **options)
    return total


def test_resnet50_at_128_by_128():
    """SCALE-Sim's totals, and the ranking that shadow weights reverse."""
    assert sum(RESNET50.values()) == 54
    assert _resnet50(dataflow="os", convention="scalesim") == 611_561
    assert _resnet50(dataflow="ws", convention="scalesim") == 876_832
    assert _resnet50(dataflow="ws", overlap="full") == 390_849


@given(
    m=st.integers(1, 40), n=st.integers(1, 40), k=st.integers(1, 40), rows=st.integers(1, 9),
    cols=st.integers(1, 9), groups=st.integers(1, 3),
)  # fmt: skip
def test_serial_tiles_add_up_with_their_own_columns(m, n, k, rows, cols, groups):
    """skip_idle without overlap is the sum over tiles of their own lengths."""

    def widths(total):
        return [min(cols, total - start) for start in range(0, total, cols)]

    expected = {
        "os": sum(k + 2 * rows + w - 2 for w in widths(n)) * -(-m // rows),
        "ws": sum(m + 2 * rows + w - 1 for w in widths(n)) * -(-k // rows),
        "is": sum(n + 2 * rows + w - 1 for w in widths(m)) * -(-k // rows),
    }
    for dataflow, cycles in expected.items():
        shape = (m, n, k, rows, cols, dataflow)
        assert gemm_cycles(*shape, skip_idle=True, groups=groups) == groups * cycles
        last = widths(m if dataflow == "is" else n)[-1]
        for overlap in overlaps_of(dataflow)[1:]:
            full = gemm_cycles(*shape, overlap)
            assert gemm_cycles(*shape, overlap, skip_idle=True) == full - (cols - last)


@given(
    m=st.integers(1, 200), n=st.integers(1, 200), k=st.integers(1, 200),
    rows=st.integers(1, 20), cols=st.integers(1, 20),
)  # fmt: skip
def test_never_faster_than_all_pes_busy_and_overlap_never_slower(m, n, k, rows, cols):
    for dataflow in ("os", "ws", "is"):
        times = {o: gemm_cycles(m, n, k, rows, cols, dataflow, o) for o in overlaps_of(dataflow)}
        assert min(times.values()) * rows * cols >= m * n * k
        assert times["none"] >= times["column"] >= times["full"]
    assert gemm_cycles(m, n, k, rows, cols, "is") == gemm_cycles(n, m, k, rows, cols, "ws")


def test_gemmini():
    def cycles(*args, **options):
        return gemm_cycles(*args, microarchitecture="gemmini", **options)

    assert cycles(4, 4, 6, 4, 4, "os") == 6 + 8 + 4
    assert cycles(6, 4, 4, 4, 4, "ws") == 6 + 8 + 4
    assert cycles(12, 4, 3, 4, 4, "os", "full") == 2 * 4 + 4 + 8 + 4
    assert cycles(12, 4, 3, 4, 4, "os", "single") == 2 * 7 + 3 + 8 + 4
    assert cycles(3, 12, 4, 4, 4, "ws", "full") == 2 * 4 + 3 + 8 + 4
    assert cycles(12, 4, 3, 4, 4, "os") == 3 * (3 + 8 + 4)
    assert cycles(4, 3, 6, 4, 4, "os", skip_idle=True) == 6 + 8 + 3


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"m": 0, "rows": -1}, ["M310", "M310"]),
        ({"n": True}, ["M310"]),
        ({"k": 1.5}, ["M310"]),
        ({"dataflow": "rs", "convention": "x"}, ["M311", "M311"]),
        ({"dataflow": "os", "overlap": "preload"}, ["M312"]),
        ({"dataflow": "ws", "overlap": "full", "convention": "scalesim"}, ["M313"]),
        ({"skip_idle": True, "mac_input": "registered", "convention": "scalesim"}, ["M313"] * 2),
        ({"microarchitecture": "gemmini", "overlap": "column"}, ["M312"]),
    ],
)
def test_bad_arguments_are_all_named(options, codes):
    arguments = {"m": 4, "n": 4, "k": 4, **options}
    with pytest.raises(AccelsimError) as caught:
        gemm_cycles(**arguments)
    assert [mistake.code for mistake in caught.value.mistakes] == codes
