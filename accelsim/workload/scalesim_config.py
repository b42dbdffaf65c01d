"""SCALE-Sim configurations (.cfg) as accelerator files."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path
from typing import Any

from accelsim.errors import AccelsimError, Location, Mistake, suggest
from accelsim.printable import printable
from accelsim.workload.scalesim_rows import read_text

CLOCK_HZ = 10**9
"""Clock of an imported accelerator: SCALE-Sim counts cycles only."""

_PRESETS = {
    "arrayheight": (1, 16_384), "arraywidth": (1, 16_384), "ifmapsramszkb": (1, 2**30),
    "filtersramszkb": (1, 2**30), "ofmapsramszkb": (1, 2**30),
}  # fmt: skip
"""Key of [architecture_presets] -> its range."""

_DATAFLOWS = ("os", "ws", "is")


def read_scalesim_config(path: str | Path) -> dict[str, Any]:
    """A SCALE-Sim configuration (.cfg) as the parts of an accelerator file it settles: name,
    array, scratchpad (IFMAP and filter SRAM together), accumulators (OFMAP SRAM), and ``dram``
    with its bandwidth at :data:`CLOCK_HZ` where the configuration gives one (``USER``; several
    numbers count as the smallest, as SCALE-Sim takes them). ``sparsity`` is True when the
    configuration asks for it; ``left_out``: the keys of which nothing follows.

    Raises :class:`AccelsimError`, all mistakes at once: W101 (not readable), W121 (not valid).
    """
    path = Path(path)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path, "SCALE-Sim configuration"))
    except configparser.Error as error:
        line = getattr(error, "lineno", None)
        raise _unread(error, Location(str(path), line)) from None
    mistakes: list[Mistake] = []
    sizes = {key: _size(parser, key, path, mistakes) for key in _PRESETS}
    dataflow = parser.get("architecture_presets", "dataflow", fallback="").strip().lower()
    if dataflow not in _DATAFLOWS:
        message = f"Dataflow is '{dataflow}'"
        mistakes.append(
            Mistake("W121", message, suggest(dataflow, _DATAFLOWS), Location(str(path)))
        )
    words = _bandwidth(parser, path, mistakes)
    if mistakes:
        raise AccelsimError(mistakes)
    found: dict[str, Any] = {
        "name": parser.get("general", "run_name", fallback="").strip()[:500] or path.stem,
        "array": {
            "rows": sizes["arrayheight"], "cols": sizes["arraywidth"], "dataflow": dataflow,
            "overlap": "none",
        },
        "scratchpad": {"size": (sizes["ifmapsramszkb"] + sizes["filtersramszkb"]) * 1024},
        "accumulators": {"size": sizes["ofmapsramszkb"] * 1024},
    }  # fmt: skip
    if words is not None:
        found["dram"] = {"bandwidth": words * CLOCK_HZ}
    if left := _left_out(parser):
        found["left_out"] = left
    sparse = parser.get("sparsity", "sparsitysupport", fallback="false").strip().lower()
    return found | ({"sparsity": True} if sparse == "true" else {})


def _left_out(parser: configparser.ConfigParser) -> list[str]:
    """Keys of the file that the import does nothing with (names and address offsets aside)."""
    used = {*_PRESETS, "dataflow", "bandwidth", "run_name", "interfacebandwidth"}
    used |= {"sparsitysupport", "ifmapoffset", "filteroffset", "ofmapoffset"}
    keys = {key for section in parser.sections() for key in parser[section]}
    return sorted(keys - used)


def _unread(error: configparser.Error, where: Location) -> AccelsimError:
    """W121 for what the parser says, in which the text has no name."""
    said = " ".join(str(error).split())
    said = re.sub(r"(While reading from |file: )?'<string>',? ?", "", said)
    message = f"not a SCALE-Sim configuration: {said[:200]}"
    return AccelsimError(Mistake("W121", message, "write [section] lines and key = value", where))


def _size(parser: configparser.ConfigParser, key: str, path: Path, found: list[Mistake]) -> int:
    """A number of [architecture_presets]; 1 (and a mistake) when it is missing or wrong."""
    where = Location(str(path))
    text = parser.get("architecture_presets", key, fallback="").strip()
    low, high = _PRESETS[key]
    if not text:
        found.append(Mistake("W121", f"'{key}' is missing in [architecture_presets]", "", where))
    elif not re.fullmatch(r"[+-]?[0-9]{1,12}", text, re.ASCII) or not low <= int(text) <= high:
        message = f"'{key}' is '{text[:40]}', not a whole number from {low} to {high}"
        found.append(Mistake("W121", message, "", where))
    else:
        return int(text)
    return 1


def _bandwidth(parser: configparser.ConfigParser, path: Path, found: list[Mistake]) -> int | None:
    """Words per cycle of the interface; None when SCALE-Sim is to find what never stalls."""
    mode = parser.get("run_presets", "interfacebandwidth", fallback="").strip().upper()
    where = Location(str(path))
    if mode not in ("USER", "CALC"):
        message = f"InterfaceBandwidth is '{mode[:40]}'"
        found.append(Mistake("W121", message, "write USER or CALC in [run_presets]", where))
    if mode != "USER":
        return None
    text = parser.get("architecture_presets", "bandwidth", fallback="")
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,5}", word, re.ASCII) for word in words):
        message = f"Bandwidth is '{text.strip()[:40]}', not words per cycle of at least 1"
        found.append(Mistake("W121", message, "separate several numbers with commas", where))
        return None
    return min(int(word) for word in words)


def scalesim_accelerator(path: str | Path) -> str:
    """A SCALE-Sim configuration as the text of an accelerator file (``accelsim/accelerator/v1``),
    with a remark beside everything that it does not say. Raises what
    :func:`read_scalesim_config` does."""
    given = read_scalesim_config(path)
    array = given["array"]
    edge = array["rows"] + 2 * array["cols"]
    if "dram" in given:
        bandwidth = given["dram"]["bandwidth"]
        said = "words of one byte per cycle, as given; shared by reads and writes here"
    else:
        bandwidth = edge * CLOCK_HZ
        said = "assumed (CALC): what the edges of the array take and give in every cycle"
    lines = [
        f"# Imported from the SCALE-Sim configuration {printable(Path(path).name)}.",
        "# What SCALE-Sim does not state is marked 'assumed': set it to what your machine has.",
    ]
    if given.get("sparsity"):
        lines.append("# It asks for sparse weights (SparsitySupport), which are not imported.")
    if given.get("left_out"):
        lines.append("# Not imported: " + printable(", ".join(given["left_out"]))[:400])
    lines += [
        "schema: accelsim/accelerator/v1",
        f"name: {json.dumps(given['name'])}",
        "clock: 1 GHz                # assumed: SCALE-Sim counts cycles only",
        "technology: 45 nm           # assumed: the node of the default energy table",
        "array:",
        f"  rows: {array['rows']}",
        f"  cols: {array['cols']}",
        f"  dataflow: {array['dataflow']}",
        "  overlap: none             # SCALE-Sim lets folds follow each other without overlap",
        "vector:",
        f"  lanes: {array['cols']}  # assumed: one per column; SCALE-Sim has no vector unit",
        "scratchpad:",
        f"  size: {given['scratchpad']['size']}  # IFMAP and filter SRAM together",
        f"  width: {edge}  # assumed: what the edges of the array take and give in a cycle",
        "accumulators:",
        f"  size: {given['accumulators']['size']}  # OFMAP SRAM",
        "dram:",
        "  kind: DDR4                # assumed: selects the energy",
        f"  bandwidth: {bandwidth}  # B/s; {said}",
    ]
    return "\n".join(lines) + "\n"
