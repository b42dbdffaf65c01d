"""What tests of several packages share."""

from __future__ import annotations

import pytest

MACHINE = """\
schema: accelsim/accelerator/v1
name: machine
clock: 500 MHz
technology: 45 nm
array: {rows: 16, cols: 16}
vector: {lanes: 16}
scratchpad: {size: 128 KiB}
accumulators: {size: 32 KiB}
dram: {kind: LPDDR4, bandwidth: 3.2 GB/s}
"""


@pytest.fixture(scope="session")
def bare_machine() -> str:
    """An accelerator file with nothing but what has to be stated."""
    return MACHINE
