"""SCALE-Sim topologies: its own counts, every dialect of its files, and clear errors."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import AccelsimError
from accelsim.workload.graph import Gemm, OpKind
from accelsim.workload.scalesim import read_topology
from accelsim.workload.scalesim_rows import Layer, topology_layers

ROOT = Path(__file__).parents[3]
BESIDE = ROOT.parent / "shared/data/topologies"

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"  # noqa: E501
GEMM = "Layer,M,N,K,\n"


def write(folder, text, name="net.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path, **kwargs):
    with pytest.raises(AccelsimError) as caught:
        read_topology(path, **kwargs)
    assert all(m.location.file == str(path) for m in caught.value.mistakes)
    return caught.value.mistakes


def test_positions_are_counted_as_scale_sim_counts_them(tmp_path):
    """ceil((input - filter + stride) / stride): AlexNet's first layer has 55 x 55 outputs although
    the last window overhangs the 224 pixels by three."""
    (op,) = read_topology(write(tmp_path, CONV + "Conv1,224,224,11,11,3,96,4,\n")).ops
    assert (op.name, op.kind) == ("Conv1", OpKind.CONV)
    assert op.gemm == Gemm(55 * 55, 11 * 11 * 3, 96)
    assert op.window.pads == (0, 0, 3, 3)
    assert op.macs == 105_415_200


def test_resnet50_has_54_layers():
    workload = read_topology(ROOT / "configs/models/resnet50_topology.csv")
    assert len(workload.ops) == 54
    assert workload.ops[0].gemm.m == 110 * 110  # the file's own remark on its first layer
    assert workload.ops[-1].gemm == Gemm(1, 2048, 1000)


# Products of each file by SCALE-Sim 3.0.0 itself (topology_utils.topo_calc_hyperparams).
PUBLISHED = {
    "alexnet.csv": 805_118_496, "gpt2.csv": 20_686_307_328, "mobilenet.csv": 565_519_488,
    "transformer_partial.csv": 807_403_520, "vit_s.csv": 275_165_184,
}  # fmt: skip


@pytest.mark.skipif(not BESIDE.is_dir(), reason=f"no topologies in {BESIDE}")
@pytest.mark.parametrize("name", PUBLISHED)
def test_products_equal_those_of_scale_sim(name):
    assert read_topology(BESIDE / name).macs == PUBLISHED[name]


def test_products_by_their_three_extents(tmp_path):
    (op,) = read_topology(write(tmp_path, GEMM + "fc,8,10,64,\n"), batch=3).ops
    assert (op.kind, op.gemm) == (OpKind.MATMUL, Gemm(24, 64, 10))


def test_a_batch_column_makes_heads(tmp_path):
    path = write(tmp_path, "Layer,M,N,K,Sparsity,Batch,\nqk,8,8,64,1:1,12,\n")
    (op,) = read_topology(path).ops
    assert (op.gemm, op.macs) == (Gemm(8, 64, 8, 12), 12 * 8 * 8 * 64)


def test_rows_are_joined_only_where_shapes_fit(tmp_path):
    text = CONV + "a,8,8,3,3,2,4,1,\nb,6,6,1,1,4,4,1,\nc,8,8,3,3,4,4,1,\n"
    workload = read_topology(write(tmp_path, text))
    assert [op.inputs for op in workload.ops] == [("a.input",), ("a.output",), ("c.input",)]
    assert (workload.inputs, workload.outputs) == (("a.input", "c.input"), ("b.output", "c.output"))
    alone = read_topology(write(tmp_path, text), chain=False)
    assert alone.inputs == ("a.input", "b.input", "c.input")
    assert alone.macs == workload.macs


def test_a_depthwise_row_is_one_filter_unless_asked_otherwise(tmp_path):
    path = write(tmp_path, CONV + "dw,10,10,3,3,32,1,1,\npw,8,8,1,1,32,1,1,\n")
    first, second = read_topology(path).ops
    assert first.gemm == Gemm(64, 288, 1)
    first, second = read_topology(path, depthwise="per_channel").ops
    assert first.gemm == Gemm(64, 9, 1, 32)
    assert second.gemm == Gemm(64, 32, 1)  # one pixel wide: one filter over all channels
    (op,) = read_topology(write(tmp_path, CONV + "DP1,10,10,3,3,32,1,1,\n")).ops
    assert op.gemm == Gemm(64, 9, 1, 32)


def test_two_strides_and_sparsity(tmp_path):
    header = CONV.replace("Strides,", "Stride height, Stride width, Sparsity,")
    path = write(tmp_path, header + "a,9,9,3,3,2,4,2,3,2:4,\n")
    (layer,) = topology_layers(path)
    assert (layer.stride, layer.sparsity) == ((2, 3), (2, 4))
    (mistake,) = refused(path)
    assert (mistake.code, mistake.location.line) == ("W102", 2)
    assert read_topology(path, sparsity="dense").ops[0].gemm == Gemm(4 * 3, 18, 4)


sizes = st.integers(1, 64)
names = st.text("abcXYZ019_- äéß", min_size=1, max_size=8).map(str.strip).filter(bool)


@st.composite
def layers(draw):
    """Rows of one kind, as records without their line."""
    convolution = draw(st.booleans())
    found = []
    for _ in range(draw(st.integers(1, 6))):
        name, sparsity = draw(names), draw(st.sampled_from([(1, 1), (2, 4), (1, 8)]))
        if convolution:
            kernel = draw(st.integers(1, 7)), draw(st.integers(1, 7))
            height, width = (draw(st.integers(side, 64)) for side in kernel)
            stride = draw(st.integers(1, 5))
            found.append(Layer(name, 0, height, width, *kernel, draw(sizes), draw(sizes),
                               (stride, stride), sparsity=sparsity))  # fmt: skip
        else:
            product = draw(sizes), draw(sizes), draw(sizes)
            found.append(Layer(name, 0, product=product, sparsity=sparsity))
    return found


@given(
    layers(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_every_dialect_reads_equal(
    tmp_path_factory, rows, comma, spaces, blanks, end, encoding, remarks, ratios
):
    convolution = bool(rows[0].channels)
    lines = [(CONV if convolution else GEMM).strip().rstrip(",")]
    lines[0] += ",Sparsity" * ratios + ",Remark,Eh" * remarks
    for row in rows:
        cells = [row.name, *(row.product if not convolution else (
            row.height, row.width, row.kernel_height, row.kernel_width, row.channels, row.filters,
            row.stride[0],
        ))]  # fmt: skip
        cells += [f"{row.sparsity[0]}:{row.sparsity[1]}"] if ratios else []
        cells += ["", "110"] if remarks else []
        lines.append((" ,  " if spaces else ",").join(str(cell) for cell in cells))
        lines += ["", ",,,,", "   "] if blanks else []
    text = end.join(line + "," * comma for line in lines) + end
    path = tmp_path_factory.getbasetemp() / "dialect.csv"
    path.write_bytes(text.encode(encoding))
    read = [(layer.name, layer.stride, layer.product, layer.height, layer.width, layer.channels,
             layer.kernel_height, layer.kernel_width, layer.filters, layer.sparsity)
            for layer in topology_layers(path)]  # fmt: skip
    kept = [(layer.name, layer.stride, layer.product, layer.height, layer.width, layer.channels,
             layer.kernel_height, layer.kernel_width, layer.filters,
             layer.sparsity if ratios else (1, 1)) for layer in rows]  # fmt: skip
    assert read == kept
    workload = read_topology(path, sparsity="dense")
    assert workload.macs == sum(slow_macs(row) for row in rows)


def slow_macs(row):
    """Counted window by window."""
    if not row.channels:
        m, n, k = row.product
        return m * n * k
    spots = 1
    for size, kernel, stride in (
        (row.height, row.kernel_height, row.stride[0]), (row.width, row.kernel_width, row.stride[1])
    ):  # fmt: skip
        count, covered, start = 1, kernel, 0
        while covered < size:  # another window, until the last pixel is seen
            start += stride
            covered = start + kernel
            count += 1
        spots *= count
    return spots * row.kernel_height * row.kernel_width * row.channels * row.filters


@pytest.mark.parametrize(
    ("text", "code", "line", "part"),
    [
        ("", "W101", None, "holds no layers"),
        (CONV, "W101", None, "a header, but no layers"),
        (CONV + "a,8,8,0,3,2,4,1,\n", "W120", 2, "filter height must be at least 1, is 0"),
        (CONV + "a,8,8,3,3,2,-4,1,\n", "W120", 2, "filters must be at least 1, is -4"),
        (CONV + "a,8,8,3,3,2.5,4,1,\n", "W120", 2, "channels is '2.5', not a whole number"),
        (CONV + "a,8,8,3,3,1e3,4,1,\n", "W120", 2, "channels is '1e3'"),
        (CONV + "a,8,8,3,3,2,4\n", "W120", 2, "stride is missing"),
        (CONV + "a,8,,3,3,2,4,1\n", "W120", 2, "IFMAP width is missing"),
        (CONV + "\na,2,8,3,3,2,4,1,\n", "W120", 3, "larger than its input of 2 x 8"),
        (CONV + "a,8,8,3,3,2,4,1,4:2,\n", "W120", 2, "the sparsity is '4:2'"),
        (CONV + "a,8,8,3,3,2,4,1,x:2,\n", "W120", 2, "the sparsity is 'x:2'"),
        (CONV + "a,8,8,3,3,2,4,9" + "0" * 13 + ",\n", "W120", 2, "up to 12 digits"),
        ("a,8,8,3,3,2,4,1,\n", "W120", 1, "the first row is a layer"),
        ("Layer;M;N;K\na;1;2;3\n", "W120", 1, "one column only"),
        ("Layer,M,K,N\na,1,2,3\n", "W120", 1, "columns M, K, N"),
        (GEMM + "a,8,8,8,12,\n", "W120", 2, "does not say what it is"),
        (GEMM + "a,0,8,8,\n", "W120", 2, "M must be at least 1"),
        (GEMM + "a,2000000,8,8,\n", "W107", 2, "2000000 rows"),
        (CONV + "a,999999,999999,3,3,2,4,1,\n", "W107", 2, "more than"),
        (b"\x00\x01\x02", "W101", None, "not a text file"),
        (b"x" * (2**20 + 1), "W101", None, "larger than"),
    ],
)
def test_rows_that_cannot_be(tmp_path, text, code, line, part):
    found = refused(write(tmp_path, text))
    assert {m.code for m in found} == {code}
    assert any(part in m.message for m in found), [str(m) for m in found]
    assert found[0].location.line == line


def test_all_mistakes_of_a_file_at_once(tmp_path):
    found = refused(write(tmp_path, CONV + "a,0,8,x,3,2,4,1,\nb,8,8,3,3,2,4,\n"))
    assert [m.location.line for m in found] == [2, 2, 3]


def test_names_are_made_unique(tmp_path):
    path = write(tmp_path, GEMM + "a,1,2,3,\na,4,5,6,\n,7,8,9,\n")
    assert [op.name for op in read_topology(path).ops] == ["a", "a_2", "layer_3"]


def test_options_that_do_not_exist(tmp_path):
    path = write(tmp_path, GEMM + "a,1,2,3,\n")
    for key in ("depthwise", "sparsity"):
        with pytest.raises(AccelsimError, match=f"{key}='maybe' is not one of"):
            read_topology(path, **{key: "maybe"})
    with pytest.raises(AccelsimError, match="positive whole number"):
        read_topology(path, batch=0)
    assert "no such file" in refused(tmp_path / "missing.csv")[0].message
