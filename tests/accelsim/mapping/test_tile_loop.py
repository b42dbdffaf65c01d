"""Estimates of double-buffered tile loops."""

from __future__ import annotations

from dataclasses import replace

from hardware_samples import edge_npu

from accelsim.arch.parts import Dma, Dram
from accelsim.mapping import Timing
from accelsim.mapping.flow import Flow
from accelsim.mapping.tile_loop import pipelined


def test_pipeline_estimates_by_hand():
    """Four tiles of 100 cycles; loads of 64 B (10 cycles) and stores of 128 B (20), 66 fixed."""
    flow = Flow(loads=4, read=256, stores=4, written=512, first=76, last=86)
    assert (
        pipelined(Timing(edge_npu()), flow, compute=400, tiles=4)
        == 76 + 400 + 86 + ((76 + (304 + 344 - 76 - 86 + 100) + 86) - (76 + 400 + 86)) // 4
    )
    single = pipelined(Timing(edge_npu(dma=Dma(1, 16))), flow, compute=400, tiles=4)
    assert single == 76 + (4 * 76 + 4 * 86 - 76 - 86 + 100) + 86
    free = edge_npu(dram=Dram("LPDDR4", 3_200_000_000_000, 0), dma=Dma(2, 0))
    nothing = Flow(4, 256, 4, 512, 8, 4)
    assert pipelined(Timing(free), nothing, compute=400, tiles=4) == 8 + 400 + 4
    early = replace(flow, hidden=50)
    assert pipelined(Timing(edge_npu()), early, compute=4000, tiles=4) == 26 + 4000 + 86
