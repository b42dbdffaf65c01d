"""One file per dataflow: everything that is true of it (a leaf: standard library and numpy only).

Every dataflow module answers the same questions (:class:`accelsim.dataflow.gemm.Dataflow`): how
many folds a product needs, how long one tile takes, how soon the next tile may follow, and how
often each operand and partial sum is moved. :func:`gemm_cycles` puts them together.
"""

from accelsim.dataflow.gemm import DATAFLOWS, gemm_cycles, overlaps_of

__all__ = ["DATAFLOWS", "gemm_cycles", "overlaps_of"]
