"""Accelergy's ERT and ART: both layouts, the mapping, and every mistake with its position."""

from __future__ import annotations

from pathlib import Path

import pytest
from cost_samples import machine
from hypothesis import given
from hypothesis import strategies as st

from accelsim.arch.parts import EnergyOptions
from accelsim.cost.accelergy import FIGURES, AccelergyFiles, own_table
from accelsim.cost.accelergy_file import bare, instances, read_art, read_ert
from accelsim.cost.activity import Activity
from accelsim.cost.area import area
from accelsim.cost.energy import energy_notes, energy_of, unit_energies
from accelsim.errors import AccelsimError

ERT = """\
ERT:
  version: 0.4
  tables:
  - name: chip.DRAM
    actions:
    - {name: read, arguments: null, energy: 512.0}
    - {name: write, arguments: {}, energy: 480}
    - {name: idle, energy: 0}
  - name: chip.buffer
    actions:
    - {name: read, energy: 64.0}
    - {name: write, energy: 96.0}
    - {name: leak, energy: 0.25}
  - name: chip.psum_buffer
    actions:
    - {name: read, energy: 32.0}
    - {name: write, energy: 32.0}
  - name: chip.PE[0..7].mac
    actions:
    - {name: mac_random, energy: 0.5}
    - {name: mac_gated, energy: 0.05}
    - {name: idle, energy: 0.01}
  - name: chip.PE[0..7].fifo
    actions:
    - {name: write, arguments: {data_delta: 0, address_delta: 0}, energy: 0.05}
    - {name: write, arguments: {data_delta: 1, address_delta: 1}, energy: 0.2}
"""
ART = """\
ART:
  version: '0.3'
  tables:
  - {name: "chip.PE[0..7].mac", area: 1000}
  - {name: "chip.PE[0..7].fifo", area: 500.0}
  - {name: chip.buffer, area: 200000}
"""
BITS = {"dram": 64, "scratchpad": 256, "accumulators": 128}


@pytest.fixture
def files(tmp_path: Path):
    def write(ert: str = ERT, art: str | None = None, **more: object) -> AccelergyFiles:
        (tmp_path / "ERT.yaml").write_text(ert)
        if art is not None:
            (tmp_path / "ART.yaml").write_text(art)
        more = {"bits": BITS, "map": {"vector.compute": "PE.mac.mac_random"}, **more}
        return AccelergyFiles(
            str(tmp_path / "ERT.yaml"), 45, str(tmp_path / "ART.yaml") if art else None, **more
        )  # type: ignore[arg-type]

    return write


def test_a_users_table_costs_a_run(files):
    table = own_table(files())
    base = machine(EnergyOptions(own_table=table), energy_table="accelergy")
    did = Activity(
        dram_read_bytes=8, dram_write_bytes=8, scratchpad_read_bytes=32, scratchpad_write_bytes=32,
        accumulator_read_bytes=16, macs=10, vector_ops=2, cycles=4,
    )  # fmt: skip
    found = energy_of(did, base)
    assert found.dram_j == pytest.approx((512 + 480) * 1e-12)
    assert found.scratchpad_j == pytest.approx((64 + 96) * 1e-12)
    assert found.accumulators_j == pytest.approx(32e-12)
    assert found.array_j == pytest.approx(5e-12)
    assert found.vector_j == pytest.approx(1e-12)
    assert found.static_by_block["scratchpad"] == pytest.approx(4 * 0.25e-12)
    assert found.static_by_block["array"] == pytest.approx(4 * 8 * 0.01e-12)
    assert unit_energies(base).scratchpad_byte == pytest.approx((64 + 96) / 2 / 32)


def test_areas_stand_in_for_the_estimate(files):
    table = own_table(files(art=ART, areas={"array": ["PE.mac", "PE.fifo"]}))
    found = area(machine(EnergyOptions(own_table=table), energy_table="accelergy"))
    assert found.blocks["array"] == pytest.approx(8 * 1500e-6)
    assert found.blocks["scratchpad"] == pytest.approx(0.2)
    assert found.blocks["accumulators"] == area(machine()).blocks["accumulators"]


def test_nothing_is_dropped_silently(files):
    table = own_table(files(art=ART))
    notes = energy_notes(machine(EnergyOptions(own_table=table), energy_table="accelergy"))
    assert "scratchpad.read = chip.buffer.read" in notes[0]
    for unused in (
        "chip.DRAM.idle", "chip.PE[0..7].mac.mac_gated",
        "chip.PE[0..7].fifo.write(address_delta=1,data_delta=1)",
    ):  # fmt: skip
        assert unused in notes[1]
    assert "chip.buffer.read" not in notes[1]
    assert notes[2] == "area: not used of the ART: chip.PE[0..7].fifo"


def test_a_mapping_decides_and_may_name_arguments(files):
    chosen = {
        "vector.compute": "fifo.write(data_delta=1)",
        "scratchpad.read": "chip.psum_buffer.read",
        "register.write": "PE[0..7].fifo.write(data_delta=0)",
    }
    table = own_table(files(map=chosen, bits={**BITS, "register": 8}))
    assert table.entries["vector.compute"].value == 0.2
    assert table.entries["scratchpad.read"].value == 32 / 256
    assert table.entries["register_bit"].value == 0.05 / 8
    assert "line" in table.entries["vector.compute"].source


def mistakes(call) -> list[str]:
    with pytest.raises(AccelsimError) as caught:
        call()
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"map": {"scratchpad.red": "x"}}, "there is no figure 'scratchpad.red'"),
        ({"map": {"scratchpad.read": "chip.bufer.read"}}, "is not in the ERT"),
        ({"map": {"vector.compute": "fifo.write"}}, "stands for several actions"),
        ({"bits": {}}, "how many bits does one chip.DRAM.read move?"),
        ({"bits": {**BITS, "cache": 8}}, "there is no memory 'cache'"),
        ({"areas": {"arrays": ["mac"]}}, "there is no block 'arrays'"),
        ({"areas": {"array": ["PE.mc"]}}, "'PE.mc' is not in the ART"),
    ],
)
def test_mappings_that_lead_nowhere(files, more, words):
    found = mistakes(lambda: own_table(files(art=ART, **more)))
    assert any("E808" in line and words in line for line in found)


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("ERT_summary:\n  version: 0.4\n", ":1:1", "give ERT.yaml itself"),
        ("ERT:\n  version: 0.2\n  tables: []\n", ":2:12", "version is 0.2"),
        ("ERT:\n  tables: []\n", ":2:3", "version is missing"),
        ("ERT:\n  version: 0.4\n  tables: 3\n", ":3:11", "'tables' is not a list"),
        ("ERT:\n  version: 0.4\n  tables:\n  - 7\n", ":4:5", "not a mapping"),
        ("ERT:\n  version: 0.4\n  tables:\n  - {actions: []}\n", ":4:5", "'name' is missing"),
        ("ERT:\n  version: 0.4\n", ":2:3", "'tables' is missing"),
        (ERT.replace("energy: 64.0", "energy: -1"), ":11:", "'energy' is -1"),
        (ERT.replace("energy: 64.0", "energy: .nan"), ":11:", "'energy' is nan"),
        (ERT.replace("energy: 64.0", "energy: true"), ":11:", "'energy' is True"),
        (ERT.replace("energy: 64.0", "energy: many"), ":11:", "'energy' is 'many'"),
        (ERT.replace("arguments: {}", "arguments: 3"), ":7:", "'arguments' is not a mapping"),
        (ERT.replace("name: leak", "name: read"), ":13:", "'chip.buffer.read' twice"),
        ("ERT: [", ":1:", "C010"),
    ],
)
def test_bad_tables_are_refused_at_their_position(files, text, where, words):
    found = mistakes(lambda: read_ert(files(ert=text).ert))
    assert any(where in line and words in line for line in found), found


def test_bad_area_tables(files):
    art = ART.replace("area: 1000", "area: x").replace("area: 200000", "size: 1")
    found = mistakes(lambda: read_art(files(art=art).art))
    assert ["'area' is 'x'" in found[0], "'area' is missing" in found[1]] == [True, True]


def test_a_missing_file_is_named(files):
    assert "C007" in mistakes(lambda: read_ert("/nowhere/ERT.yaml"))[0]


def test_ranges_stand_for_instances():
    assert instances("chip.PE[0..13].column[1..12].mac") == 14 * 12
    assert instances("chip.mac") == 1
    assert instances("a[0..999999999].b[0..999999999]") == 10**9
    assert bare("chip.PE[0..7].mac[3]") == "chip.PE.mac"


@given(
    energies=st.lists(st.floats(0, 1e6), min_size=1, max_size=5),
    version=st.sampled_from([0.3, 0.4]),
)
def test_every_row_is_read(tmp_path_factory, energies, version):
    rows = "".join(f"    - {{name: a{i}, energy: {e!r}}}\n" for i, e in enumerate(energies))
    path = tmp_path_factory.mktemp("ert") / "ERT.yaml"
    path.write_text(f"ERT:\n  version: {version}\n  tables:\n  - name: x\n    actions:\n{rows}")
    assert [row.energy_pj for row in read_ert(str(path))] == energies


def test_every_figure_has_a_home():
    assert len(set(FIGURES)) == len(FIGURES)
