"""What does not fit is named, with what would."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hardware_samples import edge_npu, one_conv

from accelsim.arch.parts import AccumulatorSram, Scratchpad
from accelsim.errors import InfeasibleError
from accelsim.mapping import candidates, require_legal


def test_infeasible_operator_is_named_with_terms_and_levers():
    workload = one_conv(c_in=64, size=12, c_out=24)
    machine = edge_npu(scratchpad=Scratchpad(512))
    op = workload.ops[0]
    found = candidates(op, workload, machine)
    with pytest.raises(InfeasibleError) as caught:
        require_legal(op, found, workload, machine)
    why = caught.value.infeasibility
    assert "'conv'" in why.statement
    assert why.limit == 512 < why.demand
    assert sum(amount for _, amount in why.terms) <= why.demand
    enough = replace(machine, scratchpad=Scratchpad(why.demand))
    require_legal(op, candidates(op, workload, enough), workload, enough)
    assert str(why.demand) in why.levers[0]
    short = replace(machine, scratchpad=Scratchpad(why.demand - 16))
    with pytest.raises(InfeasibleError):
        require_legal(op, candidates(op, workload, short), workload, short)


def test_accumulators_too_small_for_one_pixel():
    workload, machine = one_conv(), edge_npu(accumulators=AccumulatorSram(64))
    op = workload.ops[0]
    assert candidates(op, workload, machine) == ()
    with pytest.raises(InfeasibleError) as caught:
        require_legal(op, (), workload, machine)
    assert caught.value.infeasibility.demand == 2 * 16 * 4
