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

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.arch.system import MOST_CORES
from accelsim.config.fields import (
    LARGEST,
    Bytes,
    BytesPerSecond,
    Cycles,
    Exact,
    OneOf,
    Part,
    Text,
    about,
    problem,
)
from accelsim.config.hardware import AcceleratorPart

AUTO = "auto"
DYNAMIC = "dynamic"
STRATEGIES = ("single", "images", "pipeline", "layers", "channels", "rows", "mixed")
"""Names of :data:`accelsim.multicore.strategies.STRATEGIES`, which is not imported for them."""
POLICIES = ("static", "dynamic", "tiles", "tiles-deepest")
"""Names of :class:`accelsim.parallel.policies.PolicyName`."""


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


class DynamicPart(Part):
    """Tiles that cores take while time passes (strategy ``dynamic``)."""

    policy: Annotated[
        str,
        OneOf((AUTO, *POLICIES), "policy"),
        about(
            "static: equal shares and a barrier per operator; dynamic: a common list and a "
            "barrier; tiles: no barriers, nearest the input first (tiles-deepest: farthest); auto: "
            "the first three are compared"
        ),
    ] = AUTO
    tiles: Annotated[
        int, Field(ge=1, le=65_536), about("of an operator's output, at most", unit="tiles")
    ] = 64
    jitter: Annotated[
        float,
        Field(ge=0, le=2),
        about("standard deviation of a tile's time over its mean, log-normal", unit="1"),
    ] = 0.0
    seed: Annotated[int, Field(ge=0, le=LARGEST), about("of the jitter")] = 0
    node_cycles: Annotated[Cycles, about("to schedule a tile", unit="cycles")] = 0
    barrier_cycles: Annotated[
        Cycles, about("of a barrier between operators (static, dynamic)", unit="cycles")
    ] = 0
    locality: Annotated[
        Exact,
        Field(lt=1),
        about("share of its work that a tile saves right after one of its parents", unit="1"),
    ] = Field(default=0, validate_default=True)


class ParallelPart(Part):
    """How a network is spread over several cores."""

    strategy: Annotated[
        str,
        OneOf((AUTO, *STRATEGIES, DYNAMIC), "strategy"),
        about(
            "whole operators (single, layers, pipeline), whole inferences (images), or parts of "
            "operators (channels, rows, mixed); auto: all of these that apply, and the best is "
            "kept; dynamic: tiles, taken while time passes, compute only"
        ),
    ] = AUTO
    images: Annotated[
        int,
        Field(ge=1, le=4096),
        about("independent inferences (of workload.batch each) that one run makes", unit="runs"),
    ] = 1
    dynamic: Annotated[DynamicPart | None, about("how tiles are taken, with strategy: dynamic")] = (
        None
    )

    @field_validator("dynamic")
    @classmethod
    def _taken(cls, part: DynamicPart | None, info: ValidationInfo) -> DynamicPart | None:
        strategy = info.data.get("strategy")
        if part is not None and strategy not in (None, DYNAMIC):
            message = f"strategy '{strategy}' takes no tiles dynamically"
            raise problem("C009", message, "strategy: dynamic")
        return part
