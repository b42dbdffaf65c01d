"""Several cores: operators assigned to them, whole or in parts, and one program for all."""

from accelsim.multicore.assign import Assignment, Part
from accelsim.multicore.run import SystemRun, run_system

__all__ = ["Assignment", "Part", "SystemRun", "run_system"]
