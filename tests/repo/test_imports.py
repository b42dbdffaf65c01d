"""Who may import whom (CONTRIBUTING.md). Parses the sources; imports nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accelsim", "ilp", "faults")
LEAVES = ("accelsim.errors", "accelsim.units", "accelsim.dataflow")
JOINERS = ("accelsim.pipeline", "accelsim.stages", "accelsim.cli", "accelsim.explore")
STANDARD = set(sys.stdlib_module_names) | {"numpy", "__future__"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Absolute names of all modules imported anywhere in a file (functions too)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
IMPORTS = {module_name(p): imported(p) for p in FILES}


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_import_direction(module: str) -> None:
    names = IMPORTS[module]
    ours = {n for n in names if n.split(".")[0] in PACKAGES}
    package = module.split(".")[0]
    if within(module, LEAVES):
        outside = {n for n in names if n.split(".")[0] not in STANDARD and n not in ours}
        assert not outside, f"a leaf needs only numpy: {outside}"
        strangers = {n for n in ours if n != "accelsim" and not within(n, LEAVES)}
        assert not strangers, f"{module} is a leaf, yet imports {strangers}"
    elif package in ("ilp", "faults"):
        strangers = {n for n in ours if not within(n, (package, *LEAVES)) and n != "accelsim"}
        assert not strangers, f"{module} imports {strangers}"
    elif not within(module, JOINERS):
        joined = {n for n in ours if n.split(".")[0] in ("ilp", "faults")}
        assert not joined, f"only the pipeline and its stages join the packages: {joined}"
    if within(module, ("accelsim.report",)):
        stages = {n for n in ours if within(n, ("accelsim.stages", "accelsim.pipeline"))}
        assert not stages, f"reports draw, they do not run stages: {stages}"
    if not within(module, ("accelsim.cli", "accelsim.__main__")):
        assert not {n for n in ours if within(n, ("accelsim.cli",))}, "nothing imports the CLI"


def test_no_cycles_between_modules() -> None:
    import networkx

    graph: networkx.DiGraph[str] = networkx.DiGraph()
    for path in FILES:
        module = module_name(path)
        # Only top-level imports can form an import cycle at start-up.
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    graph.add_edge(module, full if full in IMPORTS else node.module)
    cycles = [c for c in networkx.simple_cycles(graph) if len(c) > 1]
    assert not cycles, cycles


@pytest.mark.parametrize("leaf", LEAVES)
def test_importing_a_leaf_loads_only_the_leaf(leaf: str) -> None:
    code = (
        f"import sys, {leaf}; heavy = {{'onnx', 'onnxruntime', 'ortools', 'scipy', 'pydantic', "
        "'plotly', 'simpy', 'pulp', 'networkx'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_stays_light(package: str) -> None:
    code = (
        f"import sys, {package}; heavy = {{'onnx', 'onnxruntime', 'ortools', 'scipy.stats', "
        "'plotly', 'pulp'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
