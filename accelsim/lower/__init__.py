"""Workload x accelerator x memory plan -> task graph."""

from accelsim.lower.lowering import lower, plan_traffic

__all__ = ["lower", "plan_traffic"]
