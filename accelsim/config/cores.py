"""Several cores in a config: the machine as a system of cores, and how a network is spread over it.

Pydantic models, used at this boundary only.

.. code-block:: yaml

    schema: accelsim/system/v1
    name: one large and two small
    cores:
      - accelerator: large.yaml
      - {accelerator: large.yaml, overrides: {name: small, array.rows: 8}, count: 2}
    link: {bandwidth: 8 GB/s, buffer: 512 KiB, latency_cycles: 10}
    sync_cycles: 20
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from accelsim.arch.system import MOST_CORES
from accelsim.config.fields import (
    Bytes,
    BytesPerSecond,
    Cycles,
    OneOf,
    Part,
    Text,
    about,
)
from accelsim.config.hardware import AcceleratorPart

AUTO = "auto"
STRATEGIES = ("single", "images", "pipeline", "layers", "channels", "rows", "mixed")
"""Names of :data:`accelsim.multicore.strategies.STRATEGIES`, which is not imported for them."""


class CorePart(Part):
    """Equal cores of a system."""

    accelerator: Annotated[
        AcceleratorPart, about("the core, or the path of its file, relative to this file")
    ]
    overrides: Annotated[
        dict[str, Any], about("keys laid over the accelerator, nested or dotted: array.rows: 8")
    ] = Field(default_factory=dict)
    count: Annotated[
        int, Field(ge=1, le=MOST_CORES), about("how many such cores", unit="cores")
    ] = 1


class LinkPart(Part):
    """The interconnect of the cores and the buffer behind it."""

    bandwidth: Annotated[BytesPerSecond, about("of the link, one transfer at a time", unit="B/s")]
    buffer: Annotated[Bytes, about("shared memory for what goes from core to core", unit="B")]
    latency_cycles: Annotated[Cycles, about("charged once per transfer", unit="cycles")] = 0


class SystemPart(Part):
    """Cores that share clock and backing memories (``schema: accelsim/system/v1`` in a file)."""

    name: Annotated[Text, about("shown in reports")]
    description: Annotated[str, about("free text")] = ""
    cores: Annotated[
        list[CorePart],
        Field(min_length=1, max_length=MOST_CORES),
        about("the cores in order; the path of an accelerator file is one such core"),
    ]
    link: Annotated[LinkPart | None, about("left out: cores exchange through the dram")] = None
    sync_cycles: Annotated[
        Cycles, about("from the end of a core's result to its use on another", unit="cycles")
    ] = 0


class ParallelPart(Part):
    """How a network is spread over several cores."""

    strategy: Annotated[
        str,
        OneOf((AUTO, *STRATEGIES), "strategy"),
        about(
            "whole operators (single, layers, pipeline), whole inferences (images), or parts of "
            "operators (channels, rows, mixed); auto: all that apply, and the best is kept"
        ),
    ] = AUTO
    images: Annotated[
        int,
        Field(ge=1, le=4096),
        about("independent inferences (of workload.batch each) that one run makes", unit="runs"),
    ] = 1
