"""The sample sizes advised are those at which exact intervals do decide."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from accelsim.samples import sample_advice, times_for_share


def upper(events: float, n: float) -> float:
    """Clopper and Pearson's upper bound at 97.5 %, one-sided."""
    return float(beta.ppf(0.975, events + 1, n - events))


@pytest.mark.parametrize("n", [200, 1000, 5000])
@pytest.mark.parametrize("events", [0, 1, 3, 10, 50])
@pytest.mark.parametrize("closer", [0.25, 0.5, 0.8])
def test_the_advice_against_exact_intervals(events: int, n: int, closer: float) -> None:
    """At the advised size, with the same share of events, the exact bound has come as near to the
    value as asked; 1/sqrt(n) alone asks for up to 1 / ``closer`` times too much when events are
    rare."""
    share, half = events / n, upper(events, n) - events / n
    times = times_for_share(share, half, closer * half)
    reached = upper(events * times, n * times) - share
    assert reached == pytest.approx(closer * half, rel=0.2)
    if events == 0:
        assert times == pytest.approx(1 / closer)
        assert abs(reached / (closer * half) - 1) < 0.02
    if events == 50:
        assert times == pytest.approx(1 / closer**2, rel=0.3)


@given(st.floats(0, 1), st.floats(1e-6, 1), st.floats(1e-3, 1))
def test_between_the_two_laws(share: float, half: float, closer: float) -> None:
    """Never less than 1/n asks for, never more than 1/sqrt(n) does, the same for rare failures as
    for rare successes."""
    times = times_for_share(share, half, closer * half)
    assert (1 - 1e-9) / closer <= times <= (1 + 1e-9) / closer**2
    assert times == pytest.approx(times_for_share(1 - share, half, closer * half), rel=1e-6)


def test_words() -> None:
    assert sample_advice([(0.004, 0.001)], 1000, 0.0) == "about 4000 samples would decide"
    assert "about 4 times" in sample_advice([(0.004, 0.001)], None, 0.0)
    assert "2000 to 4000 samples" in sample_advice([(2.0, 1.0)], 1000, None)
    for share in (0.1, None):
        assert "too close" in sample_advice([(0.1, 0.0)], 10, share)
        assert "too close" in sample_advice([(0.1, 1e-300)], 10, share)
    assert times_for_share(0.3, 0.1, 0.0) == math.inf
