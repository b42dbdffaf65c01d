"""Fault-free tensors, computed when first asked for and kept within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from faults.data import EvalSet
from faults.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FaultFree:
    """Fault-free values of tensors on some images, computed when first asked for.

    ``images`` maps positions of the evaluation set to rows here. Articulations are kept until the
    end, other tensors until :meth:`release`.
    """

    def __init__(
        self, network: Network, data: EvalSet, images: Sequence[int] | None = None
    ) -> None:
        self.network = network
        chosen = np.arange(len(data)) if images is None else np.asarray(sorted(set(images)))
        self._row = np.full(len(data), -1, np.int64)
        self._row[chosen] = np.arange(len(chosen))
        self._kept: dict[str, NDArray[Any]] = {
            network.input: data.images if images is None else data.images[chosen]
        }

    def rows(self, tensor: str, images: NDArray[np.int64]) -> NDArray[Any]:
        """Values of ``tensor`` for positions ``images`` of the evaluation set."""
        return self.all(tensor)[self._row[images]]

    def places(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of :meth:`all` that hold these positions of the evaluation set."""
        return self._row[images]

    def all(self, tensor: str) -> NDArray[Any]:
        """Values for all images here."""
        if tensor not in self._kept:
            place = self.network.place(tensor)
            before = [t for t in self.network.articulations if self.network.place(t) < place]
            start = max(i for i, t in enumerate(before) if t in self._kept)
            for here, goal in pairwise(before[start:]):
                self._make(here, goal)
            near = [
                t
                for t in self._kept
                if self.network.place(before[-1]) < self.network.place(t) < place
            ]
            self._make(next((t for t in near if self._leads(t, tensor)), before[-1]), tensor)
        return self._kept[tensor]

    def release(self, keep: int = 0) -> None:
        """Forget everything but the articulations and the ``keep`` tensors made last."""
        passing = [t for t in self._kept if t not in self.network.articulations]
        for tensor in passing[: max(0, len(passing) - keep)]:
            del self._kept[tensor]

    def _leads(self, start: str, goal: str) -> bool:
        """Whether ``goal`` can be made from ``start`` and what is kept."""
        return set(self.network.graph.sides(start, goal)[1]) <= self._kept.keys()

    def _make(self, start: str, goal: str) -> None:
        part = self.network.segment(start, goal)
        feeds = {t: self._kept[t] for t in (start, *part.sides)}
        self._kept[goal] = self.network.run_session(part.session, feeds, goal)
