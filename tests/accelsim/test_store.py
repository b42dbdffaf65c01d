"""The run folder: exact round trips, atomic writes, refusals, CSV that is safe to open."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim.database
from accelsim import store
from accelsim.database import read_record
from accelsim.errors import AccelsimError
from accelsim.metrics import Metric
from accelsim.report.tables import csv_rows, csv_text, number, percent, si, size
from accelsim.store import RunRecord, VariantRecord, load, save
from accelsim.verdict import Outcome, Verdict

FAULT = {
    "index": 0, "stratum": "scratchpad.weight", "kind": "weight", "tensor": "w", "element": 3,
    "bit": 7, "flips": 1, "images": 32, "sdc1": 2, "correct": 29, "nonfinite": 0, "outcome": "sdc",
}  # fmt: skip
VERDICT = Verdict(
    "latency.seconds", "latency.seconds", "base", Outcome.PASS, 0.001, 0.001, "<=", 0.002, None,
    "s", "exact", "run.yaml:3:5",
)  # fmt: skip
LAYER = {
    "op": "=conv", "bound": "dram", "step": 0, "start": 0, "end": 12, "cycles": 12,
    "advance_cycles": 12, "stall_cycles": 0, "macs": 9, "dram_read_bytes": 5,
    "dram_write_bytes": 0, "utilisation": 0.1,
}  # fmt: skip
PLAN = {
    "steps": [
        {
            "op": "conv", "mapping": "m", "buffer_address": 0, "buffer_bytes": 0,
            "prefetch_bytes": 0, "resident": {"x": {"address": 0, "bytes": 64}},
        }
    ],
    "capacity_bytes": 64, "peak_bytes": 64, "lower_bound_bytes": 64, "traffic_bytes": 5,
    "cost": 12, "cost_lower_bound": 12, "objective": "latency", "solver": "cpsat",
    "status": "optimal", "proved": True,
}  # fmt: skip
EXPOSED = {"structure": "scratchpad", "kind": "weight", "tensor": "w", "op": "c", "bits": 8}
FMEDA_ROW = {
    "block": "@ram", "partner": "", "element": "SRAM", "fault_class": "transient", "bits": 8,
    "base_fit": 1e-3, "exposure": 1.0, "p_dangerous": 1.0, "p_point": 1.0, "coverage": 0.0,
    "safe_fit": 0.0, "single_point_fit": 1e-3, "residual_fit": 0.0, "latent_fit": 0.0,
    "detected_fit": 0.0, "evidence": "assumed", "mechanism": "none", "source": "-",
}  # fmt: skip
CAMPAIGN = {
    "model": "net.onnx", "format": "int8", "images": 4, "accuracy_fault_free": 1.0, "faults": 2,
    "structures": [],
}  # fmt: skip


def record(**changes):
    base = VariantRecord(
        metrics={
            "latency.cycles": Metric(123, "cycles", "sim"),
            "sdc.p": Metric(0.0083, "1", "campaign", 0.0071, 0.0097, 0.95, 4000),
            "bound.resource": Metric("dram", "", "sim"),
        },
        layers=(LAYER, {**LAYER, "op": "-1", "note": None}),
        plan=PLAN,
        trace=b"\x1f\x8b not looked at",
        exposure=({**EXPOSED, "bit_cycles": 1 << 70},),
        fmeda={"rows": [FMEDA_ROW], "metrics": {"lfm": None}},
        campaign=CAMPAIGN,
        faults=(FAULT, {**FAULT, "index": 1, "tensor": "t'\"; --"}),
        curves={"occupancy": [[0, 1], [5, 0]]},
        info={"network": "net", "fallbacks": [], "clock_hz": 1000},
    )
    fields = {
        "name": "study",
        "config": '{"name":"study"}',
        "sha256": "ab" * 32,
        "variants": {"base": base, "zero": VariantRecord(metrics={})},
        "verdicts": (VERDICT, replace(VERDICT, variant="zero", outcome=Outcome.INCONCLUSIVE)),
        "provenance": {"accelsim": "0.1.0", "created": "2024-01-01T00:00:00+00:00"},
    }
    return RunRecord(**{**fields, **changes})


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_round_trip_and_files(tmp_path):
    folder = save(record(), tmp_path / "deep" / "run")
    assert load(folder) == record()
    assert list(load(folder).variants) == ["base", "zero"]
    assert set(tree(folder)) == {
        "run.json", "config.json", "metrics.json", "verdicts.json", "layers.csv", "plan.json",
        "trace.rle.json.gz", "exposure.csv", "fmeda.json", "fmeda.csv", "campaign.sqlite",
        "curves.json", "info.json", "variants/zero/info.json",
    }  # fmt: skip
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run"]


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path):
    first, second = save(record(), tmp_path / "a"), tmp_path / "b"
    save(load(first), second)
    assert tree(first) == tree(second)


def test_metrics_json_is_the_contract(tmp_path):
    text = (save(record(), tmp_path / "run") / "metrics.json").read_text()
    assert json.loads(text) == {
        "schema": "accelsim/metrics/v1",
        "metrics": {
            "latency.cycles": {"value": 123, "unit": "cycles", "source": "sim"},
            "bound.resource": {"value": "dram", "unit": "", "source": "sim"},
            "sdc.p": {
                "value": 0.0083, "unit": "1", "source": "campaign", "lower": 0.0071,
                "upper": 0.0097, "confidence": 0.95, "n": 4000,
            },
        },
        "variants": {"zero": {"metrics": {}}},
    }  # fmt: skip
    later = record(provenance={"created": "2030-12-31"})
    assert (save(later, tmp_path / "later") / "metrics.json").read_text() == text


def test_content_hash_ignores_the_time_and_nothing_else():
    one = store.content_sha256(record())
    later = record(provenance={**record().provenance, "created": "2030"})
    assert store.content_sha256(later) == one
    for other in (
        record(provenance={"accelsim": "9"}),
        record(name="other"),
        record(verdicts=()),
        record(variants={"base": replace(record().base, faults=(FAULT,))}),
    ):
        assert store.content_sha256(other) != one


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SCALAR = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8)
SCALAR |= st.floats(allow_nan=False, allow_infinity=False)
NASTY = st.sampled_from(
    ["", "=1+1", "-1", "+", "@x", "'q", "1e5", "null", "true", "[1]", "{", "a,b", 'a"b', "a\nb",
     "a\rb", "a\r\nb", "\t", " ", "0x1", "1_000", "Infinity", "nan", "١", "-"]
)  # fmt: skip
ROWS = st.lists(st.dictionaries(st.text(max_size=4) | NASTY, JSON | NASTY, max_size=4), max_size=4)
FAULT_ROWS = st.lists(st.tuples(SCALAR, SCALAR, SCALAR), max_size=4).map(
    lambda lines: tuple(dict(zip(("index", "tensor", "x y"), line, strict=True)) for line in lines)
)
OBJECT = st.dictionaries(st.text(max_size=5), JSON, max_size=3)


@st.composite
def variant_records(draw):
    finite = st.floats(allow_nan=False, allow_infinity=False)
    metric = st.builds(
        Metric, finite | st.integers() | st.text(), st.text(), st.text(),
        st.none() | finite, st.none() | finite, st.none() | finite, st.none() | st.integers(),
    )  # fmt: skip
    return VariantRecord(
        metrics=draw(st.dictionaries(st.text(max_size=5), metric, max_size=3)),
        layers=tuple(draw(ROWS)),
        plan=draw(st.none() | OBJECT),
        trace=draw(st.none() | st.binary(max_size=20)),
        exposure=tuple(draw(ROWS)),
        fmeda=draw(st.none() | st.fixed_dictionaries({"rows": ROWS})),
        campaign=draw(st.none() | OBJECT),
        faults=draw(FAULT_ROWS),
        curves=draw(OBJECT),
        info=draw(OBJECT),
    )


NAMES = st.text(max_size=6) | st.sampled_from(
    ["..", ".", "a/b", "../../x", "C:\\x", "ü", "x" * 300]
)


@given(
    base=variant_records(),
    others=st.dictionaries(NAMES.filter(lambda n: n != "base"), variant_records(), max_size=2),
    name=st.text(),
)
@settings(max_examples=60, deadline=None)
def test_any_record_survives(tmp_path_factory, base, others, name):
    whole = record(name=name, variants={"base": base, **others}, verdicts=())
    parent = tmp_path_factory.mktemp("any")
    folder = save(whole, parent / "run")
    assert read_record(folder) == whole
    assert [p.name for p in parent.iterdir()] == ["run"]


def test_variant_names_do_not_lead_out_of_the_folder():
    names = ["..", ".", "", "%", "%2E", "a/b", "a%2Fb", "../../etc", "x" * 300, "x" * 301, "\ud800"]
    folders = [store.variant_folder(name) for name in names]
    assert len(set(folders)) == len(names)
    for folder in folders:
        top, inner, rest = folder.split("/")
        assert (top, rest) == ("variants", "")
        assert not inner.startswith(".")
        assert 0 < len(inner) < 200
    assert store.variant_folder("fp32_zero") == "variants/fp32_zero/"
    assert store.variant_folder("base") == ""


def test_what_is_not_a_number_is_null(tmp_path):
    odd = VariantRecord(metrics={"x": Metric(math.nan, "1", "sim", upper=math.inf)})
    folder = save(record(variants={"base": odd}), tmp_path / "run")
    assert "NaN" not in (folder / "metrics.json").read_text()
    value = load(folder).base.metrics["x"].value
    assert isinstance(value, float)
    assert math.isnan(value)


def test_csv_is_safe_in_a_spreadsheet_and_in_csv_readers():
    rows = [{"name": "=cmd|' /C calc'!A0", "n": -1}, {"name": 'a,"b"\nc', "n": 1e-05}]
    text = csv_text(rows)
    parsed = list(csv.DictReader(io.StringIO(text)))
    assert parsed[0] == {"name": "'=cmd|' /C calc'!A0", "n": "-1"}
    assert parsed[1] == {"name": 'a,"b"\nc', "n": "1e-05"}
    assert csv_rows(text) == tuple(rows)
    assert csv_text(rows, first=("n", "absent")).startswith("n,name\n")


@given(rows=ROWS)
@settings(max_examples=200, deadline=None)
def test_csv_round_trip(rows):
    text = csv_text(rows)
    assert csv_rows(text) == tuple(rows)
    assert csv_text(csv_rows(text)) == text


def test_fmeda_csv_starts_with_the_known_columns(tmp_path):
    folder = save(record(), tmp_path / "run")
    head, row = (folder / "fmeda.csv").read_text().splitlines()
    assert head.split(",") == list(FMEDA_ROW)
    assert row.startswith("'@ram,,SRAM,transient,8,0.001"), "an empty text is an empty cell"


def test_csv_files_hold_every_table(tmp_path):
    files = store.csv_files(record())
    assert set(files) == {
        "layers.csv", "exposure.csv", "fmeda.csv", "faults.csv", "metrics.csv",
    }  # fmt: skip
    assert csv_rows(files["faults.csv"]) == record().base.faults
    assert files["metrics.csv"].splitlines()[0].startswith("variant,metric,value,unit,lower")


def test_database_for_people(tmp_path):
    folder = save(record(), tmp_path / "run")
    base = sqlite3.connect(folder / "campaign.sqlite")
    assert base.execute('SELECT "index", outcome FROM faults WHERE sdc1 > 1').fetchall() == [
        (0, "sdc"), (1, "sdc"),
    ]  # fmt: skip
    assert json.loads(base.execute("SELECT value FROM meta WHERE key = 'campaign'").fetchone()[0])
    base.close()


def test_views_go_in_and_an_earlier_run_is_replaced(tmp_path):
    folder = save(record(), tmp_path / "run", {"report.html": "<p>old", "variants/gone/x.txt": "x"})
    assert (folder / "report.html").read_text() == "<p>old"
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("keep me")
    small = record(variants={"base": VariantRecord(metrics={})}, verdicts=())
    save(small, folder)
    assert load(folder) == small
    assert set(tree(folder)) == {
        "run.json", "config.json", "metrics.json", "verdicts.json", "info.json", "notes/mine.txt",
    }  # fmt: skip


def test_a_file_of_the_user_is_known_by_its_path_not_by_its_name(tmp_path):
    folder = save(record(), tmp_path / "run")
    mine = ("baseline/metrics.json", "baseline/run.json", "variants/mine/info.json", "faults.csv",
            "variants/zero/report.html", "deep/campaign.sqlite", "variants/notes.txt")  # fmt: skip
    for name in mine:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")
    (folder / "link").symlink_to("baseline", target_is_directory=True)
    save(record(name="second"), folder)
    assert load(folder).name == "second"
    assert {name: (folder / name).read_text() for name in mine} == {n: f"mine: {n}" for n in mine}
    assert (folder / "link" / "metrics.json").read_text() == "mine: baseline/metrics.json"


def test_a_file_of_the_user_in_the_way_is_kept_elsewhere(tmp_path):
    small = record(variants={"base": VariantRecord(metrics={})}, verdicts=())
    folder = save(small, tmp_path / "run")
    (folder / "plan.json").write_text("my plan")
    (folder / "variants").write_text("a file where a folder must be")
    (folder / "layers.csv").mkdir()
    (folder / "layers.csv" / "a.txt").write_text("a folder where a file must be")
    (folder / "yours").write_text("taken")
    save(record(), folder)
    assert load(folder) == record()
    kept = {name: data.decode() for name, data in tree(folder).items() if name[:5] == "yours"}
    assert kept == {
        "yours": "taken",
        "yours1/plan.json": "my plan",
        "yours1/variants": "a file where a folder must be",
        "yours1/layers.csv/a.txt": "a folder where a file must be",
    }
    save(record(), folder)
    assert {n: d.decode() for n, d in tree(folder).items() if n[:5] == "yours"} == kept


def test_views_made_later_are_ours(tmp_path):
    folder = save(record(), tmp_path / "run")
    store.save_views(folder, store.csv_files(record()))
    assert load(folder) == record()
    assert (folder / "faults.csv").exists()
    save(record(), folder)
    assert not (folder / "faults.csv").exists()
    assert not (folder / "metrics.csv").exists()


def test_a_folder_of_an_earlier_version_is_replaced(tmp_path):
    """Without a list of files: every path that a run may write is taken for ours."""
    folder = save(record(), tmp_path / "run", {"report.html": "<p>"})
    header = json.loads((folder / "run.json").read_text())
    del header["files"]
    (folder / "run.json").write_text(json.dumps(header))
    (folder / "baseline").mkdir()
    (folder / "baseline" / "metrics.json").write_text("mine")
    save(record(variants={"base": VariantRecord(metrics={})}, verdicts=()), folder)
    assert set(tree(folder)) == {
        "run.json", "config.json", "metrics.json", "verdicts.json", "info.json",
        "baseline/metrics.json",
    }  # fmt: skip


PATHS = st.lists(
    st.sampled_from(["run.json", "info.json", "plan.json", "variants", "zero", "yours", "a", "b"]),
    min_size=1, max_size=3,
).map("/".join)  # fmt: skip


@given(paths=st.lists(PATHS, max_size=6, unique=True), small=st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_file_of_the_user_is_ever_lost(tmp_path_factory, paths, small):
    less = record(variants={"base": VariantRecord(metrics={})}, verdicts=())
    folder = save(less if small else record(), tmp_path_factory.mktemp("p") / "run")
    mine = {}
    for name in paths:
        file = folder / name
        above = [p for p in file.parents if p != folder and folder in p.parents]
        if file.exists() or any(p.is_file() for p in above):
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"mine {name}")
        mine[name] = f"mine {name}".encode()
    written = set()
    for again in (record(), less, record()):
        save(again, folder)
        assert load(folder) == again
        written |= set(load_files(folder))
    rest = {n: d for n, d in tree(folder).items() if n not in load_files(folder)}
    assert sorted(rest.values()) == sorted(mine.values())
    for name, data in mine.items():
        [place] = [n for n, d in rest.items() if d == data]
        in_the_way = any(
            f"{w}/".startswith(f"{name}/") or name.startswith(f"{w}/") for w in written
        )
        assert place == name or (in_the_way and place.startswith("yours"))


def load_files(folder):
    return json.loads((folder / "run.json").read_text())["files"]


@pytest.mark.parametrize("kind", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("again", [False, True])
def test_whatever_fails_nothing_is_lost(tmp_path, monkeypatch, kind, again):
    """Every step of a save fails in turn, and, with ``again``, everything after it as well: the
    earlier run and the user's files are where they were, or whole where the message says."""
    folder = save(record(), tmp_path / "run")
    (folder / "baseline").mkdir()
    (folder / "baseline" / "metrics.json").write_text("mine")
    before, new = tree(folder), record(name="second")
    originals = {(owner, name): getattr(owner, name) for owner, name in STEPS}
    calls = {"n": 0, "bad": 0}

    def failing(original):
        def call(*args, **kwargs):
            calls["n"] += 1
            if calls["n"] == calls["bad"] or (again and calls["n"] > calls["bad"]):
                raise kind
            return original(*args, **kwargs)

        return call

    for bad in range(1, 100):
        with monkeypatch.context() as patch:
            for (owner, name), original in originals.items():
                patch.setattr(owner, name, failing(original))
            calls.update(n=0, bad=bad)
            try:
                save(new, folder)
                break
            except (AccelsimError, KeyboardInterrupt) as error:
                said = str(error)
        places = [folder, *tmp_path.glob(".run*.partial/old")]
        whole = [p for p in places if p.exists() and tree(p) == before]
        assert whole, (bad, said)
        if whole[0] != folder:
            assert again
            assert kind.__class__ is KeyboardInterrupt or str(whole[0]) in said
            whole[0].rename(folder)
        for left in tmp_path.glob(".run*"):
            assert again, "an aside folder stays only when it could not be removed"
            shutil.rmtree(left)
    else:
        pytest.fail("never got through")
    assert bad > 12
    assert load(folder) == new
    assert (folder / "baseline" / "metrics.json").read_text() == "mine"


STEPS = (
    (Path, "rename"), (Path, "mkdir"), (Path, "write_bytes"), (store, "write_campaign"),
    (store.os, "link"), (store.shutil, "copy2"),
)  # fmt: skip


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "run").mkdir()
    assert load(save(record(), tmp_path / "run")) == record()


@pytest.mark.parametrize("content", [None, "{}", "[", '{"schema": "other/v1"}', '["accelsim"]'])
def test_a_folder_of_something_else_is_never_replaced(tmp_path, content):
    (tmp_path / "thesis.txt").write_text("years of work")
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(AccelsimError, match="R510") as caught:
        save(record(), tmp_path)
    assert "thesis" not in str(caught.value)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_or_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(AccelsimError, match="file of that name"):
        save(record(), tmp_path / "file")
    with pytest.raises(AccelsimError, match="R510"):
        save(record(), tmp_path / "file" / "run")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(AccelsimError, match="current folder"):
        save(record(), ".")


def test_a_full_disk_leaves_the_old_run_and_nothing_else(tmp_path, monkeypatch):
    folder = save(record(), tmp_path / "run")
    before = tree(tmp_path)
    original = Path.write_bytes

    def full(self, data):
        if self.name == "verdicts.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(AccelsimError, match="No space left on device") as caught:
        save(record(name="second"), folder)
    assert caught.value.mistakes[0].code == "R511"
    with pytest.raises(AccelsimError, match="R511"):
        save(record(), tmp_path / "other")
    assert tree(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_full_disk_under_the_database(tmp_path, monkeypatch):
    def full(path, campaign, faults):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "write_campaign", full)
    with pytest.raises(AccelsimError, match="disk is full"):
        save(record(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def stop(path, campaign, faults):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_campaign", stop)
    with pytest.raises(KeyboardInterrupt):
        save(record(), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_swap_puts_the_old_run_back(tmp_path, monkeypatch):
    folder = save(record(), tmp_path / "run")
    original = Path.rename

    def rename(self, target):
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(AccelsimError, match="R511"):
        save(record(name="second"), folder)
    assert load(folder) == record()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", b"{"),
        ("run.json", b"[]"),
        ("run.json", b'{"schema": "accelsim/run-record/v9"}'),
        ("run.json", b'{"schema": "accelsim/run-record/v1"}'),
        ("run.json", b'{"a":' * 100_000),
        ("metrics.json", b'{"schema": "other", "metrics": {}, "variants": {}}'),
        ("metrics.json", b'{"schema": "accelsim/metrics/v1", "metrics": [], "variants": {}}'),
        ("metrics.json", b"\xff\xfe"),
        ("metrics.json", None),
        ("verdicts.json", b'[{"outcome": "maybe"}]'),
        ("verdicts.json", None),
        ("config.json", b'{"name":"forged"}'),
        ("layers.csv", b"op,cycles\nconv\n"),
        ("layers.csv", b'op\n"open'),
        ("layers.csv", b""),
        ("layers.csv", None),
        ("plan.json", b"[]"),
        ("info.json", None),
        ("trace.rle.json.gz", b"other"),
        ("campaign.sqlite", b"not a database"),
        ("campaign.sqlite", b""),
        ("campaign.sqlite", None),
        ("variants/zero/info.json", None),
    ],
)
def test_damaged_folders_are_named(tmp_path, file, content):
    folder = save(record(), tmp_path / "run")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(AccelsimError) as caught:
        load(folder)
    assert caught.value.mistakes[0].code == "R512"


def test_a_truncated_table_or_an_edited_metric_is_noticed(tmp_path):
    folder = save(record(), tmp_path / "run")
    text = (folder / "metrics.json").read_text()
    (folder / "metrics.json").write_text(text.replace("123", "122"))
    with pytest.raises(AccelsimError, match="changed after it was written"):
        load(folder)
    (folder / "metrics.json").write_text(text)
    assert load(folder) == record()
    base = sqlite3.connect(folder / "campaign.sqlite")
    base.execute("DELETE FROM faults WHERE rowid = 2")
    base.commit()
    base.close()
    with pytest.raises(AccelsimError, match="changed after it was written"):
        load(folder)


def test_a_record_of_an_earlier_version_is_not_called_forged(tmp_path):
    folder = save(record(), tmp_path / "run")
    header = json.loads((folder / "run.json").read_text())
    del header["files"]
    (folder / "run.json").write_text(json.dumps({**header, "content_sha256": "0" * 64}))
    with pytest.raises(AccelsimError, match="written by an earlier version of accelsim"):
        load(folder)


def test_not_a_run_folder(tmp_path):
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(AccelsimError, match="is not a run folder"):
            load(place)


def test_write_atomic(tmp_path):
    path = store.write_atomic(tmp_path / "a" / "b.txt", "one")
    assert store.write_atomic(path, "two").read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]
    with pytest.raises(AccelsimError, match="R511"):
        store.write_atomic(path / "below.txt", "x")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (si(1.234e-3, "s"), "1.23 ms"),
        (si(0.9999e-3, "s"), "1 ms"),
        (si(5e8, "Hz"), "500 MHz"),
        (si(0, "J"), "0 J"),
        (size(131072), "128 KiB"),
        (size(1_572_864), "1.5 MiB"),
        (size(5), "5 B"),
        (number(1234567), "1,234,567"),
        (number(0.000123456), "1.23e-04"),
        (percent(0.5), "50 %"),
        (percent(0.99234), "99.234 %"),
        (percent(0.9999999), "> 99.999 %"),
        (percent(1.0), "100 %"),
        (percent(0.0), "0 %"),
        (percent(0.0083), "0.83 %"),
    ],
)
def test_numbers_for_people(shown, expected):
    assert shown == expected


def database(*statements):
    """A change of campaign.sqlite by SQL; a pair holds parameters."""

    def change(folder):
        base = sqlite3.connect(folder / "campaign.sqlite")
        for statement in statements:
            base.execute(*(statement if isinstance(statement, tuple) else (statement,)))
        base.commit()
        base.close()

    return change


def content(file, text):
    def change(folder):
        (folder / file).write_text(text)

    return change


def header(**keys):
    def change(folder):
        found = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**found, **keys}))

    return change


def pipe(folder):
    (folder / "plan.json").unlink()
    os.mkfifo(folder / "plan.json")


ENDLESS = (
    "CREATE VIEW meta AS WITH RECURSIVE r(key, value) AS "
    "(SELECT 'k', '1' UNION ALL SELECT key || 'x', '1' FROM r) SELECT * FROM r"
)
DEEP = "[" * 200_000


@pytest.mark.parametrize(
    "change",
    [
        *(content(file, DEEP) for file in ("run.json", "verdicts.json", "metrics.json")),
        content("info.json", '{"a":' + "[" * 300 + "]" * 300 + "}"),
        content("layers.csv", f'op\n"{DEEP}"\n'),
        content("layers.csv", "op\n[NaN]\n"),
        content("layers.csv", "op\n1e999\n"),
        content("fmeda.json", '{"rows": 5}'),
        content("fmeda.json", "[5]"),
        content("fmeda.json", "[NaN]"),
        content("fmeda.json", '{"rows": [NaN]}'),
        header(provenance=None),
        header(provenance=[1]),
        header(variants="base"),
        header(variants=["zero"]),
        header(name=5),
        pipe,
        database(("UPDATE meta SET value = ? WHERE key = 'campaign'", (DEEP,))),
        database("UPDATE meta SET value = 5"),
        database("UPDATE meta SET value = x'ff'"),
        database("DELETE FROM meta WHERE key = 'campaign'"),
        database("DROP TABLE meta"),
        database("ALTER TABLE faults ADD COLUMN z", ("UPDATE faults SET z = ?", (b"xx",))),
        database("ALTER TABLE faults ADD COLUMN z", "UPDATE faults SET z = 9e999"),
        database("ALTER TABLE faults ADD COLUMN z AS (zeroblob(1000000000))"),
        database("DROP TABLE meta", ENDLESS),
        database("DROP TABLE faults", ENDLESS.replace("VIEW meta", "VIEW faults")),
    ],
)
def test_what_anybody_may_have_made_is_refused(tmp_path, change):
    folder = save(record(), tmp_path / "run")
    change(folder)
    with pytest.raises(AccelsimError, match="R512"):
        load(folder)


def forged(part, value):
    """A record whose base run holds ``value`` in place of ``part``."""
    return record(variants={"base": replace(record().base, **{part: value})})


@pytest.mark.parametrize(
    "wrong",
    [
        forged("layers", ({"a": 1},)),
        forged("layers", ({**LAYER, "cycles": "12"},)),
        forged("layers", ({**LAYER, "utilisation": 1e300},)),
        forged("plan", {"a": 1}),
        forged("plan", {**PLAN, "steps": [5]}),
        forged("fmeda", {"rows": [{"a": 1}], "metrics": {}}),
        forged("fmeda", {"rows": [FMEDA_ROW]}),
        forged("campaign", {"a": 1}),
        forged("campaign", {**CAMPAIGN, "rates": [{"rate": 0}]}),
        forged("exposure", ({"a": 1},)),
        forged("curves", {"busy": [1]}),
        forged("curves", {"roofline": {"points": []}}),
        forged("info", {}),  # a trace without a clock
        forged("info", {"clock_hz": 1000, "notes": "text"}),
        forged("metrics", {"latency.cycles": Metric("x", "cycles", "sim")}),
        forged("metrics", {"latency.cycles": Metric(None, "cycles", "sim")}),
        forged("metrics", {"sdc.p": Metric(0.1, "1", "campaign", "y")}),
        forged("metrics", {"sdc.p": Metric(10**400, "1", "campaign")}),
        forged("metrics", {"sdc.p": Metric(0.1, 5, "campaign")}),
        record(config="{"),
        record(config="5"),
        record(sha256=5),
        record(provenance={"a": 1}),
        *(
            record(verdicts=(replace(VERDICT, **{key: value}),))
            for key, value in (
                ("limit", "x"), ("limit", None), ("value", "y"), ("location", 5), ("name", None),
                ("relation", "?"), ("relation", "in"), ("applicable", 1), ("limit_high", 3),
            )
        ),
    ],
)  # fmt: skip
def test_a_right_hash_over_wrong_types_is_refused(tmp_path, wrong):
    folder = save(wrong, tmp_path / "run")
    with pytest.raises(AccelsimError, match="R512"):
        load(folder)


def test_a_record_without_its_base_is_refused(tmp_path):
    folder = save(record(variants={"zero": VariantRecord(metrics={})}), tmp_path / "run")
    with pytest.raises(AccelsimError, match="R512"):
        load(folder)


def test_a_database_beyond_its_bound_is_not_opened(tmp_path, monkeypatch):
    folder = save(record(), tmp_path / "run")
    monkeypatch.setattr(accelsim.database, "MAX_DATABASE_BYTES", 100)
    with pytest.raises(AccelsimError, match="larger than"):
        load(folder)
