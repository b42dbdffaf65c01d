"""The file of a system of cores (``schema: accelsim/system/v1``).

.. code-block:: yaml

    schema: accelsim/system/v1
    name: one large and two small
    cores:
      - accelerator: large.yaml
      - {accelerator: small.yaml, count: 2}
    link: {bandwidth: 8 GB/s, buffer: 512 KiB, latency_cycles: 10}
    sync_cycles: 20
"""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from accelsim.arch.parts import Accelerator
from accelsim.arch.system import MOST_CORES, Link, System
from accelsim.config.fields import Bytes, BytesPerSecond, Cycles, File, Part, Text, about
from accelsim.config.include import Files, load_tree
from accelsim.config.load import load_accelerator
from accelsim.config.problems import Problems, find, validate
from accelsim.config.schema import SYSTEM
from accelsim.config.yamlpos import Node
from accelsim.errors import AccelsimError, Location


class CorePart(Part):
    """Equal cores of a system."""

    accelerator: Annotated[File, about("accelerator file of the core, relative to this file")]
    count: Annotated[
        int, Field(ge=1, le=MOST_CORES), about("how many such cores", unit="cores")
    ] = 1


class LinkPart(Part):
    """The interconnect of the cores and the buffer behind it."""

    bandwidth: Annotated[BytesPerSecond, about("of the link, one transfer at a time", unit="B/s")]
    buffer: Annotated[Bytes, about("shared memory for what goes from core to core", unit="B")]
    latency_cycles: Annotated[Cycles, about("charged once per transfer", unit="cycles")] = 0


class SystemPart(Part):
    """Cores that share their backing memories."""

    name: Annotated[Text, about("shown in reports")]
    description: Annotated[str, about("free text")] = ""
    cores: Annotated[
        list[CorePart], Field(min_length=1, max_length=MOST_CORES), about("the cores in order")
    ]
    link: Annotated[LinkPart | None, about("left out: cores exchange through the dram")] = None
    sync_cycles: Annotated[
        Cycles, about("from the end of a core's result to its use on another", unit="cycles")
    ] = 0


def load_system(path: str | os.PathLike[str]) -> System:
    """Read and check a system file and the accelerators that it names.

    Raises AccelsimError with every mistake at once: those of the file (C001 to C015), of the
    accelerator files, and A150 for cores that cannot share what they have to.
    """
    shown, problems = os.fspath(path), Problems()
    tree = load_tree(shown, SYSTEM, Files(problems))
    if tree.broken:
        problems.raise_if_any()
    part = validate(SystemPart, tree, problems)
    if part is None:
        problems.raise_if_any()
    assert part is not None, "what is invalid was reported"
    cores = _cores(part, tree, problems)
    problems.raise_if_any()
    link = part.link
    made = None if link is None else Link(link.bandwidth, link.buffer, link.latency_cycles)
    try:
        return System(part.name, cores, made, part.sync_cycles)
    except AccelsimError as error:
        here = find(tree, ["cores"])[0]
        for mistake in error.mistakes:
            problems.add(mistake.code, mistake.message, mistake.hint, here)
    problems.raise_if_any()
    raise AssertionError("a system that is none was reported")


def _cores(part: SystemPart, tree: Node, problems: Problems) -> tuple[Accelerator, ...]:
    """The accelerators in order; what is wrong with one is reported once."""
    found: list[Accelerator] = []
    read: dict[str, Accelerator | None] = {}
    for index, core in enumerate(part.cores):
        _, node, _ = find(tree, ["cores", index, "accelerator"])
        path = os.path.normpath(os.path.join(node.folder, core.accelerator))
        if path not in read:
            read[path] = _accelerator(path, node.location, problems)
        accelerator = read[path]
        if accelerator is not None:
            found += [accelerator] * core.count
    return tuple(found)


def _accelerator(path: str, named: Location, problems: Problems) -> Accelerator | None:
    if "\0" in path or not os.path.isfile(path):
        hint = "paths count from the file that names them"
        problems.add("C007", f"{path!r} does not exist", hint, named)
        return None
    try:
        return load_accelerator(path)
    except AccelsimError as error:
        problems.extend(error)
        return None
