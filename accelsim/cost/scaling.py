"""Technology scaling of published figures: logic and SRAM apart, because they do not shrink alike.

- logic energy: Stillmaker and Baas, "Scaling equations for the accurate prediction of CMOS device
  performance from 180 nm to 7 nm", Integration 2017: a polynomial of the supply voltage per node;
  the ratio of two nodes scales an energy. Without a voltage both nodes are taken at 0.8 V;
- logic area: the same paper's factors, row "45";
- SRAM energy: the 45 nm and 7 nm columns of one table (Jouppi et al., ISCA 2021, table 2) by size,
  with a power law of the node between them;
- SRAM area: bit cells as foundries presented them.

Between listed nodes everything is a power law of the node (log-log interpolation, mark D); below
the last listed node, down to 5 nm, its last segment goes on (mark R).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from accelsim.errors import AccelsimError, Mistake

REFERENCE_NM = 45
"""Node of the area figures (:data:`accelsim.cost.tables.AREA`)."""

SAME_VOLTAGE = 0.8
"""Volts at which two nodes are compared unless supply voltages are given."""

SMALLEST_NM, LARGEST_NM = 5, 130
"""Nodes that scaling covers."""

LOWEST_V, HIGHEST_V = 0.5, 1.2
"""Supply voltages that scaling accepts: about where the polynomials were fitted (assumed)."""

LOGIC_ENERGY: Mapping[int, tuple[float, float, float]] = MappingProxyType(
    {
        130: (7.171, -6.709, 2.904), 90: (4.762, -4.781, 2.092), 65: (3.755, -4.398, 1.975),
        45: (1.103, -0.362, 0.2767), 32: (0.9559, -0.7823, 0.471), 20: (0.373, -0.1582, 0.04104),
        16: (0.2958, -0.1241, 0.03024), 14: (0.2363, -0.09675, 0.02239),
        10: (0.2068, -0.09311, 0.02375), 7: (0.1776, -0.09097, 0.02447),
    }
)  # fmt: skip
"""Node -> a, b, c of the energy factor a V^2 + b V + c (Stillmaker and Baas, S)."""

AREA_SCALE: Mapping[int, float] = MappingProxyType(
    {130: 6.4, 90: 2.8, 65: 1.5, 45: 1.0, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.1, 7: 0.059}
)
"""Logic area at a node over that at 45 nm: Stillmaker and Baas, Integration 2017, row "45" (S)."""

SRAM_CELL_UM2: Mapping[int, float] = MappingProxyType(
    {130: 2.43, 90: 1.0, 65: 0.525, 45: 0.346, 40: 0.242, 32: 0.171, 28: 0.127, 20: 0.081,
     16: 0.074, 14: 0.0588, 10: 0.042, 7: 0.027, 5: 0.021}
)  # fmt: skip
"""High-density 6T cell in um2 by node, as foundries presented them (R)."""

SRAM_ENERGY_7_OVER_45: Mapping[int, float] = MappingProxyType(
    {8192: 7.5 / 10, 32768: 8.5 / 20, 1048576: 14 / 100}
)
"""Bytes -> access energy at 7 nm over that at 45 nm: Jouppi et al., ISCA 2021, table 2 (R)."""


def power_law(points: Sequence[tuple[float, float]], x: float) -> float:
    """Log-log interpolation through ascending points of positive numbers, at least two; beyond the
    ends the nearest segment goes on. Exact at the points."""
    assert len(points) >= 2, "a power law needs two points"
    known = dict(points)
    if x in known:
        return known[x]
    above = next((i for i, (at, _) in enumerate(points) if at > x), len(points) - 1)
    (x0, y0), (x1, y1) = points[max(0, above - 1)], points[max(1, above)]
    slope = math.log(y1 / y0) / math.log(x1 / x0)
    return y0 * math.pow(x / x0, slope)


def logic_energy_factor(
    from_nm: int, to_nm: int, from_v: float = SAME_VOLTAGE, to_v: float = SAME_VOLTAGE
) -> float:
    """Energy of a logic operation at ``to_nm`` and ``to_v`` over that at ``from_nm`` and
    ``from_v`` (volts). AccelsimError E806 for nodes or voltages outside of the model."""
    _require(from_nm, to_nm)
    for volts in (from_v, to_v):
        if not LOWEST_V <= volts <= HIGHEST_V:
            hint = f"between {LOWEST_V:g} and {HIGHEST_V:g} V"
            raise AccelsimError(Mistake("E806", f"no energy scaling at {volts:g} V", hint))
    if (from_nm, from_v) == (to_nm, to_v):
        return 1.0
    return _logic_energy(to_nm, to_v) / _logic_energy(from_nm, from_v)


def logic_area_factor(node: int, *, extrapolate: bool = False) -> float:
    """Logic area at ``node`` over that at 45 nm; below 7 nm only with ``extrapolate`` (to 5 nm).
    AccelsimError E804 for a node that is not covered."""
    low = SMALLEST_NM if extrapolate else min(AREA_SCALE)
    if not low <= node <= max(AREA_SCALE):
        nodes = ", ".join(str(known) for known in sorted(AREA_SCALE))
        hint = f"known nodes: {nodes}, and what lies between them"
        raise AccelsimError(Mistake("E804", f"no area scaling to {node} nm", hint))
    return power_law(sorted(AREA_SCALE.items()), node)


def sram_energy_factor(size: float, from_nm: int, to_nm: int) -> float:
    """Access energy of an SRAM of ``size`` bytes at ``to_nm`` over that at ``from_nm``. Beyond the
    sizes of the table its end counts. AccelsimError E806 for nodes outside of the model."""
    _require(from_nm, to_nm)
    ratios = sorted(SRAM_ENERGY_7_OVER_45.items())
    bounded = min(max(size, ratios[0][0]), ratios[-1][0])
    steps = math.log(to_nm / from_nm) / math.log(7 / 45)
    return math.pow(power_law(ratios, bounded), steps)


def sram_cell_um2(node: int) -> float:
    """Area of one 6T cell in um2; AccelsimError E806 for a node that is not covered."""
    _require(node)
    return power_law(sorted(SRAM_CELL_UM2.items()), node)


def scaling_mark(*nodes: int) -> str:
    """Confidence of a logic factor between nodes: S all listed, D interpolated, R extrapolated."""
    if any(node < min(LOGIC_ENERGY) for node in nodes):
        return "R"
    return "S" if all(node in LOGIC_ENERGY for node in nodes) else "D"


def _logic_energy(node: int, volts: float) -> float:
    at = [
        (float(known), a * volts**2 + b * volts + c)
        for known, (a, b, c) in sorted(LOGIC_ENERGY.items())
    ]
    return power_law(at, node)


def _require(*nodes: int) -> None:
    bad = [node for node in nodes if not SMALLEST_NM <= node <= LARGEST_NM]
    if bad:
        hint = f"between {SMALLEST_NM} and {LARGEST_NM} nm"
        raise AccelsimError(Mistake("E806", f"no technology scaling at {bad[0]} nm", hint))
