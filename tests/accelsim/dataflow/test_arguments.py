"""Arguments of the closed forms that are no sizes, no names, or not this dataflow's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.dataflow.convolution import ConvShape
from accelsim.dataflow.gemm import DATAFLOWS, gemm_cycles
from accelsim.dataflow.packing import packed_cycles, packed_groups
from accelsim.dataflow.sparse import sparse_gemm_cycles
from accelsim.errors import AccelsimError

NO_NAMES = (None, 5, [], {}, ["os"], b"os", "")
NO_SIZES = (0, -1, 1.0, True, "4", None, float("nan"), [4], np.float64(4), np.True_)


def codes(error: pytest.ExceptionInfo[AccelsimError]) -> set[str]:
    return {mistake.code for mistake in error.value.mistakes}


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("option", ["dataflow", "convention", "mac_input", "microarchitecture"])
def test_what_is_no_name_is_refused_not_looked_up(option: str, name: object) -> None:
    with pytest.raises(AccelsimError) as caught:
        gemm_cycles(4, 4, 4, **{option: name})  # type: ignore[arg-type]
    assert codes(caught) == {"M311"}


@pytest.mark.parametrize("size", NO_SIZES)
@pytest.mark.parametrize("place", range(3))
def test_what_is_no_size_is_refused(place: int, size: object) -> None:
    sizes: list[object] = [4, 4, 4]
    sizes[place] = size
    for cycles in (gemm_cycles, sparse_gemm_cycles):
        with pytest.raises(AccelsimError) as caught:
            cycles(*sizes)  # type: ignore[operator]
        assert codes(caught) == {"M310"}
    with pytest.raises(AccelsimError) as caught:
        packed_groups(*sizes, 8, 8, "ws")  # type: ignore[arg-type]
    assert codes(caught) == {"M310"}


@pytest.mark.parametrize("value", ["no", 2, None])
def test_skip_idle_is_a_truth_value(value: object) -> None:
    with pytest.raises(AccelsimError, match="neither True nor False"):
        gemm_cycles(4, 4, 4, skip_idle=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", [{"skip_idle": True}, {"mac_input": "registered"}])
def test_a_dot_product_array_has_no_systolic_options(option: dict[str, object]) -> None:
    """The accelerator file refuses them as well."""
    with pytest.raises(AccelsimError) as caught:
        gemm_cycles(4, 4, 4, dataflow="dot", overlap="full", **option)  # type: ignore[arg-type]
    assert codes(caught) == {"M313"}


@given(
    st.tuples(*[st.integers(1, 2**31 - 1)] * 3),
    st.sampled_from([np.int8, np.uint16, np.int32, np.int64]),
    st.sampled_from(sorted(DATAFLOWS)),
)
def test_sizes_of_numpy_count_like_pythons_and_never_overflow(
    sizes: tuple[int, int, int], kind: type[np.signedinteger], dataflow: str
) -> None:
    limit = int(np.iinfo(kind).max)
    m, n, k = (min(size, limit) for size in sizes)
    narrow = (kind(m), kind(n), kind(k))
    found = gemm_cycles(*narrow, dataflow=dataflow, overlap="full")  # type: ignore[arg-type]
    assert type(found) is int
    assert found == gemm_cycles(m, n, k, dataflow=dataflow, overlap="full")


@pytest.mark.parametrize("dataflow", ["dot", "rs", None, []])
def test_only_systolic_dataflows_pack(dataflow: object) -> None:
    with pytest.raises(AccelsimError) as caught:
        packed_cycles(4, 4, 4, 4, dataflow=dataflow, overlap="full")  # type: ignore[arg-type]
    assert codes(caught) <= {"M311", "M312"}
    with pytest.raises(AccelsimError, match="no packing"):
        packed_groups(4, 4, 4, 8, 8, dataflow)  # type: ignore[arg-type]


@pytest.mark.parametrize("sparsity", [None, 2, "2:4", (2,), (2, 4, 6), (0, 4), (4, 2), (True, 4)])
def test_a_sparsity_is_a_pair(sparsity: object) -> None:
    with pytest.raises(AccelsimError, match="M330"):
        sparse_gemm_cycles(4, 4, 4, sparsity=sparsity)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("extent", "wanted"),
    [
        ({"size": 5}, "size 5, not a pair"),
        ({"size": (5,)}, "size"),
        ({"size": (5, 5, 5)}, "size"),
        ({"kernel": None}, "kernel None"),
        ({"pads": (1, 1)}, "pads (1, 1), not four"),
        ({"pads": 1}, "pads 1, not four"),
        ({"stride": (0, 1)}, "stride (v) 0"),
        ({"size": (2**31, 5)}, "size (v)"),
    ],
)
def test_a_convolution_with_extents_that_are_none(extent: dict[str, object], wanted: str) -> None:
    shape: dict[str, object] = {"channels": 4, "filters": 4, "size": (5, 5)} | extent
    with pytest.raises(AccelsimError) as caught:
        ConvShape(**shape)  # type: ignore[arg-type]
    assert codes(caught) == {"M320"}
    assert wanted in str(caught.value)
