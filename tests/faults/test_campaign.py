"""Campaigns end to end: every record recomputed the slow way, and the same for any workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from fault_nets import (
    CIFAR,
    MEAN,
    RESNET_FLOAT,
    RESNET_INT8,
    STD,
    every_kind,
    targets_of,
    tiny_data,
    tiny_float,
    tiny_int8,
)

import faults
from accelsim.errors import AccelsimError
from faults import parallel, upsets
from faults.data import EvalSet, load_data
from faults.network import Network, decisions
from faults.oracle import full_forward_upset
from faults.plan import CampaignResult, RatePlan, Target, UpsetPlan
from faults.sites import draw
from faults.trust import Sites, Trust
from faults.upsets import Runner


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    onnx.save(tiny_int8(), tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


@pytest.fixture
def plan() -> UpsetPlan:
    return UpsetPlan(targets_of(Network(tiny_int8())), 150, 6, seed=0, floor=20)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_short_way_equals_whole_forward_on_a_network_with_every_geometry(seed: int) -> None:
    network, data = Network(tiny_int8(seed)), tiny_data()
    runner, drawn = every_kind(network, data, 5, 8, seed)
    changed = 0
    for fault in drawn:
        expected = full_forward_upset(network, fault, data.images[fault.images])
        assert (runner.short_scores(fault) == expected).all(), fault
        changed += bool((expected != runner.scores[fault.images]).any())
    assert changed > len(drawn) // 4  # the comparison is not one of unchanged scores


@pytest.mark.skipif(not RESNET_INT8.exists(), reason="the shipped network is not there")
def test_short_way_equals_whole_forward_in_every_layer_of_the_shipped_network() -> None:
    network, data = Network.load(RESNET_INT8), load_data(CIFAR, 255, MEAN, STD, limit=40)
    runner, drawn = every_kind(network, data, 4, 2, 3)
    assert len(runner.trust.layers) == 20
    for fault in drawn:
        expected = full_forward_upset(network, fault, data.images[fault.images])
        assert (runner.short_scores(fault) == expected).all(), fault


def check_records(network: Network, data: EvalSet, plan: UpsetPlan, found: CampaignResult) -> None:
    """Every record against its own whole forward."""
    sites = Sites(network)
    drawn = list(draw(plan, sites.populations(plan.targets), len(data)))
    assert [r.index for r in found.records] == list(range(plan.faults))
    for record, fault in zip(found.records, drawn, strict=True):
        before = network.run(data.images[fault.images])
        after = full_forward_upset(network, fault, data.images[fault.images])
        top = decisions(after)
        assert (record.tensor, record.element, record.bit) == (
            fault.target.tensor,
            fault.element,
            fault.bit,
        )
        assert record.sdc1 == (top != decisions(before)).sum()
        assert record.correct == (top == data.labels[fault.images]).sum()
        assert record.nonfinite == 0
        same = (after == before).all()
        assert record.outcome == ("sdc" if record.sdc1 else "masked" if same else "benign")


def test_campaign_on_an_8_bit_network(tiny: Path, plan: UpsetPlan) -> None:
    data = tiny_data()
    steps: list[tuple[int, int]] = []
    found = faults.campaign(tiny, data, plan, progress=lambda *s: steps.append(s))
    check_records(Network.load(tiny), data, plan, found)
    assert found.format == "int8"
    assert found.sdc is not None
    assert found.accuracy is not None
    assert found.accuracy_fault_free == faults.accuracy(Network.load(tiny), data)
    assert sum(s.share for s in found.structures) == pytest.approx(1)
    assert found.sdc.mean == pytest.approx(sum(s.share * s.sdc.mean for s in found.structures))
    assert found.sdc.lower <= found.sdc.mean <= found.sdc.upper
    assert found.accuracy_worst == min(r.correct / r.images for r in found.records)
    for s in found.structures:
        assert sum(n for n, _ in s.by_tensor.values()) == s.sdc.n >= 20
    assert steps[-1] == (150, 150)
    assert [a for a, _ in steps] == sorted(a for a, _ in steps)
    assert "4 of 4 quantised layers" in found.self_test
    assert "not trusted" not in found.self_test


def test_networks_without_a_short_way_take_the_long_one(tmp_path: Path) -> None:
    """Floating-point convolutions, and 8-bit activations that the runtime computes in float."""
    data = tiny_data()
    onnx.save(tiny_float(), tmp_path / "f.onnx")
    names = Network.load(tmp_path / "f.onnx").weight_names()
    targets = [Target("w", "weight", n, 1) for n in names]
    targets += [Target("a", "activation", t, 1) for t in ("image", "r0", "c1", "logits")]
    plan = UpsetPlan(tuple(targets), 40, 4, floor=0)
    found = faults.campaign(tmp_path / "f.onnx", data, plan)
    assert found.format == "float32"
    assert len(found.records) == 40
    assert any(r.outcome == "masked" for r in found.records)
    assert any("whole forwards" in note for note in found.notes)
    onnx.save(tiny_int8(act="int8"), tmp_path / "s.onnx")
    network = Network.load(tmp_path / "s.onnx")
    stored = [t for t in targets_of(network) if t.kind in ("weight", "bias")]
    plan = UpsetPlan(tuple(stored), 40, 4, floor=0)
    check_records(network, data, plan, faults.campaign(tmp_path / "s.onnx", data, plan))


def test_same_bytes_for_any_number_of_workers(tiny: Path, plan: UpsetPlan) -> None:
    data = tiny_data()
    alone = faults.campaign(tiny, data, plan)
    assert repr(faults.campaign(tiny, data, plan, workers=3)) == repr(alone)


def test_small_caches_change_nothing(
    tiny: Path, plan: UpsetPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_data()
    whole = faults.campaign(tiny, data, plan)
    monkeypatch.setattr(upsets, "CACHE_BYTES", 20_000)
    assert not upsets.fits(Network.load(tiny), len(data))
    monkeypatch.setattr(upsets, "STACK", 7)
    assert faults.campaign(tiny, data, plan).records == whole.records


def test_shards_and_known_records_make_the_whole(tiny: Path, plan: UpsetPlan) -> None:
    data = tiny_data()
    whole = faults.campaign(tiny, data, plan)
    parts = [faults.campaign(tiny, data, plan, shard=(i, 3)).records for i in (1, 2, 3)]
    assert sorted((r for p in parts for r in p), key=lambda r: r.index) == list(whole.records)
    fresh: list[Any] = []
    again = faults.campaign(tiny, data, plan, known=whole.records[:60], sink=fresh.extend)
    assert again == whole
    assert sorted(r.index for r in fresh) == list(range(60, 150))


def test_an_interrupt_ends_the_workers_and_goes_on(tiny: Path, plan: UpsetPlan) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        faults.campaign(tiny, tiny_data(), plan, workers=2, progress=interrupt)


def test_an_interrupt_waits_while_processes_start() -> None:
    """Wherever it arrives: other threads do not block the signal."""
    other = threading.Event()
    thread = threading.Thread(target=other.wait)
    thread.start()
    reached = []

    def interrupted() -> None:
        with parallel._interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            reached.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        other.set()
        thread.join()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with parallel._interrupts_held():
        pass
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_workers_that_die_are_reported(tiny: Path) -> None:
    network, data = Network.load(tiny), tiny_data()
    trust = Trust(frozenset(), frozenset(), "")
    scores = network.run(data.images)
    broken = parallel.Setup(b"no model", "tiny", data, scores, trust)
    runner = Runner(network, data, scores, trust)
    with pytest.raises(AccelsimError) as error:
        list(parallel.execute(lambda: broken, runner, [1, 2, 3], 2))
    assert error.value.mistakes[0].code == "F590"


def test_calls_that_cannot_be_met(tiny: Path, plan: UpsetPlan) -> None:
    data = tiny_data()
    bad = (Target("m", "weight", "no_such", 1), Target("m", "activation", "nor_this", 1),
           Target("m", "accumulator", "sum_q", 1))  # fmt: skip
    with pytest.raises(AccelsimError) as error:
        faults.campaign(tiny, data, replace(plan, targets=bad))
    assert [m.code for m in error.value.mistakes] == ["F505"] * 2
    for change, more in (
        ({"images_per_fault": 25}, {}),
        ({"faults": 0}, {}),
        ({}, {"workers": 0}),
        ({}, {"shard": (4, 3)}),
    ):
        with pytest.raises(AccelsimError) as error:
            faults.campaign(tiny, data, replace(plan, **change), **more)  # type: ignore[arg-type]
        assert [m.code for m in error.value.mistakes] == ["F501"]
    with pytest.raises(AccelsimError, match="F506"):
        faults.campaign(tiny, EvalSet(data.images, data.labels + 3), plan)


@pytest.mark.skipif(not RESNET_FLOAT.exists(), reason="the shipped networks are not there")
def test_shipped_networks_from_files() -> None:
    data = load_data(CIFAR, 255, MEAN, STD, limit=100)
    found = faults.campaign(RESNET_FLOAT, data, RatePlan((1e-7,), 3, 20))
    assert found.rates[0].accuracy.mean > 0.8
    assert found.accuracy_fault_free > 0.88
