"""A config file, its includes, variants and overrides, as one frozen :class:`Study`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace

from accelsim.arch.parts import Accelerator
from accelsim.config.convert import accelerator, canonical_json, run_config
from accelsim.config.fields import LARGEST
from accelsim.config.hardware import AcceleratorPart
from accelsim.config.include import (
    Chain,
    Files,
    follow,
    include_cores,
    include_parts,
    load_tree,
)
from accelsim.config.merge import as_node, expand, merge, misplaced, without
from accelsim.config.problems import Problems, failed_keys, validate
from accelsim.config.schema import ACCELERATOR, RUN, RunPart
from accelsim.config.semantics import Draft, check_energy, check_run, needed_parts
from accelsim.config.targets import BASE, read_targets
from accelsim.config.types import Study
from accelsim.config.yamlpos import Entry, Node
from accelsim.errors import AccelsimError, Location, suggest

_STUDY_KEYS = ("variants", "targets", "name", "description")
"""Keys of the study, not of a run: they have no place in a variant."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,63}", re.ASCII)
_MOST_VARIANTS = 1000


def load_study(
    path: str | os.PathLike[str],
    overrides: Mapping[str, object] | None = None,
    seed: int | None = None,
) -> Study:
    """Read, check and resolve a run config.

    Args:
        path: the config file (``schema: accelsim/run/v1``).
        overrides: dotted key -> value, laid over the base run and over every variant. Text is
            read as YAML; files count from the config's folder.
        seed: replaces ``faults.seed`` in every run.

    Returns:
        The study; every file it names exists.

    Raises:
        AccelsimError: every mistake of the config and of the overrides at once, each with a code
            (C001 to C015), a position and mostly a hint.
    """
    shown = os.fspath(path)
    folder = os.path.dirname(shown) or "."
    problems = Problems()
    chain = ((os.path.realpath(shown), shown),)
    files = Files(problems)
    root = load_tree(shown, RUN, files)
    if root.broken:
        problems.raise_if_any()
    whole, single = _override_trees(overrides or {}, folder, files, chain)
    single = _applicable(root, single, problems)
    root = merge(merge(root, whole), single)
    drafts = _drafts(root, without(single, _STUDY_KEYS), files, chain)
    name = _name(root, shown, problems)
    entry = root.entries.get("targets")
    targets = read_targets(entry.node if entry else None, drafts, problems)
    if seed is not None and not 0 <= seed <= LARGEST:
        problems.add(
            "C004", f"seed must be between 0 and 2^63 - 1, is {seed}", "", Location("--seed")
        )
    problems.raise_if_any()
    runs = {key: run_config(key, draft, seed) for key, draft in drafts.items()}
    base = runs.pop(BASE)
    canonical = canonical_json(name, folder, base, runs, targets)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return Study(name, shown, base, runs, targets, digest, canonical)


def load_accelerator(
    path: str | os.PathLike[str], overrides: Mapping[str, object] | None = None
) -> Accelerator:
    """Read and check an accelerator file (``schema: accelsim/accelerator/v1``) by itself.

    ``overrides``: dotted keys of the file (``array.rows``) -> values, as for :func:`load_study`.
    Raises AccelsimError with every mistake at once.
    """
    shown = os.fspath(path)
    folder = os.path.dirname(shown) or "."
    problems = Problems()
    chain = ((os.path.realpath(shown), shown),)
    files = Files(problems)
    root = load_tree(shown, ACCELERATOR, files)
    if root.broken:
        problems.raise_if_any()
    whole, single = _override_trees(overrides or {}, folder, files, chain)
    tree = without(merge(merge(root, whole), single), ("schema",))
    part = validate(AcceleratorPart, tree, problems)
    if part is not None:
        check_energy(part, tree, problems, at="")
    problems.raise_if_any()
    assert part is not None, "what is invalid was reported"
    return accelerator(part, tree, at="")


def _override_trees(
    overrides: Mapping[str, object],
    folder: str,
    files: Files,
    chain: Chain,
) -> tuple[Node, Node]:
    """Overrides as two trees: parts that a file replaces whole, and single values."""
    here, problems = Location("--set"), files.problems
    entries: dict[str, Entry] = {}
    given: list[tuple[object, object]] = list(overrides.items())
    for key, value in given:
        if not isinstance(key, str):
            problems.add(
                "C001", f"an override's key is text, not {key!r}", "write e.g. a.b.c", here
            )
            continue
        location = Location(f"--set {key if len(key) <= 80 else key[:77] + '...'}")
        if key.partition(".")[0] in ("schema", "extends"):
            problems.add("C001", f"'{key}' cannot be overridden", "edit the file", location)
            continue
        try:
            entries[key] = Entry(location, as_node(value, location, folder))
        except AccelsimError as error:
            problems.extend(error)
    tree = include_parts(Node(entries, here, folder), files, chain)
    parts = {key: entry for key, entry in tree.entries.items() if entry.node.whole}
    rest = {key: entry for key, entry in tree.entries.items() if not entry.node.whole}
    single = expand(Node(rest, here, folder), problems)
    return Node(parts, here, folder), follow(single, files, chain)


def _applicable(root: Node, single: Node, problems: Problems) -> Node:
    """The single overrides less those that are mistakes: an override may change a variant but not
    invent one, and nothing lies inside a value that is no mapping."""
    for path, value, at in misplaced(root, single):
        message = f"cannot set a key of '{path}': it is {str(value.plain)[:40]!r}, not a mapping"
        problems.add("C003", message, f"it is given at {value.location}", at)
    known = root.entries["variants"].node.entries if "variants" in root.entries else {}
    given = single.entries.get("variants")
    if given is None or given.node.value is None:
        return single
    if not isinstance(given.node.value, Mapping):
        _not_variants(given.node, problems)
        return without(single, ("variants",))
    for name, entry in given.node.entries.items():
        if name not in known:
            hint = suggest(name, list(known))
            problems.add("C013", f"unknown variant '{name}'", hint, entry.key)
    return single


def _not_variants(node: Node, problems: Problems) -> None:
    hint = "variants: {name: {key: value}}"
    problems.add("C003", "variants must be a mapping", hint, node.location)


def _drafts(root: Node, single: Node, files: Files, chain: Chain) -> dict[str, Draft]:
    """The base run and all variants, validated."""
    problems = files.problems
    base = without(root, ("variants", "targets"))
    drafts = {BASE: _draft(base, files, chain)}
    entry = root.entries.get("variants")
    if entry is None or entry.node.value is None:
        return drafts
    if not isinstance(entry.node.value, Mapping):
        _not_variants(entry.node, problems)
        return drafts
    if len(entry.node.value) > _MOST_VARIANTS:
        problems.add("C012", f"more than {_MOST_VARIANTS} variants", "", entry.key)
        return drafts
    for name, variant in entry.node.value.items():
        if variant.node.value is None and not variant.node.broken:
            continue  # null takes out a variant of the config that this one extends
        overlay = _overlay(name, variant, problems)
        if overlay is None:
            drafts[name] = Draft(RunPart(), variant.node, frozenset(RunPart.model_fields))
            continue
        overlay = _forgiven(overlay, base)
        problems.variant = name
        drafts[name] = _draft(_overlaid(merge(base, overlay), single), files, chain)
        problems.variant = None
    return drafts


def _overlay(name: str, variant: Entry, problems: Problems) -> Node | None:
    """A variant's overrides with dotted keys expanded; None if they are unusable."""
    if name == BASE or not _NAME.fullmatch(name):
        hint = "letters, digits, _, + and - (not 'base': that is the base run)"
        problems.add("C013", f"a variant cannot be called '{name}'", hint, variant.key)
        return None
    if not isinstance(variant.node.value, Mapping):
        hint = "write {} for a variant without overrides, null to take one out"
        problems.add("C003", f"variant '{name}' must be a mapping", hint, variant.node.location)
        return None
    overlay = expand(variant.node, problems)
    for key in (*_STUDY_KEYS, "schema", "extends"):
        if key in overlay.entries:
            message = f"'{key}' belongs to the whole config, not to a variant"
            problems.add("C013", message, "move it out", overlay.entries[key].key)
    return without(overlay, (*_STUDY_KEYS, "schema", "extends"))


def _forgiven(overlay: Node, base: Node) -> Node:
    """The overlay; what it adds to a part that the base lacks (reported there) is not judged."""
    entries = dict(overlay.entries)
    for key in needed_parts(base):
        if key in entries and key not in base.entries:
            node = entries[key].node
            entries[key] = Entry(entries[key].key, replace(node, broken=not node.whole))
    return replace(overlay, value=entries)


def _overlaid(tree: Node, single: Node) -> Node:
    """Single overrides laid over a variant, except over parts that the variant took out."""
    removed = [key for key, entry in tree.entries.items() if entry.node.value is None]
    return merge(tree, without(single, removed))


def _draft(tree: Node, files: Files, chain: Chain) -> Draft:
    """One run validated part by part, so that a mistake in one does not hide those in others. What
    a system's cores are is read here, wherever their list came from."""
    problems = files.problems
    system = tree.entries.get("system")
    if system is not None:
        node = include_cores(system.node, files, chain)
        tree = replace(tree, value={**tree.entries, "system": Entry(system.key, node)})
    part = validate(RunPart, tree, problems)
    bad: set[str] = set()
    if part is None:
        bad = failed_keys(RunPart, tree)
        part = RunPart.model_validate(without(tree, sorted(bad)).plain)
    draft = Draft(part, tree, frozenset(bad))
    check_run(draft, problems)
    return draft


def _name(root: Node, shown: str, problems: Problems) -> str:
    """The study's name: given, or the file's."""
    entry = root.entries.get("name")
    if entry is not None and isinstance(entry.node.value, str):
        name = entry.node.value
        if not _NAME.fullmatch(name):
            hint = "it becomes a folder: letters, digits, _, + and -, at most 64"
            problems.add("C004", f"'{name}' cannot be a name", hint, entry.node.location)
        return name
    stem = os.path.splitext(os.path.basename(shown))[0]
    return re.sub(r"[^A-Za-z0-9_+-]+", "-", stem).strip("-+")[:64] or "study"
