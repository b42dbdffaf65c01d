"""The scheduling program: variables, one function per family of constraints, the objective.

Notation: z(i,m,t) operator i runs in mode m at step t; x(i,t) = sum_m z(i,m,t); r(k,t) tensor k is
resident at t; c(k,t) graph input k starts its free first residency; l(k,t) k is loaded for t; w(k)
k is stored (once). After COSMA (arXiv 2311.18246), capacity only: addresses come afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ilp.facts import Choice, Facts
from ilp.model import Model, Term

_NARROW_SLOTS = 3
"""Possible steps per operator, on average, up to which the order hardly matters."""


@dataclass
class Program:
    """The model together with what its variables mean."""

    facts: Facts
    capacity: int
    model: Model = field(default_factory=Model)
    runs: dict[tuple[int, int], int] = field(default_factory=dict)
    """x: (operator, step) -> variable; the same as z where an operator has one mode."""
    resident: dict[tuple[str, int], int] = field(default_factory=dict)
    first: dict[tuple[str, int], int] = field(default_factory=dict)
    load: dict[tuple[str, int], int] = field(default_factory=dict)
    store: dict[str, int] = field(default_factory=dict)
    at_step: dict[int, list[tuple[Choice, int]]] = field(default_factory=dict)
    """Step -> what can run then, with its z variable."""
    of_op: dict[int, list[tuple[Choice, int, int]]] = field(default_factory=dict)
    """Operator -> (choice, step, z variable)."""

    def runs_by(self, op: int, last: int) -> list[Term]:
        """Terms of sum_{u <= last} x(op, u)."""
        return [(1, self.runs[op, step]) for step in self.facts.window(op) if step <= last]

    def writes(self, name: str) -> list[Term]:
        """Terms that sum to 1 when the producer streams ``name`` to DRAM."""
        if name not in self.facts.producer:
            return []
        runs = self.of_op[self.facts.producer[name]]
        return [(1, v) for choice, _, v in runs if name in choice.writes]


def build_program(facts: Facts, capacity: int) -> Program:
    """The whole program for ``capacity`` bytes, without cuts."""
    program = Program(facts, capacity)
    slots = sum(len(facts.window(op)) for op in range(facts.steps))
    program.model.narrow = slots <= _NARROW_SLOTS * facts.steps
    define_run_variables(program)
    define_residency_variables(program)
    define_assignment_constraints(program)
    define_precedence_constraints(program)
    define_need_constraints(program)
    define_persistence_constraints(program)
    define_first_use_constraints(program)
    define_copy_constraints(program)
    define_capacity_constraints(program)
    define_objective(program)
    return program


def program_size(facts: Facts) -> int:
    """Roughly the number of coefficients :func:`build_program` would make."""
    spans = [len(facts.window(op)) for op in range(facts.steps)]
    runs = sum(4 * len(choices) * span for choices, span in zip(facts.choices, spans, strict=True))
    orders = 0
    for op, spec in enumerate(facts.problem.ops):
        for name in dict.fromkeys(spec.inputs):
            if name in facts.producer:
                orders += spans[op] * (spans[op] + spans[facts.producer[name]]) // 2
    stays = sum(len(residency_span(facts, name)) for name in facts.tensors)
    makers = sum(spans[op] * spans[op] for op in facts.producer.values())
    return runs + orders + makers + 8 * stays


def define_run_variables(program: Program) -> None:
    """z(i,m,t) and x(i,t) for every step t in the window of i: #ancestors to n-1-#descendants.

    x(i,t) = sum_m z(i,m,t).
    """
    facts, model = program.facts, program.model
    program.at_step = {step: [] for step in range(facts.steps)}
    for op, choices in enumerate(facts.choices):
        program.of_op[op] = []
        for step in facts.window(op):
            modes = [model.variable(f"z{op}.{index}.{step}") for index in range(len(choices))]
            program.at_step[step] += zip(choices, modes, strict=True)
            program.of_op[op] += [(c, step, v) for c, v in zip(choices, modes, strict=True)]
            program.runs[op, step] = modes[0]
            if len(modes) > 1:
                total = model.variable(f"x{op}.{step}")
                model.add([*((1, v) for v in modes), (-1, total)], lower=0, upper=0)
                program.runs[op, step] = total


def define_residency_variables(program: Program) -> None:
    """r, c, l and w, over the steps at which they can serve anything.

    A produced tensor may be resident from its producer's first possible step, a graph input from
    its first possible reader's (from step 0 if it may have to be stored before it is streamed), to
    the last possible step of a reader that needs it on chip. Loads can only follow production.
    """
    facts, model = program.facts, program.model
    for name in facts.tensors:
        span = residency_span(facts, name)
        made = facts.producer.get(name)
        for step in span:
            program.resident[name, step] = model.variable(f"r.{name}.{step}")
            if made is None and name not in facts.charged:
                program.first[name, step] = model.variable(f"c.{name}.{step}")
            readers = any(step in facts.window(reader) for reader in facts.consumers[name])
            if readers and (step > span.start or name in facts.charged):
                variable = model.variable(f"l.{name}.{step}", integral=False)
                program.load[name, step] = variable
        if name not in facts.clean and (facts.consumers[name] or name in facts.owed):
            program.store[name] = model.variable(f"w.{name}", integral=False)


def residency_span(facts: Facts, name: str) -> range:
    """Steps at which residency of a tensor can serve anything."""
    readers = facts.consumers[name]
    windows = [facts.window(reader) for reader in readers]
    needing = [
        facts.window(reader)
        for reader in readers
        if any(name in choice.needed for choice in facts.choices[reader])
    ]
    if name in facts.producer:
        made = facts.window(facts.producer[name])
        return range(made.start, max([made.stop, *(window.stop for window in needing)]))
    streamed = any(name in c.reads for reader in readers for c in facts.choices[reader])
    if streamed and name not in facts.clean:
        return range(max(window.stop for window in windows))
    if not needing:
        return range(0)
    return range(min(w.start for w in needing), max(w.stop for w in needing))


def define_assignment_constraints(program: Program) -> None:
    """One operator per step, one step and mode per operator.

    sum_t x(i,t) = 1 for all i; sum_i x(i,t) = 1 for all t.
    """
    of_op: dict[int, list[Term]] = {}
    at_step: dict[int, list[Term]] = {}
    for (op, step), variable in program.runs.items():
        of_op.setdefault(op, []).append((1, variable))
        at_step.setdefault(step, []).append((1, variable))
    for terms in (*of_op.values(), *at_step.values()):
        program.model.add(terms, lower=1, upper=1)


def define_precedence_constraints(program: Program) -> None:
    """An operator runs after the producers of its inputs, stated cumulatively.

    sum_{u <= t} x(j,u) <= sum_{u < t} x(i,u) for every producer i of an input of j, and all t.
    """
    facts = program.facts
    if facts.problem.order == "given":
        return
    for op, spec in enumerate(facts.problem.ops):
        makers = dict.fromkeys(facts.producer[n] for n in spec.inputs if n in facts.producer)
        for maker in makers:
            for step in facts.window(op):
                terms = program.runs_by(op, step)
                terms += [(-1, v) for _, v in program.runs_by(maker, step - 1)]
                program.model.add(terms, upper=0)


def define_need_constraints(program: Program) -> None:
    """What an operator's mode does not stream is resident while it runs.

    sum over (i,m) that need k on chip of z(i,m,t) <= r(k,t); one row per k and t, since one
    operator runs per step.
    """
    needing: dict[tuple[str, int], list[Term]] = {}
    for step, entries in program.at_step.items():
        for choice, variable in entries:
            for name in choice.needed:
                needing.setdefault((name, step), []).append((1, variable))
    for key, terms in needing.items():
        program.model.add([*terms, (-1, program.resident[key])], upper=0)


def define_persistence_constraints(program: Program) -> None:
    """A tensor is resident because it was, is made now, comes on chip first, or is loaded.

    r(k,t) <= r(k,t-1) + sum_{m not streaming k} z(prod,m,t) + c(k,t) + l(k,t), with r(k,-1) = 0;
    and, implied for integers but tightening the relaxation, r(k,t) <= sum_{u <= t} x(prod,u).
    """
    facts, model = program.facts, program.model
    making: dict[tuple[str, int], list[Term]] = {}
    for name, op in facts.producer.items():
        for choice, step, variable in program.of_op[op]:
            if name in choice.needed:
                making.setdefault((name, step), []).append((-1, variable))
    for (name, step), variable in program.resident.items():
        terms: list[Term] = [(1, variable), *making.get((name, step), ())]
        for table, key in (
            (program.resident, (name, step - 1)),
            (program.first, (name, step)),
            (program.load, (name, step)),
        ):
            if key in table:
                terms.append((-1, table[key]))
        model.add(terms, upper=0)
        if name in facts.producer and step < facts.window(facts.producer[name]).stop - 1:
            made = program.runs_by(facts.producer[name], step)
            model.add([(1, variable), *((-1, v) for _, v in made)], upper=0)


def define_first_use_constraints(program: Program) -> None:
    """The first residency of a graph input is free, and only the first.

    sum_t c(k,t) <= 1; c(k,t) <= r(k,t).
    """
    starts: dict[str, list[Term]] = {}
    for key, variable in program.first.items():
        starts.setdefault(key[0], []).append((1, variable))
        program.model.add([(1, variable), (-1, program.resident[key])], upper=0)
    for terms in starts.values():
        program.model.add(terms, upper=1)


def define_copy_constraints(program: Program) -> None:
    """Loads and streamed reads use a DRAM copy that exists by then.

    With o(k) = sum_{m streaming k, t} z(prod,m,t), a copy made by the producer itself:
    l(k,t) <= w(k) + o(k), l(k,t) <= sum_{u < t} x(prod,u), and for every reader i
    sum_{m streaming k, t} z(i,m,t) <= w(k) + o(k). A graph input has a copy if it is clean;
    else it must have been on chip: sum_{i, m streaming k} z(i,m,t) <= sum_{u < t} c(k,u).
    A graph output that is owed reaches DRAM either way: w(k) + o(k) >= 1.
    """
    facts, model = program.facts, program.model
    for (name, step), variable in program.load.items():
        if name in facts.clean:
            continue
        model.add([(1, variable), *_negative_copy(program, name)], upper=0)
        if name in facts.producer and step < facts.window(facts.producer[name]).stop:
            made = program.runs_by(facts.producer[name], step - 1)
            model.add([(1, variable), *((-1, v) for _, v in made)], upper=0)
    for name in facts.tensors:
        if name in facts.clean:
            continue
        if name in facts.owed:
            model.add([(1, program.store[name]), *program.writes(name)], lower=1)
        for reader in facts.consumers[name]:
            reads = [(c, t, v) for c, t, v in program.of_op[reader] if name in c.reads]
            if reads:
                terms: list[Term] = [(1, v) for _, _, v in reads]
                model.add([*terms, *_negative_copy(program, name)], upper=0)
            if name not in facts.producer:
                for step in dict.fromkeys(t for _, t, _ in reads):
                    terms = [(1, v) for _, t, v in reads if t == step]
                    earlier = [program.first[name, u] for u in range(step)]
                    model.add([*terms, *((-1, v) for v in earlier)], upper=0)


def _negative_copy(program: Program, name: str) -> list[Term]:
    return [(-1, program.store[name]), *((-1, v) for _, v in program.writes(name))]


def define_capacity_constraints(program: Program) -> None:
    """Resident tensors, the workspace and the next operator's prefetch fit, in granules.

    sum_k s_k r(k,t) + sum_{i,m} ws(i,m) z(i,m,t) + sum_{i,m} pf(i,m) z(i,m,t+1) <= M.
    """
    facts = program.facts
    unit = facts.granule
    loads: dict[int, list[Term]] = {step: [] for step in range(facts.steps)}
    for (name, step), variable in program.resident.items():
        loads[step].append((facts.size[name] // unit, variable))
    for step, entries in program.at_step.items():
        loads[step] += [(choice.workspace // unit, v) for choice, v in entries]
        if step > 0:
            loads[step - 1] += [(choice.prefetch // unit, v) for choice, v in entries]
    for terms in loads.values():
        program.model.add(terms, upper=program.capacity // unit)


def define_objective(program: Program) -> None:
    """Minimise sum cost(i,m) z(i,m,t) + sum_k store(k) w(k) + sum_{k,t} load(k) l(k,t).

    Every operator runs once, so its cheapest mode is a constant and only the excess is charged.
    """
    facts, model = program.facts, program.model
    for runs in program.of_op.values():
        least = min(choice.cost for choice, _, _ in runs)
        model.constant += least
        for choice, _, variable in runs:
            if choice.cost > least:
                model.charge(choice.cost - least, variable)
    _charge_all(model, ((facts.store_cost[k], v) for k, v in program.store.items()))
    _charge_all(model, ((facts.load_cost[k], v) for (k, _), v in program.load.items()))


def _charge_all(model: Model, charges: Iterable[Term]) -> None:
    for coefficient, variable in charges:
        if coefficient:
            model.charge(coefficient, variable)
