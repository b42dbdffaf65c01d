"""The upset maps against register-level models of the arrays, flip by flip, and known answers.

The models below know nothing of the closed forms: they hold every data register of the array in a
numpy array and clock it. Operands are non-zero so that no upset is masked by a value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from accelsim.errors import AccelsimError
from faults.hardware import REGISTERS, upset_outputs


@dataclass(frozen=True)
class Flip:
    register: str
    pe: tuple[int, int]
    cycle: int
    bit: int


def flipped(value, bit, width):
    raw = (int(value) & ((1 << width) - 1)) ^ (1 << bit)
    return raw - (1 << width) if raw >> (width - 1) else raw


def apply(registers, widths, flip, cycle):
    if flip is not None and flip.cycle == cycle:
        values = registers[flip.register]
        values[flip.pe] = flipped(values[flip.pe], flip.bit, widths[flip.register])


def from_left(port, registers):
    return np.concatenate([port[:, None], registers[:, :-1]], axis=1)


def from_top(port, registers):
    return np.concatenate([port[None, :], registers[:-1]], axis=0)


def wrap(values):
    return values.astype(np.int32).astype(np.int64)


WIDTHS = {"a": 8, "b": 8, "w": 8, "w_shadow": 8, "acc": 32, "drain": 32, "psum": 32}


def run_os(A, B, R, C, *, p, drain_register=True, column_shift=False, flip=None):
    """Clock an output-stationary array; returns (C, cycle of the last result)."""
    (m, k), n = A.shape, B.shape[1]
    noise = np.random.default_rng(9)
    zero = np.zeros((R, C), dtype=np.int64)
    regs = {"a": zero.copy(), "b": zero.copy(), "acc": zero.copy(), "drain": zero.copy()}
    i, j = np.indices((R, C))
    start = k + R - 1 + p + np.arange(C)
    out, last = np.zeros((m, n), dtype=np.int64), 0
    for t in range(k + 2 * R + C + p):
        apply(regs, WIDTHS, flip, t)
        chain = regs["drain"] if drain_register else regs["acc"]
        for col in range(n):
            row = R - 1 - (t - start[col])
            if 0 <= row < R:
                last = t
                if row < m:
                    out[row, col] = chain[R - 1, col]
        left = np.array([A[r, t - r] if r < m and 0 <= t - r < k else noise.integers(1, 99)
                         for r in range(R)])  # fmt: skip
        top = np.array([B[t - c, c] if c < n and 0 <= t - c < k else noise.integers(1, 99)
                        for c in range(C)])  # fmt: skip
        in_a, in_b = from_left(left, regs["a"]), from_top(top, regs["b"])
        x, y = (regs["a"], regs["b"]) if p else (in_a, in_b)
        q = t - i - j - p
        summed = wrap(np.where(q == 0, 0, regs["acc"]) + x * y)
        acc = np.where((q >= 0) & (q < k), summed, regs["acc"])
        shifts_done = t - start[None, :]
        limit = R - 1 if column_shift else i
        shifting = (shifts_done >= 0) & (shifts_done < limit)
        moved = np.where(shifting, from_top(np.zeros(C, dtype=np.int64), chain), chain)
        if drain_register:
            regs["drain"] = np.where(q == k - 1, summed, moved)
            regs["acc"] = acc
        else:
            regs["acc"] = np.where(shifting, moved, acc)
        regs["a"], regs["b"] = in_a, in_b
    return out, last


def run_ws(A, B, R, C, *, p, shadow=True, column_shift=False, flip=None):
    """Clock a weight-stationary array; returns (C, cycle of the last result)."""
    (m, k), n = A.shape, B.shape[1]
    noise = np.random.default_rng(9)
    zero = np.zeros((R, C), dtype=np.int64)
    regs = {"a": zero.copy(), "w": zero.copy(), "w_shadow": zero.copy(), "psum": zero.copy()}
    held = np.zeros((R, C), dtype=np.int64)
    held[:k, :n] = B
    i, j = np.indices((R, C))
    load = "w_shadow" if shadow else "w"
    out, last = np.zeros((m, n), dtype=np.int64), 0
    for t in range(m + 2 * R + C + p + 1):
        apply(regs, WIDTHS, flip, t)
        for col in range(C):
            row = t - 2 * R - col - p
            if 0 <= row < m:
                last = t
                if col < n:
                    out[row, col] = regs["psum"][R - 1, col]
        idle = noise.integers(1, 99, size=R) * (np.arange(R) < k)
        left = np.array([A[t - R - r, r] if r < k and 0 <= t - R - r < m else idle[r]
                         for r in range(R)])  # fmt: skip
        top = np.array([held[R - 1 - (t - c), c] if 0 <= t - c < R else noise.integers(1, 99)
                        for c in range(C)])  # fmt: skip
        in_a = from_left(left, regs["a"])
        x = regs["a"] if p else in_a
        step = t - R - i - j - p
        weight = np.where(step == 0, regs["w_shadow"], regs["w"]) if shadow else regs["w"]
        above = from_top(np.zeros(C, dtype=np.int64), regs["psum"])
        psum = wrap(above + x * weight)
        first = 0 if column_shift else i
        loading = (t - j >= first) & (t - j < R)
        chain = np.where(loading, from_top(top, regs[load]), regs[load])
        if shadow:
            regs["w"] = np.where(step == 0, regs["w_shadow"], regs["w"])
        regs[load] = chain
        regs["a"], regs["psum"] = in_a, psum
    return out, last


def operands(rng, m, k, n):
    signs = rng.choice([-1, 1], size=m * k + k * n)
    values = signs * rng.integers(1, 128, size=m * k + k * n)
    return values[: m * k].reshape(m, k), values[m * k :].reshape(k, n)


def differing(clean, faulty):
    return {(int(r), int(c)) for r, c in np.argwhere(clean != faulty)}


def random_shape(rng, dataflow):
    R, C = rng.integers(1, 6, size=2)
    down, across, along = rng.integers(1, R + 1), rng.integers(1, C + 1), rng.integers(1, 8)
    shape = {"os": (down, across, along), "ws": (along, across, down)}[dataflow]
    return int(R), int(C), *(int(v) for v in shape)


def check(dataflow, model, trials, seed, **options):
    """Random arrays, tiles, registers, PEs and cycles: zero mismatches, and every kind of register
    both hit and missed."""
    rng = np.random.default_rng(seed)
    variants = {k: v for k, v in options.items() if k != "column_shift"}
    registers = [r for r in REGISTERS[dataflow]
                 if not (r == "w_shadow" and not options.get("shadow", True))
                 and not (r == "drain" and not options.get("drain_register", True))]  # fmt: skip
    arguments = {
        "drain_register": variants.get("drain_register", True),
        "weight_register": "shadow" if variants.get("shadow", True) else "single",
    }
    seen = {register: [0, 0] for register in registers}
    for trial in range(trials):
        R, C, m, n, k = random_shape(rng, dataflow)
        p = trial % 2
        A, B = operands(rng, m, k, n)
        clean, last = model(A, B, R, C, p=p, **options)
        np.testing.assert_array_equal(clean, A @ B)
        for register in registers:
            flip = Flip(
                register,
                (int(rng.integers(R)), int(rng.integers(C))),
                int(rng.integers(last + 2)),
                int(rng.integers(WIDTHS[register])),
            )
            faulty, _ = model(A, B, R, C, p=p, flip=flip, **options)
            predicted = upset_outputs(
                dataflow, register, flip.pe, flip.cycle, m, n, k, R, C,
                "registered" if p else "arriving", **arguments,
            )  # fmt: skip
            assert differing(clean, faulty) == predicted, (R, C, m, n, k, p, flip)
            seen[register][bool(predicted)] += 1
    for register, (missed, hit) in seen.items():
        assert missed > 10, register
        assert hit > 10, register


@pytest.mark.parametrize("column_shift", [False, True])
def test_os_maps_match_the_register_model(column_shift):
    check("os", run_os, 400, 1, column_shift=column_shift)


def test_os_without_drain_register():
    check("os", run_os, 300, 2, drain_register=False)


@pytest.mark.parametrize("column_shift", [False, True])
def test_ws_maps_match_the_register_model(column_shift):
    check("ws", run_ws, 400, 3, column_shift=column_shift)


def test_ws_with_single_weight_register():
    check("ws", run_ws, 300, 4, shadow=False)


def test_every_flip_of_a_small_array():
    """Exhaustive over register, PE and cycle on 3 x 3, a tile that fills it."""
    A, B = operands(np.random.default_rng(5), 3, 3, 3)
    for dataflow, model in (("os", run_os), ("ws", run_ws)):
        clean, last = model(A, B, 3, 3, p=0)
        for register in REGISTERS[dataflow]:
            for pe in np.ndindex(3, 3):
                for cycle in range(last + 2):
                    faulty, _ = model(A, B, 3, 3, p=0, flip=Flip(register, pe, cycle, 2))
                    predicted = upset_outputs(dataflow, register, pe, cycle, 3, 3, 3, 3, 3)
                    assert differing(clean, faulty) == predicted, (register, pe, cycle)


@pytest.mark.parametrize("p", [0, 1])
def test_the_models_take_the_cycles_of_the_timing_tables(p):
    """Full tiles: os K + 2R + C - 2, ws M + 2R + C - 1, one more with registered operands."""
    for R, C, along in ((4, 4, 6), (3, 5, 1), (1, 1, 1), (5, 2, 9)):
        A, B = operands(np.random.default_rng(6), R, along, C)
        assert run_os(A, B, R, C, p=p)[1] + 1 == along + 2 * R + C - 2 + p
        A, B = operands(np.random.default_rng(7), along, R, C)
        assert run_ws(A, B, R, C, p=p)[1] + 1 == along + 2 * R + C - 1 + p


def test_is_is_ws_with_the_operands_exchanged():
    rng = np.random.default_rng(8)
    for _ in range(200):
        R, C, n, m, k = random_shape(rng, "ws")
        p = int(rng.integers(2))
        A, B = operands(rng, m, k, n)
        register = str(rng.choice(["a", "w", "w_shadow", "psum"]))
        clean, last = run_ws(B.T, A.T, R, C, p=p)
        np.testing.assert_array_equal(clean.T, A @ B)
        pe, cycle = (int(rng.integers(R)), int(rng.integers(C))), int(rng.integers(last + 2))
        faulty, _ = run_ws(B.T, A.T, R, C, p=p, flip=Flip(register, pe, cycle, 1))
        mac = "registered" if p else "arriving"
        predicted = upset_outputs("is", register, pe, cycle, m, n, k, R, C, mac)
        assert differing(clean.T, faulty.T) == predicted
        if register == "a":
            assert upset_outputs("is", "b", pe, cycle, m, n, k, R, C, mac) == predicted


def test_live_fraction_of_a_4x4_array():
    """Shares of (PE, cycle) with any effect, 4 x 4, K = M = 6, as measured on RTL."""
    for register, published, dataflow in (("a", 0.28, "os"), ("b", 0.28, "os"),
                                          ("acc", 0.31, "os"), ("drain", 0.25, "os"),
                                          ("w", 0.53, "ws")):  # fmt: skip
        m, k = (4, 6) if dataflow == "os" else (6, 4)
        window = 6 + 2 * 4 + 4 - (2 if dataflow == "os" else 1)
        single = {"weight_register": "single"} if register == "w" else {}
        live = sum(
            bool(upset_outputs(dataflow, register, pe, c, m, 4, k, 4, 4, **single))
            for pe in np.ndindex(4, 4)
            for c in range(window)
        )
        assert live / (16 * window) == pytest.approx(published, abs=0.03), register


def test_hand_picked_answers():
    # os, operand a of PE(1, 1) holding k = 0: everything right of it, not the PE itself.
    call = {"m": 4, "n": 4, "k": 6, "rows": 4, "cols": 4}
    assert upset_outputs("os", "a", (1, 1), 3, **call) == {(1, 2), (1, 3)}
    assert upset_outputs("os", "a", (1, 1), 3, **call, mac_input="registered") == {
        (1, 1), (1, 2), (1, 3),
    }  # fmt: skip
    assert upset_outputs("os", "b", (2, 3), 6, **call) == {(3, 3)}
    call = {"m": 5, "n": 4, "k": 4, "rows": 4, "cols": 4}
    # ws, weight in use while row 3 of A passes PE(0, 0): rows 3 and 4 of column 0.
    assert upset_outputs("ws", "w", (0, 0), 7, **call) == {(3, 0), (4, 0)}
    assert upset_outputs("ws", "w", (0, 0), 4, **call) == set()
    assert upset_outputs("ws", "w_shadow", (0, 0), 4, **call) == {(r, 0) for r in range(5)}
    assert upset_outputs("ws", "w", (0, 0), -3, **call) == set()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"dataflow": "rs"}, "F640", "unknown dataflow"),
        ({"mac_input": "late"}, "F640", "mac_input"),
        ({"weight_register": "double"}, "F640", "weight_register"),
        ({"microarchitecture": "gemmini"}, "F640", "microarchitecture"),
        ({"register": "swap"}, "F641", "no data register 'swap'"),
        ({"dataflow": "os"}, "F641", "no data register 'w'"),
        ({"register": "w_shadow", "weight_register": "single"}, "F641", "single weight"),
        ({"k": 5}, "F642", "does not fit rows = 4"),
        ({"n": 5}, "F642", "does not fit cols = 4"),
        ({"m": 0}, "F642", "m is 0"),
        ({"pe": (4, 0)}, "F642", "outside"),
    ],
)
def test_mistakes(changes, code, words):
    call = {"dataflow": "ws", "register": "w", "pe": (0, 0), "cycle": 0, "m": 9, "n": 4, "k": 4,
            "rows": 4, "cols": 4, **changes}  # fmt: skip
    with pytest.raises(AccelsimError, match=words) as caught:
        upset_outputs(**call)
    assert {m.code for m in caught.value.mistakes} == {code}
