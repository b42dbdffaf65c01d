"""Dynamic execution of tile graphs: known answers, laws, and what scheduling alone gains."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from heapq import heapreplace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.config.load import load_accelerator
from accelsim.errors import AccelsimError
from accelsim.parallel.check import LogError, check_log
from accelsim.parallel.policies import POLICIES, PolicyName, Pools
from accelsim.parallel.tile_dag import Tile, TileDag, tile_dag
from accelsim.sim.dynamic import DynamicRun, Overheads, _Engine, drawn_work, run
from accelsim.workload.reader import read_network

HALF = Fraction(1, 2)
BARRIERS = (PolicyName.STATIC, PolicyName.DYNAMIC)


def layered(layers: int, width: int, reach: int, work: int = 100) -> TileDag:
    """``layers`` operators of ``width`` tiles; a tile needs those up to ``reach`` beside it."""
    tiles = [Tile(0, work) for _ in range(width)]
    for layer in range(1, layers):
        for at in range(width):
            near = range(max(0, at - reach), min(width, at + reach + 1))
            tiles.append(Tile(layer, work, tuple((layer - 1) * width + other for other in near)))
    return TileDag(tuple(f"layer{layer}" for layer in range(layers)), tuple(tiles))


@st.composite
def dags(draw: st.DrawFn) -> TileDag:
    tiles: list[Tile] = []
    ops = draw(st.integers(1, 5))
    for op in range(ops):
        before = len(tiles)
        for _ in range(draw(st.integers(0, 6))):
            some = draw(st.sets(st.integers(0, before - 1), max_size=4)) if before else set()
            tiles.append(Tile(op, draw(st.integers(1, 20)), tuple(sorted(some))))
    return TileDag(tuple(f"op{op}" for op in range(ops)), tuple(tiles))


SPEEDS = st.lists(st.sampled_from([Fraction(1), HALF, Fraction(3, 4)]), min_size=1, max_size=4)
COSTS = st.builds(
    Overheads,
    jitter=st.sampled_from([0.0, 0.3]),
    node_cycles=st.integers(0, 3),
    barrier_cycles=st.integers(0, 5),
    locality=st.sampled_from([Fraction(0), Fraction(1, 4)]),
)


def of_ideal(found: DynamicRun) -> float:
    return found.cycles / found.ideal_cycles


def test_a_diamond_by_hand() -> None:
    # a(2) -> b(3), c(5) -> d(1): on two cores c runs beside b.
    dag = TileDag(
        tuple("abcd"), (Tile(0, 2), Tile(1, 3, (0,)), Tile(2, 5, (0,)), Tile(3, 1, (1, 2)))
    )
    found = run(dag, (1, 1), "tiles")
    assert [(one.tile, one.core, one.start, one.end) for one in found.log] == [
        (0, 0, 0, 2), (1, 0, 2, 5), (2, 1, 2, 7), (3, 1, 7, 8),
    ]  # b is the first child and stays on core 0, c is stolen  # fmt: skip
    assert found.cycles == 8
    assert found.serial_cycles == 11
    assert run(dag, (1, 1), "dynamic").cycles == 11
    assert run(dag, (1, 1), "dynamic", overheads=Overheads(barrier_cycles=4)).cycles == 23
    assert found.utilisation == (5 / 8, 6 / 8)
    # Karp-Flatt: S = 11/8, p = 2: (8/11 - 1/2) / (1/2) = 5/11.
    assert found.karp_flatt == pytest.approx(5 / 11)
    assert found.parallel_fraction == pytest.approx(6 / 11)


def test_costs_of_nodes_and_the_credit_for_locality() -> None:
    chain = TileDag(("a", "b"), (Tile(0, 10), Tile(1, 10, (0,))))
    assert run(chain, (1,), "tiles", overheads=Overheads(node_cycles=3)).cycles == 26
    near = run(chain, (1, 1), "tiles", overheads=Overheads(locality=Fraction(1, 5)))
    assert [one.near for one in near.log] == [False, True]
    assert near.cycles == 18
    assert run(chain, (HALF,), "static").cycles == 40
    assert run(chain, (1,), "static").karp_flatt is None


def test_a_static_share_is_contiguous_and_as_equal_as_can_be() -> None:
    dag = layered(1, 7, 0, work=1)
    log = run(dag, (1, 1, 1), "static").log
    shares = [[one.tile for one in log if one.core == core] for core in range(3)]
    assert shares == [[0, 1], [2, 3], [4, 5, 6]]


@given(dags(), SPEEDS, COSTS, st.integers(0, 3))
def test_every_policy_obeys_the_laws(
    dag: TileDag, speeds: list[Fraction], costs: Overheads, seed: int
) -> None:
    for policy in PolicyName:
        found = run(dag, speeds, policy, overheads=costs, seed=seed)
        check_log(
            dag, found.log, found.work, found.speeds, saved=costs.locality,
            barriers=policy in BARRIERS,
        )  # fmt: skip
        assert found.cycles == max((one.end for one in found.log), default=0)
        if not costs.locality:
            drawn = replace_work(dag, found.work)
            assert found.cycles >= drawn.critical_path / max(speeds)
            assert found.cycles >= drawn.work / sum(speeds)


def replace_work(dag: TileDag, work: tuple[int, ...]) -> TileDag:
    return TileDag(
        dag.ops, tuple(replace(tile, work=w) for tile, w in zip(dag.tiles, work, strict=True))
    )


@given(dags(), st.integers(1, 4))
def test_tiles_never_idle_while_there_is_work(dag: TileDag, cores: int) -> None:
    """Graham's bound, which every schedule that leaves no core idle beside a ready tile keeps."""
    for policy in (PolicyName.TILES, PolicyName.TILES_DEEPEST):
        found = run(dag, (1,) * cores, policy)
        assert found.cycles <= dag.work / cores + (1 - 1 / cores) * dag.critical_path


@given(dags(), st.integers(1, 4), st.integers(0, 5))
def test_policies_with_barriers_equal_their_slow_twins(
    dag: TileDag, cores: int, barrier: int
) -> None:
    static = dynamic = 0
    ops = [[dag.tiles[tile].work for tile in mine] for mine in dag.by_op if mine]
    for turn, works in enumerate(ops):
        edges = [len(works) * core // cores for core in range(cores + 1)]
        static += max(sum(works[a:b]) for a, b in pairwise(edges))
        free = [0] * cores
        for work in works:
            heapreplace(free, free[0] + work)
        dynamic += max(free)
        if turn:
            static, dynamic = static + barrier, dynamic + barrier
    costs = Overheads(barrier_cycles=barrier)
    assert run(dag, (1,) * cores, "static", overheads=costs).cycles == static
    assert run(dag, (1,) * cores, "dynamic", overheads=costs).cycles == dynamic


@given(dags(), st.integers(2, 4), st.randoms(use_true_random=False))
def test_the_order_within_an_instant_does_not_matter(
    dag: TileDag, cores: int, shuffle: st.DataObject
) -> None:
    """Ends of one instant, and idle cores, may be reported in any order."""

    class Shuffled(Pools):
        def ended(self, pairs: list[tuple[int, int]], now: int) -> None:
            shuffle.shuffle(pairs)  # type: ignore[attr-defined]
            super().ended(pairs, now)

        def choose(self, idle: list[int], now: int) -> list[tuple[int, int]]:  # type: ignore[override]
            other = list(idle)
            shuffle.shuffle(other)  # type: ignore[attr-defined]
            return super().choose(other, now)

    plain = run(dag, (1,) * cores, "tiles")
    engine = _Engine(
        dag, plain.speeds, Overheads(), [plain.work] * cores, Shuffled(dag, cores, deepest=False)
    )
    assert engine.run() == plain.log


@given(dags(), st.integers(0, 5))
def test_draws_belong_to_the_tile_and_the_seed(dag: TileDag, seed: int) -> None:
    found = drawn_work(dag, 0.3, seed)
    shorter = TileDag(dag.ops, dag.tiles[: len(dag.tiles) // 2])
    assert drawn_work(shorter, 0.3, seed) == found[: len(shorter.tiles)]
    assert drawn_work(dag, 0.0, seed) == tuple(tile.work for tile in dag.tiles)


def test_the_jitter_has_the_mean_and_the_deviation_it_says() -> None:
    work = drawn_work(layered(1, 4000, 0, work=10_000), 0.3, 0)
    mean = sum(work) / len(work)
    deviation = (sum((w - mean) ** 2 for w in work) / len(work)) ** 0.5
    assert mean == pytest.approx(10_000, rel=0.02)
    assert deviation == pytest.approx(3_000, rel=0.05)
    assert drawn_work(layered(1, 4000, 0, work=10_000), 0.3, 1) != work


# What to expect from scheduling alone: specification of tile-level dynamic execution.


@pytest.mark.parametrize("reach", [0, 1, 4, 32])
def test_equal_tiles_in_divisible_counts_gain_nothing(reach: int) -> None:
    dag = layered(30, 32, reach)
    static, tiles = (run(dag, (1,) * 8, policy).cycles for policy in ("static", "tiles"))
    assert static == dag.work // 8
    assert static <= tiles <= 1.02 * static


@pytest.mark.parametrize(
    ("width", "speeds", "jitter"),
    [
        (16, (1,) * 8, 0.3),  # variance alone
        (24, (1,) * 8, 0.3),
        (12, (1,) * 8, 0.0),  # remainders: 12 tiles on 8 cores
        (32, (1,) * 4 + (HALF,) * 4, 0.0),  # fast and slow cores
        (32, (1,) * 4 + (HALF,) * 4, 0.3),
    ],
)
def test_jitter_remainders_and_mixed_cores_gain_between_1_2_and_1_8(
    width: int, speeds: tuple[int, ...], jitter: float
) -> None:
    dag = layered(30, width, 1)
    runs = {
        policy: run(dag, speeds, policy, overheads=Overheads(jitter=jitter))
        for policy in ("static", "tiles")
    }
    assert 1.2 <= runs["static"].cycles / runs["tiles"].cycles <= 1.8
    assert of_ideal(runs["tiles"]) < 1.1
    serial = runs["tiles"].parallel_fraction
    assert serial is not None
    assert serial > 0.97
    assert serial > (runs["static"].parallel_fraction or 1.0)


def test_shallow_first_is_far_better_than_deepest_first() -> None:
    """Four images, five tiles a layer, sixteen cores: deepest first finishes one image after the
    other and is left with the tail of the last."""
    dag = layered(30, 5, 1).repeated(4)
    shallow, deepest = (run(dag, (1,) * 16, p) for p in ("tiles", "tiles-deepest"))
    assert of_ideal(shallow) < 1.05
    assert of_ideal(deepest) > 1.4


@pytest.mark.parametrize(
    ("speeds", "costs", "policy", "words"),
    [
        ((), Overheads(), "tiles", "speeds"),
        ((0,), Overheads(), "tiles", "speeds"),
        ((1,), Overheads(jitter=-1), "tiles", "jitter"),
        ((1,), Overheads(node_cycles=-1), "tiles", "negative"),
        ((1,), Overheads(locality=Fraction(1)), "tiles", "locality"),
        ((1,), Overheads(), "best", "unknown policy 'best'"),
    ],
)
def test_settings_out_of_range_are_refused(
    speeds: tuple[int, ...], costs: Overheads, policy: str, words: str
) -> None:
    with pytest.raises(AccelsimError, match=words) as error:
        run(layered(1, 1, 0), speeds, policy, overheads=costs)
    assert error.value.mistakes[0].code == "M351"


def test_the_checker_finds_what_is_wrong() -> None:
    dag = layered(2, 2, 0, work=10)
    found = run(dag, (1, 1), "static")
    broken = {
        "ran 0 times": found.log[1:],
        "its parent": (replace(found.log[-1], start=5, end=15), *found.log[:-1]),
        "starts before": (replace(found.log[2], start=9, end=30), *found.log[:2], found.log[3]),
        "of work in": (replace(found.log[0], end=9), *found.log[1:]),
    }
    for words, log in broken.items():
        with pytest.raises(LogError, match=words):
            check_log(dag, log, found.work, found.speeds)
    free = run(layered(2, 3, 0), (1, 1), "tiles")
    with pytest.raises(LogError, match="before a barrier"):
        check_log(layered(2, 3, 0), free.log, free.work, free.speeds, barriers=True)


def test_there_is_a_policy_for_every_name() -> None:
    assert set(POLICIES) == set(PolicyName)
    assert run(TileDag((), ()), (1, 1), "tiles").cycles == 0


def test_a_real_network_gains_as_much() -> None:
    """ResNet-20 in 16 tiles per operator on eight cores with 30 % jitter."""
    models = Path(__file__).resolve().parents[3] / "configs"
    net = read_network(str(models / "models" / "resnet20_cifar10_int8.onnx"))
    machine = load_accelerator(models / "accelerators" / "edge_npu_16x16.yaml")
    dag = tile_dag(net, machine, tiles=16)
    costs = Overheads(jitter=0.3)
    static, tiles = (run(dag, (1,) * 8, p, overheads=costs) for p in ("static", "tiles"))
    assert 1.2 <= static.cycles / tiles.cycles <= 1.7
    assert (tiles.parallel_fraction or 0.0) > 0.98
    for found in (static, tiles):
        check_log(dag, found.log, found.work, found.speeds, barriers=found is static)
