"""How an operator can run on an accelerator: tilings, buffers, residency, and what they cost."""

from accelsim.mapping.bounds import lower_bounds
from accelsim.mapping.legality import require_legal, workspace
from accelsim.mapping.objective import Objective
from accelsim.mapping.search import Search, candidates
from accelsim.mapping.timing import Timing

__all__ = [
    "Objective",
    "Search",
    "Timing",
    "candidates",
    "lower_bounds",
    "require_legal",
    "workspace",
]
