"""A key of the accelerator either changes what it says it changes, or the file is refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import accelsim
from accelsim.arch.dram_kinds import KINDS, in_cycles
from accelsim.config.load import load_study
from accelsim.design_point import evaluate
from accelsim.errors import AccelsimError

NETWORK = """\
schema: accelsim/layers/v1
inputs: {image: [1, 16, 16, 16]}
layers:
  - {name: c1, kind: conv, filters: 32, kernel: 3, pad: same}
  - {name: dw, kind: depthwise, kernel: 3, pad: same}
  - {name: pool, kind: global_average_pool}
"""


@pytest.fixture
def machine(tmp_path: Path, bare_machine: str) -> Path:
    path = tmp_path / "machine.yaml"
    path.write_text(bare_machine)
    return path


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """A hang is a failure, not a test that never ends."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"no answer after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(path: Path, overrides: dict[str, object]) -> str:
    with pytest.raises(AccelsimError) as caught:
        accelsim.load_accelerator(path, overrides)
    assert all(mistake.location is not None for mistake in caught.value.mistakes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ({"dram.kind": "FLASH", "dram.model": "banked"}, "no row timing is known for FLASH"),
        ({"clock": 800}, "a unit seems to be missing"),
        ({"dram.model": "banked", "clock": 1000}, "too slow for LPDDR4's delays"),
        (
            {"weight_memory": {"kind": "DDR4", "bandwidth": "1 GB/s", "model": "banked"}},
            "the weight memory has no model 'banked'",
        ),
        ({"energy.clock_gating": 0.5}, "aladdin_40nm"),
        ({"scratchpad.width": "129 KiB"}, "a port of 132096 bytes is wider than the scratchpad"),
        ({"scratchpad.bank_ports": 3}, "must be at most 2, is 3"),
        ({"scratchpad.bank_ports": 2}, "aligned to 16 bytes begin within a line of 32"),
        (
            {"scratchpad.bank_ports": 1, "scratchpad.width": 24, "scratchpad.alignment": 32},
            "width: a power of two",
        ),
        (
            {"scratchpad.bank_ports": 1, "scratchpad.ports": 1, "scratchpad.alignment": 32},
            "the scratchpad as a whole has ports: 1",
        ),
        (
            {"scratchpad.bank_ports": 1, "scratchpad.width": 8192, "scratchpad.alignment": 8192},
            "lines of 8192 bytes: at most 4096",
        ),
        ({"scratchpad.layout": "nchw"}, "layout without bank_ports has no effect"),
        ({"scratchpad.layout": "chwn"}, "unknown layout 'chwn'"),
        ({"accumulators.size": 7}, "7 bytes hold no two sums of 4 bytes"),
        ({"array.sparsity": "2:4"}, "a list of two whole numbers"),
        ({"array.dataflow": "dot", "array.dot.positions": [1, 1, 1]}, "a list of two"),
        ({"technology": "28 nm"}, "energy table 'horowitz_45nm' is for 45 nm"),
        ({"energy.table": "accelergy"}, "'accelergy' is missing"),
        ({"array.rows": 10**5000}, "at most 16384, is a number of 16610 bits"),
    ],
)
def test_what_would_have_no_effect_or_cannot_be_is_refused(
    machine: Path, overrides: dict[str, object], wanted: str
) -> None:
    assert wanted in refused(machine, overrides)


def test_ports_of_banks_and_the_layout_change_the_time(machine: Path) -> None:
    network = machine.parent / "net.yaml"
    network.write_text(NETWORK)
    banks = {"scratchpad.banks": 4, "scratchpad.alignment": 32}
    cycles = [
        evaluate(
            accelsim.read_network(network), accelsim.load_accelerator(machine, {**banks, **own})
        ).cycles
        for own in (
            {"scratchpad.bank_ports": 2},
            {"scratchpad.bank_ports": 1},
            {"scratchpad.bank_ports": 1, "scratchpad.layout": "nchw"},
        )
    ]
    assert cycles[0] < min(cycles[1:])
    assert cycles[1] != cycles[2]


def test_defaults_have_to_fit_what_is_written(machine: Path) -> None:
    assert "dataflow 'rs' has no overlap 'full'" in refused(machine, {"array.dataflow": "rs"})
    wide = {"array.operand_bits": 32, "array.weight_bits": 16}
    assert "32 accumulator bits cannot hold one product of 48" in refused(machine, wide)


def test_a_key_that_is_no_text_is_a_mistake_of_the_caller(machine: Path) -> None:
    assert "an override's key is text, not 3" in refused(machine, {3: 4})  # type: ignore[dict-item]


def test_an_accelerator_file_finds_its_own_energy_table(machine: Path) -> None:
    """By itself as in a run: the table counts from the file that names it."""
    (machine.parent / "ERT.yaml").write_text(
        "ERT:\n  version: '0.4'\n  tables:\n"
        + "".join(
            f"  - name: chip.{name}\n    actions:\n"
            + "".join(f"    - {{name: {action}, energy: 1.0}}\n" for action in actions)
            for name, actions in (("mac", ["compute"]), ("sram", ["read", "write"]))
        )
    )
    energy = """\
energy:
  table: accelergy
  accelergy:
    ert: ERT.yaml
    node: 45 nm
    bits: {scratchpad: 64, accumulators: 64}
    map:
      mac.compute: mac.compute
      vector.compute: mac.compute
      scratchpad.read: sram.read
      scratchpad.write: sram.write
      accumulators.read: sram.read
      accumulators.write: sram.write
"""
    machine.write_text(machine.read_text() + energy)
    table = accelsim.load_accelerator(machine).energy_options.own_table
    assert table is not None
    assert table.entries["mac.compute"].value == 1.0


def test_a_cacheless_machine_moves_more(machine: Path) -> None:
    network = machine.parent / "net.yaml"
    network.write_text(NETWORK)
    moved = [
        evaluate(
            accelsim.read_network(network),
            accelsim.load_accelerator(machine, {"scratchpad.cacheless": cacheless}),
        ).dram_bytes
        for cacheless in (False, True)
    ]
    # The tensors between the three operators go out and come back.
    assert moved[1] >= moved[0] + 2 * (32 * 16 * 16 + 32 * 16 * 16)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_banked_dram_at_the_slowest_clock_that_is_taken_still_ends(
    machine: Path, kind: str
) -> None:
    timing = KINDS[kind]
    network = machine.parent / "net.yaml"
    network.write_text(NETWORK)
    for clock in (10**power for power in range(10)):
        try:
            taken = accelsim.load_accelerator(
                machine, {"dram.model": "banked", "dram.kind": kind, "clock": clock}
            )
        except AccelsimError:
            continue
        assert in_cycles(timing.t_refi, clock) > in_cycles(timing.t_rfc, clock)
        with at_most(20):
            assert evaluate(accelsim.read_network(network), taken).cycles > 0
        return
    raise AssertionError("no clock up to 1 GHz is fast enough")


def test_a_rule_that_compares_nothing_takes_no_objective(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NETWORK)
    run = tmp_path / "run.yaml"
    run.write_text(
        "schema: accelsim/run/v1\nworkload: {model: net.yaml}\naccelerator: machine.yaml\n"
        "mapping: {objective: edp, rule: fold}\n"
    )
    with pytest.raises(AccelsimError, match="objective 'edp' would be ignored"):
        load_study(run)
    assert load_study(run, {"mapping.objective": "latency"}).base.mapping.rule == "fold"


def test_unknown_keys_below_a_name_of_the_users_get_a_suggestion(
    machine: Path, tmp_path: Path
) -> None:
    (tmp_path / "net.yaml").write_text(NETWORK)
    run = tmp_path / "run.yaml"
    run.write_text(
        "schema: accelsim/run/v1\nworkload: {model: net.yaml}\naccelerator: machine.yaml\n"
        "mapping: {layers: {c1: {ordr: nmk}}}\n"
    )
    with pytest.raises(AccelsimError, match="did you mean 'order'"):
        load_study(run)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """Configs are read more than once, and a pipe without a writer never ends."""
    pipe = tmp_path / "machine.yaml"
    os.mkfifo(pipe)
    with at_most(5), pytest.raises(AccelsimError, match=r"C007 .* is a pipe or a device"):
        accelsim.load_accelerator(pipe)
    with at_most(5), pytest.raises(AccelsimError, match=r"C007 .* is a pipe or a device"):
        load_study(pipe)
