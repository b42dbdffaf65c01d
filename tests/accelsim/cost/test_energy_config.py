"""Energy settings of a config file: what they become, and what is refused where."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from accelsim.config.load import load_study
from accelsim.cost.energy import energy_notes, unit_energies
from accelsim.errors import AccelsimError

ROOT = Path(__file__).parents[3]
MACHINE = ROOT / "configs" / "accelerators" / "edge_npu_16x16.yaml"
ERT = """\
ERT:
  version: 0.4
  tables:
  - name: chip.buffer
    actions:
    - {name: read, energy: 64.0}
    - {name: write, energy: 64.0}
"""


def accelerator(folder: Path, energy: str, technology: str = "45 nm", banks: int = 1):
    """The quickstart's accelerator with other energy settings, read from a file."""
    text = MACHINE.read_text(encoding="utf-8")
    head, rest = text.split("energy:\n", 1)
    tail = rest.split("control_flipflops:", 1)[1]
    head = head.replace("technology: 45 nm", f"technology: {technology}")
    head = head.replace("  size: 128 KiB\n", f"  size: 128 KiB\n  banks: {banks}\n")
    machine = f"{head}energy: {energy}\ncontrol_flipflops:{tail}"
    (folder / "machine.yaml").write_text(machine, encoding="utf-8")
    (folder / "net.onnx").write_bytes(b"")
    run = folder / "run.yaml"
    run.write_text(
        "schema: accelsim/run/v1\nname: t\nworkload: {model: net.onnx}\naccelerator: machine.yaml\n"
    )
    return load_study(run, {}, None).base.accelerator


def mistakes(folder: Path, energy: str, **more: object) -> list[str]:
    with pytest.raises(AccelsimError) as caught:
        accelerator(folder, energy, **more)  # type: ignore[arg-type]
    return [str(mistake) for mistake in caught.value.mistakes]


def test_the_shipped_machine_takes_one_table_as_it_is(tmp_path):
    found = accelerator(tmp_path, "{table: horowitz_45nm}")
    assert found.energy_options.scale is False
    assert unit_energies(found).mac == pytest.approx(0.3)


def test_every_setting_arrives(tmp_path):
    found = accelerator(
        tmp_path,
        "{fill_from: [aladdin_40nm], scale: true, vdd: 0.9, clock_gating: 0.75,"
        " leakage_by_block: {scratchpad: 2.5}}",
        "28 nm",
        banks=4,
    )
    options = found.energy_options
    assert (options.fill_from, options.scale, options.vdd) == (("aladdin_40nm",), True, 0.9)
    assert options.clock_gating == Fraction(3, 4)
    assert options.leakage_mw_per_mm2 == {"scratchpad": Fraction(5, 2)}
    assert found.scratchpad.banks == 4


def test_a_table_of_ones_own(tmp_path):
    (tmp_path / "ERT.yaml").write_text(ERT)
    found = accelerator(
        tmp_path,
        "{table: accelergy, fill_from: [horowitz_45nm], accelergy: {ert: ERT.yaml, node: 45 nm,"
        " bits: {scratchpad: 256}}}",
    )
    units = unit_energies(found)
    assert units.memories["scratchpad"].read == pytest.approx(2.0 * 1.175)
    assert any("filled in from table horowitz_45nm" in note for note in energy_notes(found))


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        ("{table: horowits_45nm}", "C005 accelerator.energy.table: unknown energy table"),
        ("{fill_from: [x]}", "C005 accelerator.energy.fill_from: unknown energy table 'x'"),
        ("{table: accelergy}", "C002 'accelergy' is missing"),
        (
            "{accelergy: {ert: E.yaml, node: 45 nm}}",
            "C009 accelerator.energy.accelergy: accelergy is given",
        ),
        ("{vdd: 0.8}", "C009 accelerator.energy.vdd: vdd without scale"),
        ("{scale: true, vdd: 3}", "C004"),
        ("{clock_gating: 1.5}", "C004"),
        (
            "{leakage_by_block: {pads: 1}}",
            "C005 accelerator.energy.leakage_by_block: unknown block 'pads'",
        ),
        ("{table: jouppi_7nm}", "C009 energy table 'jouppi_7nm' is for 7 nm, not for 45 nm"),
        ("{table: aladdin_40nm, scale: true}", "E805 energy table 'aladdin_40nm' has no figures"),
        ("{fill_from: [aladdin_40nm]}", "E803 energy table 'aladdin_40nm' is for 40 nm"),
        ("{table: accelergy, accelergy: {ert: gone.yaml, node: 45 nm}}", "C007 cannot read"),
    ],
)
def test_mistakes_are_found_before_any_work(tmp_path, energy, words):
    found = mistakes(tmp_path, energy)
    assert any(words in line for line in found), found
    assert all(".yaml:" in line for line in found)


def test_a_node_beyond_scaling_and_banks_that_do_not_divide(tmp_path):
    assert "E80" in mistakes(tmp_path, "{scale: true}", technology="3 nm")[0]
    assert "do not divide into 3 banks" in mistakes(tmp_path, "{}", banks=3)[0]
