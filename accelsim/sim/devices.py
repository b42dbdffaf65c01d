"""Ports whose service time depends on what they served before, for example a banked DRAM.

An ordinary port is busy for the cycles of the command that holds it. A :class:`PortDevice` stands
behind one port of a program and decides, command by command, how long each of them takes.
Both engines accept one: ``accelsim.sim.engine.simulate`` and ``accelsim.sim.steady.run_program``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from accelsim.program import Work


class PortDevice(Protocol):
    """A port with a state. All times are whole cycles from the start of the run.

    The engines call :meth:`serve` in order of time, once per command that holds the port, at the
    cycle at which the command starts (its last port was granted). The port carries one command at a
    time, so a call never comes before the end of the command served last.
    """

    @property
    def port(self) -> str:
        """Name of the port in ``Program.ports`` that the device stands behind."""

    def reset(self) -> None:
        """Forget everything: the state at cycle 0. Engines call it before they begin."""

    def serve(self, work: Work, cycles: int, now: int) -> int:
        """Duration >= 0 in cycles of the command that starts at ``now``.

        ``cycles`` is what the command states, its share besides the port (see ``Command.cycles``);
        whether the device adds to it or takes the longer of the two is the device's affair.
        """

    def content(self, work: Work) -> Hashable:
        """All of ``work`` that can make a difference to :meth:`serve`, now or for a later command.

        Commands of equal content, cycles and ports are interchangeable in time: loops and layers
        are recognised as equal by it. The work itself is always a correct answer.
        """

    def signature(self, now: int) -> Hashable:
        """The state relative to ``now``, in canonical form.

        If two signatures, of cycles ``a`` and ``b``, are equal, then the same commands served the
        same number of cycles after ``a`` and after ``b`` take the same durations, for ever. A
        device with a clock of its own (refresh) includes its phase, ``now`` modulo its period.
        """

    def snapshot(self) -> object:
        """The state as a value that later calls do not change."""

    def restore(self, saved: object, late: int) -> None:
        """Continue from a state equivalent to ``saved``, everything ``late`` >= 0 cycles later.

        The engine guarantees that :meth:`signature` is the same ``late`` cycles later.
        """
