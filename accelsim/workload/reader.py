"""Any network file as a workload: ``read_network`` finds out what kind it is.

What a file begins with decides before what it is called: a TensorFlow Lite file says so in its
first bytes, a YAML file in its ``schema`` key. A CSV table is a SCALE-Sim topology, and the rest
is ONNX, which has no mark of its own.
"""

from __future__ import annotations

from pathlib import Path

from accelsim.errors import AccelsimError, Location, Mistake
from accelsim.workload.graph import Workload
from accelsim.workload.limits import require_recurrent

_TFLITE = b"TFL3"

TREATMENTS = ("refuse", "fallback")
"""What may be done with operators that are not known."""


def read_network(
    path: str | Path,
    batch: int = 1,
    unsupported: str = "refuse",
    recurrent: str = "batched",
) -> Workload:
    """Reads a network: ONNX, TensorFlow Lite, a SCALE-Sim topology (CSV), a layer list or a
    transformer's dimensions (YAML, by its ``schema`` key).

    ``batch``, ``unsupported`` and ``recurrent`` as for
    :func:`~accelsim.workload.onnx_reader.read_onnx` (only ONNX and TensorFlow Lite have operators
    that may be unknown, and recurrent layers). Raises :class:`AccelsimError`:
    W109 for a file of no known format, and what the format's reader raises.
    """
    path = Path(path)
    if unsupported not in TREATMENTS:
        message = f"unsupported={unsupported!r} is neither 'refuse' nor 'fallback'"
        raise AccelsimError(Mistake("U001", message))
    require_recurrent(recurrent)
    kind = network_kind(path)
    if kind == "tflite":
        from accelsim.workload.tflite_reader import read_tflite

        return read_tflite(path, batch, unsupported, recurrent)
    if kind == "csv":
        from accelsim.workload.scalesim import read_topology

        return read_topology(path, batch)
    if kind == "yaml":
        return _read_yaml(path, batch)
    from accelsim.workload.onnx_reader import read_onnx

    try:
        return read_onnx(path, batch, unsupported, recurrent)
    except AccelsimError as error:
        if path.suffix.lower() == ".onnx" or not path.is_file():
            raise
        if not any(mistake.code == "W101" for mistake in error.mistakes):
            raise
        message = f"'{path.name}' is no network in a known format"
        hint = "known: ONNX (.onnx), TensorFlow Lite (.tflite), SCALE-Sim topology (.csv), YAML"
        raise AccelsimError(Mistake("W109", message, hint, Location(str(path)))) from error


def network_kind(path: Path) -> str:
    """``tflite``, ``csv``, ``yaml`` or (everything else) ``onnx``, by content, then by name."""
    suffix = path.suffix.lower()
    try:
        begin = b""  # the reader of the format says what is wrong with what is no file
        if path.is_file():
            with path.open("rb") as file:
                begin = file.read(8)
    except (OSError, ValueError):
        begin = b""
    if begin[4:8] == _TFLITE or suffix == ".tflite":
        return "tflite"
    if suffix in (".yaml", ".yml"):
        return "yaml"
    return "csv" if suffix == ".csv" else "onnx"


def _read_yaml(path: Path, batch: int) -> Workload:
    """A YAML file by its schema."""
    from accelsim.config.yamlpos import read_file
    from accelsim.workload import transformer_yaml as transformer
    from accelsim.workload.layers_yaml import SCHEMA, read_layers

    entry = read_file(str(path)).entries.get("schema")
    if entry is not None and entry.node.value == transformer.SCHEMA:
        return transformer.read_transformer(path, batch)
    if entry is not None and entry.node.value == SCHEMA:
        return read_layers(path, batch)
    found = f"schema is {str(entry.node.plain)[:60]!r}" if entry else "'schema' is missing"
    message = f"'{path.name}' is no network: {found}"
    hint = f"write schema: {SCHEMA} or schema: {transformer.SCHEMA}"
    where = entry.node.location if entry else Location(str(path), 1, 1)
    raise AccelsimError(Mistake("W109", message, hint, where))
