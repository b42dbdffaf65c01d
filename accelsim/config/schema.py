"""What a config file may say: pydantic models, used at this boundary only.

Every field carries its unit and meaning; ``accelsim explain KEY`` and ``accelsim schema`` print
them. The models are strict: no coercion, no unknown keys. After validation they are converted to
the frozen dataclasses of :mod:`accelsim.config.types` and forgotten.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from accelsim.config.cores import ParallelPart, SystemPart
from accelsim.config.fields import (
    LARGEST,
    Count,
    File,
    OneOf,
    Part,
    Positive,
    Probability,
    Text,
    about,
    problem,
)
from accelsim.config.hardware import AcceleratorPart
from accelsim.config.requirements import SafetyPart, TargetPart

RUN = "accelsim/run/v1"
ACCELERATOR = "accelsim/accelerator/v1"
SAFETY = "accelsim/safety/v1"
SYSTEM = "accelsim/system/v1"

LARGEST_PIXEL = 1e9
"""Bound of the constants that normalise pixels, and of their reciprocals."""


class WorkloadPart(Part):
    """Which network runs."""

    model: Annotated[
        File,
        about("network file (ONNX, TensorFlow Lite, SCALE-Sim topology, YAML), relative to this"),
    ]
    batch: Annotated[int, Field(ge=1, le=65_536), about("images per inference", unit="images")] = 1
    unsupported: Annotated[
        str,
        OneOf(("refuse", "fallback"), "treatment"),
        about(
            "operators the simulator does not know: 'refuse' the network, or cost them as "
            "element-wise work ('fallback') and list them"
        ),
    ] = "refuse"
    recurrent: Annotated[
        str,
        OneOf(("batched", "stepwise"), "reading of recurrent layers"),
        about(
            "LSTM, GRU, RNN: one product of the inputs at all steps ('batched'), or one per step "
            "('stepwise'), as on machines that know no sequences"
        ),
    ] = "batched"
    precision: Annotated[
        str,
        OneOf(("file", "int8"), "precision"),
        about(
            "number format that is simulated: that of the file, or the file's shapes as if it were "
            "quantised to int8 (the campaign injects into the file as it is)"
        ),
    ] = "file"


Extent = Annotated[int, Field(ge=1, le=2**40)]


class LayerPart(Part):
    """A fixed mapping of one operator, or of several by wildcard; what is left out stays open."""

    m: Annotated[Extent | None, about("output pixels (rows of A) per tile")] = None
    n: Annotated[Extent | None, about("output channels per tile")] = None
    k: Annotated[Extent | None, about("reduction elements per tile")] = None
    order: Annotated[
        str | None,
        OneOf(("nmk", "mnk", "nkm", "mkn", "knm", "kmn"), "loop order"),
        about(
            "loops over tiles, outer to inner, n: channels, m: pixels, k: reduction; loops inside "
            "k keep the sums of all they walk over in half of the accumulators"
        ),
    ] = None
    dataflow: Annotated[
        str | None,
        OneOf(("ws", "os", "is", "rs", "dot"), "dataflow"),
        about("which of the array's dataflows runs it"),
    ] = None
    stream: Annotated[
        list[Text] | None,
        Field(max_length=100),
        about(
            "tensors that stay in the backing memory and move tile by tile: 'inputs', 'output' or "
            "names; an empty list keeps everything in the scratchpad"
        ),
    ] = None


class MappingPart(Part):
    """How tilings are chosen: searched, by a rule, or fixed."""

    objective: Annotated[
        str,
        OneOf(("latency", "energy", "traffic", "edp"), "objective"),
        about("what the plan minimises; edp: energy x delay"),
    ] = "latency"
    rule: Annotated[
        str | None,
        OneOf(("fold", "layer"), "mapping rule"),
        about(
            "take every tiling by this rule instead of searching (fold: one array fold per tile; "
            "layer: the largest tile the accumulators hold), with a quick plan that proves nothing"
        ),
    ] = None
    layers: Annotated[
        dict[str, LayerPart],
        Field(max_length=10_000),
        about("operator name or wildcard -> fixed mapping, obeyed or refused; the last match wins"),
    ] = Field(default_factory=dict)

    @field_validator("layers")
    @classmethod
    def _not_beside_a_rule(
        cls, layers: dict[str, LayerPart], info: ValidationInfo
    ) -> dict[str, LayerPart]:
        if layers and info.data.get("rule"):
            message = f"rule '{info.data['rule']}' maps every operator; layers would be ignored"
            raise problem("C009", message, "leave one of the two out")
        return layers

    @field_validator("rule")
    @classmethod
    def _no_other_aim(cls, rule: str | None, info: ValidationInfo) -> str | None:
        objective = info.data.get("objective")
        if rule and objective not in (None, "latency"):
            message = f"rule '{rule}' compares nothing; objective '{objective}' would be ignored"
            raise problem("C009", message, "leave one of the two out")
        return rule


class SchedulePart(Part):
    """How order, residency and addresses are solved."""

    order: Annotated[
        str,
        OneOf(("free", "given"), "order"),
        about("'free': any valid order; 'given': the file's"),
    ] = "free"
    solver: Annotated[str, OneOf(("cpsat", "cbc", "highs"), "solver"), about("the optimiser")] = (
        "cpsat"
    )
    effort: Annotated[
        float, Field(gt=0, le=10**6), about("deterministic solver time, about seconds", unit="1")
    ] = 20.0


class DataPart(Part):
    """Labelled evaluation images: (x / divide_by - mean) / std per channel."""

    file: Annotated[
        File, about("npz with images [n, c, h, w] and labels [n], relative to this file")
    ]
    divide_by: Annotated[
        Positive, about("brings stored values to the network's scale", unit="1")
    ] = 1.0
    mean: Annotated[
        list[float], Field(min_length=1, max_length=4096), about("per channel, or one")
    ] = Field(default_factory=lambda: [0.0])
    std: Annotated[
        list[Positive], Field(min_length=1, max_length=4096), about("per channel, or one")
    ] = Field(default_factory=lambda: [1.0])
    limit: Annotated[Count | None, about("use only the first so many images", unit="images")] = None

    @field_validator("divide_by", "mean", "std")
    @classmethod
    def _usable(cls, given: float | list[float], info: ValidationInfo) -> float | list[float]:
        """As ``faults.load_data`` has it: float32 pixels stay finite and exact on the way."""
        low = -LARGEST_PIXEL if info.field_name == "mean" else 1 / LARGEST_PIXEL
        for value in given if isinstance(given, list) else [given]:
            if not low <= value <= LARGEST_PIXEL:
                message = f"must be between {low:g} and {LARGEST_PIXEL:g}, is {value:g}"
                raise problem("C004", message, "beyond that, float32 pixels lose their values")
        return given

    @field_validator("std")
    @classmethod
    def _one_per_channel(cls, std: list[float], info: ValidationInfo) -> list[float]:
        mean = info.data.get("mean", std)
        if len(mean) != len(std) and 1 not in (len(mean), len(std)):
            message = f"std has {len(std)} channels, mean has {len(mean)}"
            raise problem("C009", message, "give one value per channel in both")
        return std


class FaultsPart(Part):
    """A fault-injection campaign on the evaluation images."""

    mode: Annotated[
        str,
        OneOf(("exposure", "rate"), "mode"),
        about(
            "'exposure': single upsets drawn by bits x resident "
            "time of the simulated plan; "
            "'rate': bit flips over all stored weights at a rate per bit"
        ),
    ]
    count: Annotated[Count, about("exposure: number of upsets", unit="upsets")] = 2000
    images_per_fault: Annotated[Count, about("images seen by each fault", unit="images")] = 32
    rates: Annotated[
        list[Probability],
        Field(max_length=100),
        about("rate: probabilities per bit", unit="1"),
    ] = Field(default_factory=list)
    maps: Annotated[Count, about("rate: fault maps per rate", unit="maps")] = 60
    clip: Annotated[
        str,
        OneOf(("none", "saturate", "zero"), "clip"),
        about(
            "rate: bound activations at profiled maxima; out of range 'saturate's or becomes 'zero'"
        ),
    ] = "none"
    bounds: Annotated[
        File | None, about("JSON of activation maxima, relative to this file; else profiled")
    ] = None
    seed: Annotated[int, Field(ge=0, le=LARGEST), about("same seed, same faults")] = 0
    confidence: Annotated[float, Field(ge=0.5, lt=1), about("of every interval", unit="1")] = 0.95

    @field_validator("rates")
    @classmethod
    def _distinct(cls, rates: list[float]) -> list[float]:
        if len(set(rates)) != len(rates):
            raise problem("C009", "the same rate twice", "list every rate once")
        return rates


class RunPart(Part):
    """A run config (``schema: accelsim/run/v1``)."""

    name: Annotated[str | None, about("name of the study and of its run folder")] = None
    description: Annotated[str, about("free text")] = ""
    extends: Annotated[File | None, about("another run config that this one overrides")] = None
    workload: Annotated[WorkloadPart | None, about("which network runs (required)")] = None
    accelerator: Annotated[
        AcceleratorPart | None, about("the machine, or the path of its file")
    ] = None
    system: Annotated[
        SystemPart | None,
        about("unequal cores in place of the accelerator, or the path of their file"),
    ] = None
    parallel: Annotated[
        ParallelPart | None, about("how the network is spread over several cores")
    ] = None
    simulate: Annotated[bool, about("false: fault campaign only; no cycles, energy or FMEDA")] = (
        True
    )
    mapping: Annotated[MappingPart, about("what the mapping search minimises")] = MappingPart()
    schedule: Annotated[SchedulePart, about("how order, residency and addresses are solved")] = (
        SchedulePart()
    )
    data: Annotated[DataPart | None, about("labelled evaluation images")] = None
    faults: Annotated[FaultsPart | None, about("the fault campaign")] = None
    safety: Annotated[
        SafetyPart | None, about("inputs of the FMEDA, or the path of their file")
    ] = None
    variants: Annotated[
        dict[str, dict[str, Any] | None],
        about("name -> overrides of the base run, nested or dotted; null leaves a variant out"),
    ] = Field(default_factory=dict)
    targets: Annotated[list[TargetPart], about("requirements that decide the exit code")] = Field(
        default_factory=list
    )


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the four kinds of file: run, accelerator, system, safety."""
    from pydantic.json_schema import models_json_schema

    files: dict[str, type[BaseModel]] = {
        RUN: RunPart,
        ACCELERATOR: AcceleratorPart,
        SYSTEM: SystemPart,
        SAFETY: SafetyPart,
    }
    _, schema = models_json_schema(
        [(model, "validation") for model in files.values()], title="accelsim config files"
    )
    for identifier, model in files.items():
        definition = schema["$defs"][model.__name__]
        definition["properties"]["schema"] = {"const": identifier, "title": "Schema"}
    run = schema["$defs"]["RunPart"]
    run["required"] = ["schema"]
    path = {"type": "string", "format": "path"}
    for key in ("accelerator", "safety", "system"):
        run["properties"][key]["anyOf"].insert(0, path)
    core = schema["$defs"]["CorePart"]["properties"]
    core["accelerator"] = {"anyOf": [path, core["accelerator"]]}
    cores = schema["$defs"]["SystemPart"]["properties"]["cores"]
    cores["items"] = {"anyOf": [path, cores["items"]]}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["oneOf"] = [{"$ref": f"#/$defs/{model.__name__}"} for model in files.values()]
    return schema
