"""A classification network that can be run whole, or from any quantised tensor on.

The whole model in ONNX Runtime is the reference for everything. :meth:`Network.resume` gives the
same logits, bit for bit, from a changed tensor: it hops from articulation to articulation (tensors
that everything passes through) and drops, at each, the images that equal the fault-free run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import AccelsimError, Location, Mistake
from faults.data import EvalSet
from faults.graph import RUNTIME_ERRORS, Graph, TensorInfo, load_model, open_session
from faults.layers import PRODUCTS, IntLayer, find_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faults.fault_free import FaultFree

BATCH = 128
"""Images per call of the runtime. Fixed, so that results cannot depend on who runs what."""


@dataclass(frozen=True, eq=False)
class Segment:
    """The sub-network from one cut to the next; ``sides`` are further tensors it reads."""

    session: Any
    cut: str
    goal: str
    sides: tuple[str, ...]


class Network:
    """An ONNX classification network with one image input and one output of class scores.

    Build with :meth:`load` or from a ``ModelProto``. Sessions are made when first used and kept;
    the network itself never changes.
    """

    def __init__(self, model: Any, name: str = "network") -> None:
        self.name = name
        self.graph = Graph(model, name)
        self.input, self.output = self.graph.input, self.graph.output
        self._session = open_session(self.graph.model, name)
        self.input_shape = self._input_shape()
        self.info = self._describe()
        self.layers: tuple[IntLayer, ...] = find_layers(self.graph, self.info)
        self._segments: dict[tuple[str, str], Segment] = {}
        self._order = {t: i for i, t in enumerate([self.input, *self.graph.quantised])}
        self.articulations = (self.input, *(t for t in self.graph.articulations if t in self.info))

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """The network in an ONNX file. AccelsimError F502 (unreadable), F504 (inputs, outputs)."""
        return cls(load_model(path), str(path))

    @property
    def format(self) -> str:
        """``int8`` for a network with quantised layers, else the type of its weights."""
        if self.layers:
            return "int8"
        kinds = [self.graph.value(n).dtype.name for n in self.weight_names()]
        return next((k for k in ("float32", "float16", "float64") if k in kinds), "float32")

    @property
    def classes(self) -> int:
        """Number of class scores."""
        return self.info[self.output].shape[0]

    def weight_names(self) -> tuple[str, ...]:
        """Initializers that are weights or biases of convolutions and matrix products, directly or
        behind a DequantizeLinear, in order of use. Shapes, pads and scales are not among them."""
        found: dict[str, None] = {}
        for node in self.graph.nodes:
            places = PRODUCTS.get(node.op_type, ())
            for name in (node.input[i] for i in places if i < len(node.input)):
                maker = self.graph.node_of(name)
                if maker is not None and maker.op_type == "DequantizeLinear":
                    name = maker.input[0]
                if name in self.graph.initializers:
                    found[name] = None
        return tuple(found)

    def run(self, images: NDArray[np.float32]) -> NDArray[np.generic]:
        """Class scores [n, classes] of the whole model."""
        return self.run_session(self._session, {self.input: images}, self.output)

    def run_session(
        self, session: Any, feeds: Mapping[str, NDArray[Any]], goal: str
    ) -> NDArray[np.generic]:
        """``goal`` of a session, in calls of at most BATCH images. F502 when the runtime fails."""
        count = len(next(iter(feeds.values())))
        parts = []
        for start in range(0, max(count, 1), BATCH):
            part = {name: values[start : start + BATCH] for name, values in feeds.items()}
            try:
                parts.append(session.run([goal], part)[0])
            except RUNTIME_ERRORS as error:
                hint = "check it in ONNX Runtime with these images"
                text = f"the network fails to run: {_line(error)}"
                raise self._mistake("F502", text, hint) from error
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def segment(self, cut: str, goal: str) -> Segment:
        """The sub-network that makes ``goal`` from ``cut``."""
        key = (cut, goal)
        if key not in self._segments:
            nodes, sides = self.graph.sides(cut, goal)
            unknown = [s for s in sides if s not in self.info]
            if unknown:
                text = f"cannot cut at '{cut}': '{unknown[0]}' crosses it without a batch dimension"
                raise self._mistake("F503", text, "choose another activation")
            inputs = {t: None if t == self.input else self.info[t] for t in (cut, *sides)}
            model = self.graph.build(nodes, inputs, [goal])
            self._segments[key] = Segment(open_session(model, self.name), cut, goal, tuple(sides))
        return self._segments[key]

    def next_cut(self, tensor: str) -> str:
        """The next articulation behind ``tensor``, or the output."""
        place = self.place(tensor)
        later = (t for t in self.articulations if self.place(t) > place)
        return next(later, self.output)

    def place(self, tensor: str) -> int:
        """Position of a cut in file order (the output is last)."""
        return self._order.get(tensor, len(self._order))

    def is_cut(self, tensor: str) -> bool:
        """Whether the network can be resumed from this tensor."""
        return tensor in self._order and tensor in self.info

    def resume(
        self,
        cut: str,
        values: NDArray[np.generic],
        images: NDArray[np.int64],
        fault_free: FaultFree,
    ) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
        """(rows whose effect reaches the last articulation, their class scores).

        ``values`` are rows of tensor ``cut`` under fault, ``images`` their positions in the
        evaluation set of ``fault_free``.
        A row that is not returned has the fault-free scores.
        """
        alive = np.arange(len(values))
        here = cut
        while True:
            goal = self.next_cut(here)
            part = self.segment(here, goal)
            feeds = {s: fault_free.rows(s, images[alive]) for s in part.sides}
            values = self.run_session(part.session, {here: values, **feeds}, goal)
            if goal == self.output:
                return alive, values
            expected = fault_free.rows(goal, images[alive])
            differs = (values != expected).reshape(len(alive), -1).any(axis=1)
            alive, values, here = alive[differs], values[differs], goal
            if not alive.size:
                return alive, np.empty((0, *self.info[self.output].shape), np.float32)

    def _input_shape(self) -> tuple[int | None, ...]:
        """Shape of one input image as declared, None where free."""
        shape = tuple(
            d if isinstance(d, int) else None for d in self._session.get_inputs()[0].shape
        )
        kind = self._session.get_inputs()[0].type
        if len(shape) < 2 or kind != "tensor(float)":
            hint = "campaigns take float32 images [batch, channels, height, width]"
            text = f"the input is a {kind} of {len(shape)} dimensions"
            raise self._mistake("F504", text, hint)
        return shape[1:]

    def _describe(self) -> dict[str, TensorInfo]:
        """Shapes and types of all tensors that have the batch as first dimension, from one run
        of two blank images: no shape inference is needed, so private operators do no harm."""
        dynamic = [
            t for n in self.graph.nodes for t in n.output if t and t not in self.graph.constant
        ]
        model = self.graph.build(range(len(self.graph.nodes)), {self.input: None}, dynamic)
        session = open_session(model, self.name)
        # Free image dimensions are guessed small; ``check_data`` compares with the real images.
        shape = [32 if d is None else d for d in self.input_shape]
        blank = np.zeros((2, *shape), np.float32)
        try:
            results = session.run(dynamic, {self.input: blank})
        except RUNTIME_ERRORS as error:
            hint = "export it with a free batch dimension"
            text = f"the network does not run on two images: {_line(error)}"
            raise self._mistake("F504", text, hint) from error
        found = {self.input: TensorInfo(tuple(shape), "float32")}
        for tensor, value in zip(dynamic, results, strict=True):
            if isinstance(value, np.ndarray) and value.ndim > 0 and value.shape[0] == 2:
                found[tensor] = TensorInfo(value.shape[1:], value.dtype.name)
        if self.output not in found or len(found[self.output].shape) != 1:
            text = f"the output '{self.output}' is not [batch, classes]"
            raise self._mistake("F504", text, "campaigns take classification networks")
        return found

    def _mistake(self, code: str, message: str, hint: str) -> AccelsimError:
        return AccelsimError(Mistake(code, message, hint, Location(self.name)))


def bits_of(values: NDArray[Any]) -> NDArray[Any]:
    """As unsigned integers, so that NaN equals NaN."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def decisions(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Top-1 classes [n]; -1 (no decision) where a score is NaN or infinite.

    Ties go to the lowest class. -1 is never correct, and it differs from every class.
    """
    top = np.nan_to_num(scores.astype(np.float64)).argmax(axis=1)
    return np.where(nonfinite(scores), -1, top).astype(np.int64)


def nonfinite(scores: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows [n] hold a NaN or infinite score."""
    finite = np.isfinite(scores.astype(np.float64)).all(axis=1)
    return np.asarray(np.logical_not(finite), np.bool_)


def accuracy(network: Network, data: EvalSet) -> float:
    """Fault-free top-1 of the whole model in ONNX Runtime over all images of ``data``."""
    check_data(network, data)
    return float(np.mean(decisions(network.run(data.images)) == data.labels))


def check_data(network: Network, data: EvalSet) -> None:
    """AccelsimError F506 or F507 unless images fit the network and labels its classes."""
    where = Location(network.name)
    found = []
    shape = data.images.shape[1:]
    wanted = network.input_shape
    if len(shape) != len(wanted) or any(
        w not in (None, s) for s, w in zip(shape, wanted, strict=False)
    ):
        text = f"images are {list(shape)}, the network takes {[w or 'any' for w in wanted]}"
        found.append(Mistake("F507", text, "use the images the network was made for", where))
    elif None in wanted and shape != network.info[network.input].shape:
        text = f"the network leaves its image size open; the images are {list(shape)}"
        found.append(Mistake("F507", text, "export the network with a fixed image size", where))
    top = int(data.labels.max(initial=0))
    if top >= network.classes:
        text = f"label {top}, but the network's classes are 0 to {network.classes - 1}"
        found.append(Mistake("F506", text, "use the labels the network was trained on", where))
    if found:
        raise AccelsimError(found)


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
