"""Targets that cannot be injected: worst case assumed, weighted by exposure, named; and what a
campaign would refuse, found beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fault_nets import targets_of, tiny_data, tiny_float, tiny_int8

import faults
from accelsim.errors import AccelsimError
from faults.data import EvalSet
from faults.network import Network
from faults.plan import FaultRecord, RatePlan, Target, UpsetPlan
from faults.stats import mean_interval
from faults.summary import Run, summarise

KEPT = Target("mem", "weight", "w", 30)
LOST = Target("mem", "activation", "odd", 10)
SUMS = Target("sums", "accumulator", "c", 60)
ASSUMED = {("activation", "odd"): "no batch dimension", ("accumulator", "c"): "no 8-bit layer"}


def records(rates: list[int]) -> list[FaultRecord]:
    """Faults in KEPT that change so many of ten images' decisions."""
    return [
        FaultRecord(i, "mem", "weight", "w", 0, 0, 1, 10, sdc, 10 - sdc, 0,
                    "sdc" if sdc else "masked")
        for i, sdc in enumerate(rates)
    ]  # fmt: skip


def test_known_answer() -> None:
    plan = UpsetPlan((KEPT, LOST, SUMS), 40, 10, floor=0)
    run = Run("net", "int8", 100, 0.9, "tested", ("a note",), ASSUMED)
    rates = [0] * 20 + [5] * 20
    found = summarise(plan, run, records(rates))
    low, high = mean_interval(np.array(rates) / 10, 0.95)
    mem, sums = found.structures
    # A quarter of mem's exposure is not injectable: 1/4 x 1 + 3/4 x 0.25.
    assert (mem.structure, mem.share) == ("mem", 0.4)
    assert mem.sdc.mean == pytest.approx(0.25 + 0.75 * 0.25)
    assert mem.sdc.lower == pytest.approx(0.25 + 0.75 * low)
    assert mem.sdc.upper == pytest.approx(0.25 + 0.75 * high)
    assert mem.sdc.n == 40
    assert mem.masked == pytest.approx(0.75 * 0.5)
    assert mem.by_tensor == {"odd": (0, 1.0), "w": (40, 0.25)}
    assert (sums.structure, sums.share, sums.masked) == ("sums", 0.6, 0.0)
    assert (sums.sdc.mean, sums.sdc.lower, sums.sdc.upper, sums.sdc.n) == (1.0, 1.0, 1.0, 0)
    # 70 of 100 bit-cycles are not injectable.
    assert found.sdc is not None
    assert found.accuracy is not None
    assert found.sdc.mean == pytest.approx(0.7 + 0.3 * 0.25)
    assert found.sdc.mean == pytest.approx(sum(s.share * s.sdc.mean for s in found.structures))
    assert found.sdc.lower == pytest.approx(0.7 + 0.3 * low)
    assert found.sdc.upper == pytest.approx(0.7 + 0.3 * high)
    assert found.accuracy.mean == pytest.approx(0.3 * 0.75)
    assert found.accuracy_worst == 0.0
    note = next(n for n in found.notes if "cannot be injected" in n)
    for text in ("2 targets", "0.7 of all exposure", "activation of odd", "accumulator of c"):
        assert text in note


def test_nothing_assumed_changes_nothing() -> None:
    plan = UpsetPlan((KEPT,), 40, 10, floor=0)
    found = summarise(plan, Run("net", "int8", 100, 0.9, "tested"), records([1] * 40))
    low, high = mean_interval(np.full(40, 0.1), 0.95)
    assert found.sdc is not None
    assert (found.sdc.mean, found.sdc.lower, found.sdc.upper) == (pytest.approx(0.1), low, high)
    assert found.accuracy_worst == 0.9
    assert not any("cannot be injected" in note for note in found.notes)


def test_a_float_networks_sums_do_not_stop_its_campaign(tmp_path: Path) -> None:
    onnx.save(tiny_float(), tmp_path / "f.onnx")
    stored = [Target("mem", "weight", n, 30) for n in ("w0", "w1", "fw")]
    sums = [Target("sums", "accumulator", t, 5) for t in ("c0", "c1")]
    plan = UpsetPlan((*stored, *sums), 30, 4, floor=10)
    found = faults.campaign(tmp_path / "f.onnx", tiny_data(), plan)
    # All faults go where something can be learned.
    assert len(found.records) == found.faults == 30
    assert {s.structure: s.sdc.n for s in found.structures} == {"mem": 30, "sums": 0}
    alone = faults.campaign(tmp_path / "f.onnx", tiny_data(), replace(plan, targets=tuple(stored)))
    assert alone.records == found.records
    assert found.sdc is not None
    assert alone.sdc is not None
    assert found.sdc.upper == pytest.approx(0.1 + 0.9 * alone.sdc.upper)
    with pytest.raises(AccelsimError) as error:
        faults.campaign(tmp_path / "f.onnx", tiny_data(), replace(plan, targets=tuple(sums)))
    assert [m.code for m in error.value.mistakes] == ["F505"] * 2
    assert "no 8-bit convolution" in error.value.mistakes[0].message


def test_shards_of_a_campaign_with_assumed_targets_make_the_whole(tmp_path: Path) -> None:
    onnx.save(tiny_int8(), tmp_path / "i.onnx")
    targets = (*targets_of(Network(tiny_int8())), Target("acc", "accumulator", "sum_q", 70))
    plan = UpsetPlan(targets, 60, 4, floor=10)
    whole = faults.campaign(tmp_path / "i.onnx", tiny_data(), plan)
    parts = [
        faults.campaign(tmp_path / "i.onnx", tiny_data(), plan, shard=(i, 2)).records
        for i in (1, 2)
    ]
    assert sorted((r for p in parts for r in p), key=lambda r: r.index) == list(whole.records)
    acc = next(s for s in whole.structures if s.structure == "acc")
    assert acc.sdc.lower >= 70 / (40 + 41 + 42 + 43 + 70)
    assert acc.by_tensor["sum_q"] == (0, 1.0)


def codes(model: Path, data: EvalSet, plan: Any) -> list[str]:
    try:
        faults.check_campaign(model, data, plan)
    except AccelsimError as error:
        return sorted(m.code for m in error.mistakes)
    return []


def test_check_campaign_finds_what_a_campaign_would_refuse(tmp_path: Path) -> None:
    model, data = tmp_path / "i.onnx", tiny_data()
    onnx.save(tiny_int8(), model)
    later = UpsetPlan((), 100, 8)
    assert codes(model, data, later) == []
    assert codes(model, EvalSet(data.images, data.labels + 3), later) == ["F506"]
    assert codes(model, EvalSet(data.images[:, :2], data.labels), later) == ["F507"]
    assert codes(model, data, replace(later, images_per_fault=25)) == ["F501"]
    assert codes(model, data, replace(later, faults=0, confidence=2.0)) == ["F501"] * 2
    assert codes(tmp_path / "none.onnx", data, later) == ["F502"]
    good = (Target("m", "weight", "c1_w", 1),)
    bad = (Target("m", "weight", "no_such", 1),)
    sums = (Target("m", "accumulator", "sum_q", 1),)
    found = [codes(model, data, replace(later, targets=t)) for t in (good, bad, sums)]
    assert found == [[], ["F505"], ["F505"]]


def test_check_campaign_for_rates(tmp_path: Path) -> None:
    model, data, plan = tmp_path / "f.onnx", tiny_data(), RatePlan((1e-4,), 2, 10)
    onnx.save(tiny_float(), model)
    bounds = faults.profile_bounds(Network(tiny_float()), data.images)
    for good in (plan, replace(plan, clip="zero"), replace(plan, clip="zero", bounds=bounds)):
        assert codes(model, data, good) == []
    assert codes(model, data, replace(plan, clip="zero", bounds={"r0": 1.0})) == ["F509"]
    assert codes(model, data, replace(plan, rates=(2.0,))) == ["F501"]
    onnx.save(tiny_int8(relu=False), model)
    assert codes(model, data, replace(plan, clip="zero")) == ["F508"]
