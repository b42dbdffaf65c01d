"""Every kind of bad input ends with exit code 2 or 3, a position where there is one, what is wrong
and what to do; no traceback, no run folder."""

from __future__ import annotations

import contextlib
import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from accelsim.cli import app, guarded

CONFIG = "run.yaml"


def accelsim(*args: object) -> tuple[int, str, str]:
    """Run the command line in this process: (exit code, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: app([str(a) for a in args], prog_name="accelsim"))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starter")
    code, _, err = accelsim("init", folder)
    assert code == 0, err
    return folder


@pytest.fixture
def project(starter: Path, tmp_path: Path) -> Path:
    """A private copy of the starter project to break."""
    return Path(shutil.copytree(starter, tmp_path / "project"))


def edit(project: Path, old: str, new: str, file: str = CONFIG) -> int:
    """Replace ``old`` (must exist, once) and return the line it was on."""
    path = project / file
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
    path.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def check_refused(project: Path, *wanted: str, code: int = 2, command: str = "run") -> str:
    """The run must be refused with every wanted text on stderr, and leave nothing behind."""
    output = project / "out"
    extra = ["-o", output] if command == "run" else []
    got, out, err = accelsim(command, project / CONFIG, *extra)
    assert got == code, (got, err)
    assert out == ""
    assert "Traceback" not in err
    for text in wanted:
        assert text in err, f"{text!r} not in:\n{err}"
    assert not output.exists()
    assert not [p for p in project.iterdir() if p.name.startswith(".") and p.is_dir()]
    return err


def test_typo_in_a_key(project: Path) -> None:
    line = edit(project, "workload:", "worklod:")
    check_refused(project, f"{CONFIG}:{line}:1", "worklod", "did you mean 'workload'?")


def test_wrong_type(project: Path) -> None:
    edit(project, "seed: 0", "seed: [1, 2]")
    check_refused(project, CONFIG, "seed")


def test_a_unit_that_makes_no_sense(project: Path) -> None:
    text = (project / "accelerator.yaml").read_text()
    line = next(n for n, row in enumerate(text.splitlines(), 1) if row.startswith("clock:"))
    rows = text.splitlines()
    rows[line - 1] = "clock: 64 KiB"
    (project / "accelerator.yaml").write_text("\n".join(rows))
    check_refused(project, f"accelerator.yaml:{line}:", "64 KiB")


def test_a_missing_file(project: Path) -> None:
    (project / "network.onnx").unlink()
    check_refused(project, CONFIG, "network.onnx", "hint:")


def test_a_truncated_onnx_file(project: Path) -> None:
    path = project / "network.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    check_refused(project, "network.onnx", "hint:")


def test_an_unsupported_operator(project: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Acosh", ["image"], ["e"], name="my_acosh"),
            helper.make_node("Det", ["e"], ["d"], name="my_det"),
        ],
        "odd",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 4])],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, project / "network.onnx")
    check_refused(project, "my_acosh", "Acosh", "my_det", "Det")


def test_labels_that_do_not_match_the_images(project: Path) -> None:
    with np.load(project / "images.npz", allow_pickle=False) as data:
        arrays = dict(data)
    arrays["labels"] = arrays["labels"][:-1]
    np.savez(project / "images.npz", **arrays)
    check_refused(project, "images.npz", "labels")


def test_labels_out_of_the_networks_range(project: Path) -> None:
    with np.load(project / "images.npz", allow_pickle=False) as data:
        arrays = dict(data)
    arrays["labels"] = arrays["labels"].astype(np.int64) + 1000
    np.savez(project / "images.npz", **arrays)
    check_refused(project, "label")


def test_an_npz_with_pickled_objects(project: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(project / "pwned"),))  # type: ignore[return-value]

    array = np.empty(1, dtype=object)
    array[0] = pickle.dumps(Bomb())
    np.savez(project / "images.npz", images=array, labels=np.zeros(1, np.int64))
    check_refused(project, "images.npz")
    assert not (project / "pwned").exists()


def test_a_scratchpad_too_small_for_the_smallest_tile(project: Path) -> None:
    text = (project / "accelerator.yaml").read_text()
    rows = ["  size: 32 B" if row.strip().startswith("size:") else row for row in text.splitlines()]
    first = rows.index("  size: 32 B")
    original = text.splitlines()
    kept = [r if i <= first else original[i] for i, r in enumerate(rows)]
    assert "scratchpad" in "\n".join(kept[: first + 1])
    (project / "accelerator.yaml").write_text("\n".join(kept))
    err = check_refused(project, "accelerator.yaml:", "needs", "limit 32", code=3)
    assert "at least" in err, "says what would fit"


def test_a_target_on_an_unknown_metric(project: Path) -> None:
    edit(project, "metric: latency.cycles", "metric: latency.cyles")
    check_refused(project, CONFIG, "latency.cyles", "did you mean 'latency.cycles'?")


def test_a_yaml_alias_bomb(project: Path) -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (project / CONFIG).write_text("\n".join(bomb))
    check_refused(project, CONFIG)


def test_a_config_that_includes_itself(project: Path) -> None:
    path = project / CONFIG
    rows = [r for r in path.read_text().splitlines() if not r.startswith("accelerator:")]
    path.write_text("\n".join([*rows, f"accelerator: {CONFIG}"]))
    check_refused(project, CONFIG)
    path.write_text("\n".join([*rows, f"extends: {CONFIG}"]))
    check_refused(project, CONFIG)


def test_all_mistakes_of_a_file_at_once(project: Path) -> None:
    first = edit(project, "workload:", "worklod:")
    edit(project, "metric: latency.cycles", "metric: latency.cyles")
    err = check_refused(project, f"{CONFIG}:{first}:1", "latency.cyles")
    assert "mistakes" in err


def test_validate_finds_what_run_would(project: Path) -> None:
    (project / "network.onnx").write_bytes(b"not a network")
    check_refused(project, "network.onnx", command="validate")


def test_no_targets_to_check(project: Path) -> None:
    path = project / CONFIG
    text = path.read_text()
    path.write_text(text[: text.index("targets:")])
    check_refused(project, "no targets", command="check")


def test_bad_usage_is_exit_2() -> None:
    assert accelsim("run")[0] == 2
    assert accelsim("walk")[0] == 2
    code, _, err = accelsim("run", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in err
    code, _, err = accelsim("run", "nowhere.yaml", "--set", "novalue")
    assert code == 2
    assert "KEY=VALUE" in err


def test_a_folder_that_is_not_a_run_folder(tmp_path: Path) -> None:
    code, _, err = accelsim("report", tmp_path)
    assert code == 2
    assert str(tmp_path) in err


def test_an_output_that_is_not_ours_is_never_replaced(project: Path) -> None:
    precious = project / "out"
    precious.mkdir()
    (precious / "thesis.txt").write_text("ten years of work")
    code, _, err = accelsim("run", project / CONFIG, "-o", precious)
    assert code == 2
    assert (precious / "thesis.txt").read_text() == "ten years of work"
    assert str(precious) in err
