"""Fault injection on ONNX networks, statistics and FMEDA.

Usable alone: ``faults.campaign(model, data, plan)``, ``faults.fmeda(rows)``,
``faults.upset_outputs(...)``. Other public names are resolved on first use, so that importing the
package loads neither the runtime nor the statistics.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# These two are called like their modules. Bound here, before anything else imports the modules, the
# names stay functions: a package attribute is set to a submodule only at its first import.
from faults.campaign import campaign, check_campaign
from faults.fmeda import fmeda

if TYPE_CHECKING:
    from faults.clip import clip_network, profile_bounds
    from faults.data import EvalSet, load_data
    from faults.fmeda import check_budget, fmeda_csv, fmeda_json
    from faults.hardware import upset_outputs
    from faults.network import Network, accuracy, decisions
    from faults.oracle import full_forward_upset
    from faults.plan import (
        KINDS,
        CampaignResult,
        Estimate,
        FaultRecord,
        RatePlan,
        RateResult,
        StructureResult,
        Target,
        UpsetPlan,
    )
    from faults.rows import PERMANENT, TRANSIENT, ClassifiedRow, Fmeda, FmedaRow
    from faults.sites import Upset
    from faults.stats import (
        clopper_pearson,
        leveugle_sample_size,
        mean_estimate,
        mean_interval,
        rule_of_three,
        sample_size_for_half_width,
        stratified_mean,
        wilson,
    )
    from faults.summary import Run, summarise

__version__ = "0.1.0"

_HOME = {
    "CampaignResult": "plan",
    "ClassifiedRow": "rows",
    "Estimate": "plan",
    "EvalSet": "data",
    "FaultRecord": "plan",
    "Fmeda": "rows",
    "FmedaRow": "rows",
    "KINDS": "plan",
    "Network": "network",
    "PERMANENT": "rows",
    "RatePlan": "plan",
    "RateResult": "plan",
    "Run": "summary",
    "StructureResult": "plan",
    "TRANSIENT": "rows",
    "Target": "plan",
    "Upset": "sites",
    "UpsetPlan": "plan",
    "accuracy": "network",
    "check_budget": "fmeda",
    "clip_network": "clip",
    "clopper_pearson": "stats",
    "decisions": "network",
    "fmeda_csv": "fmeda",
    "fmeda_json": "fmeda",
    "full_forward_upset": "oracle",
    "leveugle_sample_size": "stats",
    "load_data": "data",
    "mean_estimate": "stats",
    "mean_interval": "stats",
    "profile_bounds": "clip",
    "rule_of_three": "stats",
    "sample_size_for_half_width": "stats",
    "stratified_mean": "stats",
    "summarise": "summary",
    "upset_outputs": "hardware",
    "wilson": "stats",
}

__all__ = [
    "KINDS",
    "PERMANENT",
    "TRANSIENT",
    "CampaignResult",
    "ClassifiedRow",
    "Estimate",
    "EvalSet",
    "FaultRecord",
    "Fmeda",
    "FmedaRow",
    "Network",
    "RatePlan",
    "RateResult",
    "Run",
    "StructureResult",
    "Target",
    "Upset",
    "UpsetPlan",
    "accuracy",
    "campaign",
    "check_budget",
    "check_campaign",
    "clip_network",
    "clopper_pearson",
    "decisions",
    "fmeda",
    "fmeda_csv",
    "fmeda_json",
    "full_forward_upset",
    "leveugle_sample_size",
    "load_data",
    "mean_estimate",
    "mean_interval",
    "profile_bounds",
    "rule_of_three",
    "sample_size_for_half_width",
    "stratified_mean",
    "summarise",
    "upset_outputs",
    "wilson",
]


def __getattr__(name: str) -> Any:
    """Load the module that holds a public name when the name is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'faults' has no attribute {name!r}")
    value = getattr(import_module(f"faults.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
