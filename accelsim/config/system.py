"""The file of a system of cores (``schema: accelsim/system/v1``, see
:mod:`accelsim.config.cores`)."""

from __future__ import annotations

import os

from accelsim.arch.system import System
from accelsim.config.convert import system
from accelsim.config.cores import SystemPart
from accelsim.config.include import Files, include_cores, load_tree
from accelsim.config.problems import Problems, validate
from accelsim.config.schema import SYSTEM
from accelsim.config.semantics import check_system


def load_system(path: str | os.PathLike[str]) -> System:
    """Read and check a system file and the accelerators that it names.

    Raises AccelsimError with every mistake at once: those of the file (C001 to C015), of the
    accelerator files, and A150 for cores that cannot share what they have to.
    """
    shown, problems = os.fspath(path), Problems()
    files = Files(problems)
    tree = load_tree(shown, SYSTEM, files)
    if tree.broken:
        problems.raise_if_any()
    tree = include_cores(tree, files, ((os.path.realpath(shown), shown),))
    part = validate(SystemPart, tree, problems)
    if part is not None:
        check_system(part, tree, problems, at="")
    problems.raise_if_any()
    assert part is not None, "what is invalid was reported"
    return system(part, tree, at="")
