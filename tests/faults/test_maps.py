"""Fault maps: the bit space, paired clip forms, and records recomputed from patched files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from fault_nets import tiny_data, tiny_float, tiny_int8
from onnx import numpy_helper

import faults
from accelsim.errors import AccelsimError
from faults.clip import clip_network
from faults.maps import MapRunner, rate_mistakes
from faults.network import Network, decisions, nonfinite
from faults.plan import RatePlan

PLAN = RatePlan((1e-4, 3e-3), 12, 10, seed=0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(tiny_float(), tmp_path / "f.onnx")
    return tmp_path / "f.onnx"


def runner(plan: RatePlan = PLAN) -> MapRunner:
    network, data = Network(tiny_float()), tiny_data()
    return MapRunner(network, data, network.run(data.images), plan)


def test_the_bit_space_is_all_weights_and_biases() -> None:
    sizes = [8 * 3 * 9, 8, 8 * 8 * 9, 8, 5 * 8, 5]
    made = runner()
    assert made.bits == 32 * sum(sizes)
    # First bit of the first bias; sign bit of the last value; two bits of one weight.
    found = made.patched(np.array([32 * 216, made.bits - 1, 3, 30]))
    assert set(found) == {"w0", "b0", "fb"}
    assert found["fb"][-1] == -made.values["fb"][-1]
    words, before = found["w0"].view(np.uint32), made.values["w0"].view(np.uint32)
    changed = words.reshape(-1) ^ before.reshape(-1)
    assert changed[0] == (1 << 3) | (1 << 30)
    assert not changed[1:].any()
    assert (found["b0"].view(np.uint32) ^ made.values["b0"].view(np.uint32)).tolist() == [1] + [
        0
    ] * 7


def test_records_equal_runs_of_patched_files(model: Path) -> None:
    data = tiny_data()
    found = faults.campaign(model, data, PLAN)
    made = runner()
    assert [r.stratum for r in found.records[:2]] == ["rate=0.0001"] * 2
    for record in found.records:
        number = record.index % PLAN.maps
        positions, images = made.sample(PLAN.rates[record.index // PLAN.maps], number)
        assert record.flips == len(positions)
        patched = onnx.load(model)
        changes = made.patched(positions)
        for tensor in patched.graph.initializer:
            if tensor.name in changes:
                tensor.CopyFrom(numpy_helper.from_array(changes[tensor.name], tensor.name))
        top = decisions(Network(patched).run(data.images[images]))
        assert record.correct == (top == data.labels[images]).sum()
        assert record.sdc1 == (top != made.decided[images]).sum()
    assert max(r.flips for r in found.records) > 20
    rate = found.rates[1]
    mine = [r for r in found.records if r.stratum == "rate=0.003"]
    assert rate.accuracy.mean == pytest.approx(np.mean([r.correct / 10 for r in mine]))
    assert rate.accuracy_worst == min(r.correct / 10 for r in mine)
    assert rate.nonfinite == sum(r.nonfinite for r in mine) / 120
    assert found.accuracy == rate.accuracy
    assert found.sdc is None


def test_clip_forms_meet_the_same_flips_on_the_same_images(model: Path) -> None:
    data = tiny_data()
    results = {
        clip: faults.campaign(model, data, replace(PLAN, clip=clip, maps=40))
        for clip in ("none", "saturate", "zero")
    }
    flips = {c: [(r.index, r.flips) for r in found.records] for c, found in results.items()}
    assert flips["none"] == flips["saturate"] == flips["zero"]
    assert {f.accuracy_fault_free for f in results.values()} == {
        results["none"].accuracy_fault_free
    }
    assert any("NaN" in note for note in results["saturate"].notes)


def broken_images(form: str, last: bool) -> int:
    """(map, image) pairs without a finite output; ``last``: flips behind the last Relu count."""
    data, plan = tiny_data(), replace(PLAN, clip=form, maps=40)
    model = tiny_float()
    bounds = faults.profile_bounds(Network(model), data.images)
    network = Network(clip_network(model, bounds, form))
    made = MapRunner(network, data, network.run(data.images), plan)
    end = made.bits if last else made.starts[list(made.values).index("fw")]
    total = 0
    for number in range(plan.maps):
        positions, images = made.sample(plan.rates[1], number)
        scores = made._scores(positions[positions < end], images)
        total += int(nonfinite(scores).sum())
    return total


def test_the_zero_form_stops_all_that_is_not_finite_in_front_of_the_last_relu() -> None:
    """What remains are products that overflow behind it, where nothing is clipped."""
    assert broken_images("none", last=False) > 100
    assert broken_images("zero", last=False) == 0
    assert broken_images("saturate", last=False) > 0  # Clip passes NaN on
    assert 0 < broken_images("zero", last=True) < broken_images("saturate", last=True)


def test_no_flip_is_masked_and_rate_one_flips_everything(model: Path) -> None:
    found = faults.campaign(model, tiny_data(), RatePlan((0.0, 1.0), 2, 5))
    assert [r.outcome for r in found.records[:2]] == ["masked"] * 2
    assert [r.flips for r in found.records] == [0, 0, runner().bits, runner().bits]


def test_8_bit_networks_take_maps_too(tmp_path: Path) -> None:
    onnx.save(tiny_int8(), tmp_path / "i.onnx")
    found = faults.campaign(tmp_path / "i.onnx", tiny_data(), RatePlan((1e-3,), 10, 10))
    assert found.format == "int8"
    assert sum(r.flips for r in found.records) > 0
    plan = RatePlan((1e-3,), 10, 10, clip="zero")
    onnx.save(tiny_int8(relu=False), tmp_path / "n.onnx")
    with pytest.raises(AccelsimError, match="no Relu"):
        faults.campaign(tmp_path / "n.onnx", tiny_data(), plan)


def test_workers_give_the_same_bytes(model: Path) -> None:
    plan = replace(PLAN, clip="zero")
    alone = faults.campaign(model, tiny_data(), plan)
    assert repr(faults.campaign(model, tiny_data(), plan, workers=2)) == repr(alone)


def test_given_bounds_are_used_and_must_be_complete(model: Path) -> None:
    data = tiny_data()
    bounds = faults.profile_bounds(Network.load(model), data.images)
    plan = replace(PLAN, clip="zero")
    assert faults.campaign(model, data, replace(plan, bounds=bounds)).records == (
        faults.campaign(model, data, plan).records
    )
    with pytest.raises(AccelsimError) as error:
        faults.campaign(model, data, replace(plan, bounds={"r0": 1.0}))
    assert [m.code for m in error.value.mistakes] == ["F509"]
    with pytest.raises(AccelsimError) as error:
        faults.campaign(model, data, replace(plan, bounds={**bounds, "c1": 1.0}))
    assert [m.code for m in error.value.mistakes] == ["F508"]


def test_bad_plans_name_everything(model: Path) -> None:
    bad = RatePlan((1e-5, 1e-5, -1.0, float("nan")), 0, 0, clip="cut", confidence=0)
    assert len(rate_mistakes(bad)) == 7
    assert rate_mistakes(RatePlan((), 1, 1))[0].code == "F501"
    with pytest.raises(AccelsimError):
        faults.campaign(model, tiny_data(), replace(PLAN, images_per_map=25))
