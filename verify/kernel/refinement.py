"""The refinement obligations: a kernel, executed on terms, computes the monoid of its plan.

A loop begins at the unit; one iteration, from any state that can be reached, makes of the state of the positions before
that of those and the tile; what is stored is the finish. By induction on the iterations, the kernel computes the state
of all positions that its loops visit, which the index obligations say are those that count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product as combinations
from typing import Any

import sympy as sp

from refold.algebra import Plan, State
from refold.algebra.base2 import exp2
from refold.algebra.monoid import Component, Monoid, Operation, monoid
from refold.schedule import integers, ir
from refold.schedule.conditions import compare_integers
from refold.schedule.lower.kernels import Kernels, kernels
from refold.schedule.outcome import Carried, Loop, Written
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import NoMeaning, terms
from refold.spec import Fold, Index, Read, Where
from refold.spec.heads import folded
from refold.verify.kernel.base2 import change_of_base
from refold.verify.kernel.reading import Datum, Reading, Unread, Whole, conditions, literals
from refold.verify.kernel.small import LANES, Small, executed
from refold.verify.laws.reach import eq
from refold.verify.obligation import Obligation, discharge
from refold.verify.result import Result, Verdict
from refold.verify.verify import invariants_of

TIMEOUT_MS = 5000
BY_TERMS = "the same expression"


def refinement(plan: Plan, name: str = "kernel") -> Iterator[Result]:
    """Every refinement obligation of the kernels of a plan: rolling, parts, and what joins them."""
    made = kernels(plan, name)
    yield from of_module(made, Prover(made))


def of_module(made: Kernels, prover: Prover) -> Iterator[Result]:
    """The same of kernels that may be other than those lowered from the plan, which says what they are to compute."""
    yield from change_of_base(made.given, made.plan)
    for kernel in (made.rolling, made.parts, made.finish):
        try:
            yield from _Kernel(made, prover, kernel, executed(made, kernel)).results()
        except (NoMeaning, Unread) as error:
            claim = "the kernel computes its monoid"
            yield Result(f"refinement {kernel.name}", claim, "unknown", 0.0, "", note=str(error))


def plain(expr: Any) -> Any:
    """Powers of 2 as exponentials: both are the same function of a scaled argument, and no other law is used."""
    return expr.replace(lambda x: isinstance(x, exp2), lambda x: sp.exp(x.args[0], evaluate=False))


@dataclass(slots=True)
class Prover:
    """Proves that two expressions over a reachable state are one; what it was asked before it remembers."""

    made: Kernels
    laws: Monoid = field(init=False)
    components: Mapping[str, Component] = field(init=False)
    known: tuple[Any, ...] = field(init=False)
    literals: Mapping[float, Any] = field(init=False)
    seen: dict[tuple[Any, ...], Verdict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.laws, self.literals = monoid(self.made.plan), literals(self.made.plan)
        self.components = {str(c.symbol): c for c in self.laws.state}
        plan = _in_exponentials(self.made.plan)
        reach = invariants_of(plan)
        self.known = tuple(f for mark in ("", "₂") for f in reach.state(reach.monoid.marked(mark)))

    def same(self, got: Any, wanted: Any, known: tuple[Any, ...] | None = None) -> Verdict:
        """Whether two expressions are one value, or both none, in every state of which something is `known`."""
        got, wanted = plain(sp.sympify(got)), plain(sp.sympify(wanted))
        facts = self.known if known is None else known
        if isinstance(got, Where) and isinstance(wanted, Where) and sp.nan in wanted.args:
            return self._chosen(got, wanted, facts)
        return self._proved(facts, (eq(got, wanted),)) if got != wanted else "proved"

    def _chosen(self, got: Where, wanted: Where, known: tuple[Any, ...]) -> Verdict:
        """Two choices of which one side is no value: the conditions agree, and so do the sides, each where it is."""
        (c, *sides), (guard, *others) = got.args, wanted.args
        if (sides[0] is sp.nan) != (others[0] is sp.nan):
            c, sides = sp.Not(c), sides[::-1]
        verdicts = [self._proved((*known, guard), (c,)), self._proved((*known, sp.Not(guard)), (sp.Not(c),))]
        for holds, x, y in zip((guard, sp.Not(guard)), sides, others, strict=True):
            if sp.nan in (x, y):
                verdicts.append("proved" if x is y else "unknown")
            else:
                verdicts.append(self.same(x, y, (*known, holds)))
        return next((v for v in verdicts if v != "proved"), "proved")

    def _proved(self, known: tuple[Any, ...], goals: tuple[Any, ...]) -> Verdict:
        """The solver's answer, once for every question; data is numbered in the order in which it is met."""
        symbols = (s for x in (*goals, *known) for s in sp.preorder_traversal(x))
        order = dict.fromkeys(s for s in symbols if isinstance(s, Datum | Whole))
        table = {s: type(s)(n) for n, s in enumerate(order)}
        question = tuple(x.xreplace(table) for x in known), tuple(x.xreplace(table) for x in goals)
        if question not in self.seen:
            claim = Obligation("refinement", "", *question)
            answer = discharge(claim, self.made.plan, TIMEOUT_MS).verdict
            # A model of the solver's is no run of the kernel: it refutes nothing.
            self.seen[question] = "proved" if answer == "proved" else "unknown"
        return self.seen[question]


def _in_exponentials(plan: Plan) -> Plan:
    from refold.schedule.lower.renaming import put

    heads = {e: plain(e) for e in _powers(plan)}
    return put(plan, heads, {}) if heads else plan


def _powers(plan: Plan) -> set[Any]:
    parts = [x for a in plan.accumulators for x in (a.element, a.moved)]
    parts += [x for f in plan.finish for x in (f.expr, f.guard)]
    parts += [x for a in plan.anchors for x in (a.expr, a.regular)]
    return {e for x in parts for e in x.atoms(exp2)}


@dataclass(slots=True)
class _Kernel:
    """The obligations of one kernel."""

    made: Kernels
    prover: Prover
    function: ir.Function
    small: Small

    def results(self) -> Iterator[Result]:
        last: Loop | None = None
        loops = [e for e in self.small.outcome.loops if e.carried]
        components = self.prover.components
        if not loops:
            yield from self._missing("loop", "a loop carries {}", components, set())
        for loop in loops:
            yield from self._missing(
                f"loop {loop.number}", "the loop carries {}", components, {c.name for c in loop.carried}
            )
            yield from self._start(loop, last)
            yield from self._iteration(loop)
            last = loop
        stores = [(output_of(store), store) for store in self.small.outcome.stores]
        outputs = [f"part_{n}" for n in components] if self._keeps else [f.name for f in self.prover.laws.project]
        yield from self._missing("store", "{} is stored", outputs, {name for name, _ in stores})
        for name, store in stores:
            if name in outputs:
                yield from self._store(name, store, last)
            else:
                yield self._result(f"store {name}", f"{name} is an output", "unknown")

    @property
    def _keeps(self) -> bool:
        """Whether the kernel keeps the states of parts for another one."""
        return self.function is self.made.parts

    def _missing(self, what: str, claim: str, wanted: Iterable[str], there: set[str]) -> Iterator[Result]:
        """What a kernel leaves out is not shown, however right the rest is."""
        for name in wanted:
            if name not in there:
                yield self._result(f"{what}: {name}", claim.format(name), "unknown", "the kernel has none")

    def _own(self, term: Term, op: str, loop: Loop, lane: Mapping[Index, Term]) -> bool:
        """Whether the states that a term reads are those in a loop, or after it, each at the same lane."""
        for t in below(term):
            if t.op in ("state", "last"):
                assert isinstance(t.data, tuple)
                number, name, n = t.data
                if (t.op, number) != (op, loop.number) or str(name) not in self.prover.components:
                    return False
                if not self._lane(str(name), int(str(n))).items() <= lane.items():
                    return False
        return True

    def _stored(self, store: Written) -> bool:
        """Whether a store is one after all loops, of every lane of a row that there is."""
        truths = next(self._cases([]))
        reading = self._reading(truths, False)
        return store.how == "=" and not store.loops and all(map(reading.holds, terms(store.conditions)))

    def _result(self, what: str, claim: str, verdict: Verdict, note: str = "") -> Result:
        return Result(f"refinement {self.function.name}: {what}", claim, verdict, 0.0, "", note=note)

    def _reading(self, truths: Mapping[Term, bool], unasked: bool | None = True) -> Reading:
        return Reading(self.made, self.small, truths, unasked, self.prover.literals)

    def _same(self, reading: Reading, term: Term, wanted: Any) -> Verdict:
        """Whether a term is what is wanted, with what is known of states over the data of the reading."""
        where = self._where()
        table = {r: reading.atom(reading.read(r, where)) for f in self.prover.known for r in f.atoms(Read)}
        return self.prover.same(reading.kernel(term), wanted, tuple(f.xreplace(table) for f in self.prover.known))

    def _where(self, position: Term | None = None) -> dict[Index, Term]:
        """The position of the program along every axis but those that lanes go along."""
        roles = self.made.roles
        found = {a: self.small.lanes(a.name)[0] for a in roles.batch if a.name in self.small.names}
        if roles.rows is not None and roles.rows.name in self.small.names:
            found[roles.rows] = self.small.lanes(roles.rows.name)[0]
        found |= {a: integers.whole(0) for a in roles.inner}
        if position is not None:
            found[roles.fold] = position
        return found

    # --- a loop begins ---------------------------------------------------------------------------------------------

    def _start(self, loop: Loop, before: Loop | None) -> Iterator[Result]:
        reading = self._reading({})
        units = {str(s): u for s, u in self.prover.laws.units().items()}
        for c in loop.carried:
            what = f"{c.name} before loop {loop.number}"
            if before is None:
                good = all(reading.kernel(t) == units.get(c.name) for t in terms(c.start))
                yield self._result(what, f"{c.name} begins at its unit", "proved" if good else "unknown")
            else:
                ends = [terms(x.last) for x in before.carried if x.name == c.name]
                good = len(ends) == 1 and all(a is b for a, b in zip(terms(c.start), ends[0], strict=True))
                yield self._result(what, f"{c.name} goes on from the loop before", "proved" if good else "unknown")

    # --- one iteration ---------------------------------------------------------------------------------------------

    def _iteration(self, loop: Loop) -> Iterator[Result]:
        if self.function is self.made.finish:
            yield from self._combines(loop)
            return
        step = integers.multiply(loop.step, make("iteration", "int", (), loop.number))
        positions = [integers.add(loop.start, step, integers.whole(n)) for n in range(LANES)]
        after = [t for c in loop.carried for t in terms(c.then)]
        for truths in self._cases(after):
            yield from self._update(loop, truths, positions)

    def _cases(self, after: list[Term]) -> Iterator[dict[Term, bool]]:
        """Every way in which the conditions of an iteration may turn out, for a row that there is."""
        roles = self.made.roles
        fixed: dict[Term, bool] = {}
        if roles.rows is not None:
            row, length = self.small.lanes(roles.rows.name)[0], symbol(f"size_{roles.rows.name}", "int")
            fixed[compare_integers("<", row, length)] = True
            if roles.group is not None:
                fixed |= dict.fromkeys(conditions(*self.small.lanes(f"in_{roles.rows.name}")), True)
        free = [c for c in conditions(*after) if c not in fixed]
        if len(free) > 8:
            raise Unread(f"{len(free)} conditions in one iteration")
        for values in combinations((True, False), repeat=len(free)):
            yield fixed | dict(zip(free, values, strict=True))

    def _update(self, loop: Loop, truths: Mapping[Term, bool], positions: list[Term]) -> Iterator[Result]:
        """In one case, each component is what the update makes of the state and the positions that count."""
        free = len(truths) > (self.made.roles.rows is not None)
        reading = self._reading(truths, None if free else True)
        length = symbol(f"size_{self.made.roles.fold.name}", "int")
        inside = [p for p in positions if not free or reading.holds(compare_integers("<", p, length))]
        for c, state in self._components(loop):
            for n, term in enumerate(terms(c.then)):
                lane = self._lane(c.name, n)
                wanted = self._applied(self.prover.laws.update, reading, inside, lane)
                own = self._own(term, "state", loop, lane)
                verdict = self._same(reading, term, wanted[state]) if own else "unknown"
                claim = f"an iteration takes {c.name} to its update by the {len(inside)} positions that there are"
                yield self._result(f"loop {loop.number}: {c.name}", claim, verdict)

    def _components(self, loop: Loop) -> Iterator[tuple[Carried, State]]:
        """What a loop carries. Raises `Unread` for what is no component of a state."""
        for c in loop.carried:
            if c.name not in self.prover.components:
                raise Unread(f"{c.name}, which a loop carries and no state has")
            yield c, self.prover.components[c.name].symbol

    def _lane(self, name: str, n: int) -> dict[Index, Term]:
        """The position of a lane of a component along the axes that are held whole."""
        axes = self.prover.components[name].axes
        return self._inner([a for a in self.made.roles.inner if a in axes], n)

    def _inner(self, axes: list[Index], n: int) -> dict[Index, Term]:
        found = {}
        for axis in reversed(axes):
            n, digit = divmod(n, LANES)
            found[axis] = integers.whole(digit)
        return found

    def _applied(
        self, operation: Operation | None, reading: Reading, positions: list[Term], lane: Mapping[Index, Term]
    ) -> dict[State, Any]:
        """The components after an operation, with folds over the tile written out."""
        # Only a claimed form may be without one, and no kernel is lowered from it.
        assert operation is not None
        known: dict[Any, Any] = {}

        def put(expr: Any) -> Any:
            if isinstance(expr, Fold) and expr.axis == self.made.plan.axis:
                parts = []
                for p in positions:
                    where = {**self._where(p), **lane}
                    elements = {e.symbol: reading.plan(e.expr, where) for e in self.made.plan.elements}
                    parts.append(put(expr.body.xreplace(elements)))
                return folded(expr.kind, parts)
            if expr in known:
                return known[expr]
            if not expr.args:
                return reading.plan(expr, {**self._where(), **lane}) if isinstance(expr, sp.Symbol) else expr
            if not expr.has(Fold) and not expr.free_symbols & {*known, *self.prover.laws.symbols}:
                return reading.plan(expr, {**self._where(), **lane})
            return expr.func(*map(put, expr.args))

        for let in operation.lets:
            known[let.symbol] = put(let.expr)
        return dict(zip(self.prover.laws.symbols, (known[r] for r in operation.results), strict=True))

    def _combines(self, loop: Loop) -> Iterator[Result]:
        """In the kernel that joins parts: an iteration combines the state with that of one part."""
        laws = self.prover.laws
        reading = self._reading({})
        right = {f"part_{c.symbol}_ptr": c.right for c in laws.state}
        for c, state in self._components(loop):
            for n, term in enumerate(terms(c.then)):
                lane = self._lane(c.name, n)
                for t in below(term):
                    if t.op == "read" and isinstance(t.data, tuple) and t.data[0] in right:
                        reading.atoms[t] = right[str(t.data[0])]
                wanted = self._applied(laws.combine, reading, [], lane)[state]
                claim = f"an iteration combines {c.name} with that of a part"
                own = self._own(term, "state", loop, lane)
                verdict = self._same(reading, term, wanted) if own else "unknown"
                yield self._result(f"loop {loop.number}: {c.name}", claim, verdict)

    # --- what is stored --------------------------------------------------------------------------------------------

    def _store(self, name: str, store: Written, last: Loop | None) -> Iterator[Result]:
        """What is stored is the finish of the last state, or that state."""
        if self._keeps:
            part = name.removeprefix("part_")
            ends = [terms(c.last) for c in (last.carried if last else ()) if c.name == part]
            good = len(ends) == 1 and all(a is b for a, b in zip(terms(store.values), ends[0], strict=True))
            claim = f"the state of the part is kept: {part}"
            yield self._result(f"store {name}", claim, "proved" if good and self._stored(store) else "unknown")
            return
        finish = next(f for f in self.prover.laws.project if f.name == name)
        if self.made.roles.fold in finish.axes:
            note = "it varies with the axis of the loop"
            yield self._result(f"store {name}", f"{name} is the finish", "unknown", note)
            return
        axes = [a for a in self.made.roles.inner if a in finish.axes]
        held = self.function is self.made.rolling and self.made.ranges.held(self.made.roles)
        tile = [integers.add(self.small.lanes("last")[0], integers.whole(n)) for n in range(LANES)] if held else []
        claim, stored = f"{name} is the finish of the last state, at its place", self._stored(store)
        for truths in self._cases(terms(store.values)):
            reading = self._reading(truths)
            length = symbol(f"size_{self.made.roles.fold.name}", "int")
            inside = [p for p in tile if reading.holds(compare_integers("<", p, length))]
            for n, (place, value) in enumerate(zip(terms(store.places), terms(store.values), strict=True)):
                lane = {**self._where(), **self._inner(axes, n)}
                state: Mapping[Any, Any] = self._applied(self.prover.laws.update, reading, inside, lane) if held else {}
                parts = (finish.guard, finish.expr, finish.empty)
                wanted = Where(*(self._project(x, reading, lane).xreplace(state) for x in parts))
                own = last is not None and self._own(value, "last", last, lane)
                good = own and stored and place is self._place(name, finish.axes, lane)
                yield self._result(f"store {name}", claim, self._same(reading, value, wanted) if good else "unknown")

    def _project(self, expr: Any, reading: Reading, where: Mapping[Index, Term]) -> Any:
        if not expr.args or not expr.free_symbols & {*self.prover.laws.symbols}:
            return expr if isinstance(expr, State) or not expr.free_symbols else reading.plan(expr, where)
        return expr.func(*(self._project(a, reading, where) for a in expr.args))

    def _place(self, name: str, axes: tuple[Index, ...], where: Mapping[Index, Term]) -> Term:
        strides = self.made.strides
        at = [(where[a], a) for a in axes] + [(self.small.lanes(k)[0], k) for k in ("lead0", "lead1")]
        offset = integers.add(*(integers.multiply(i, symbol(strides[name, key], "int")) for i, key in at))
        return make("pointer", "pointer", (offset,), f"{name}_ptr")


def output_of(store: Written) -> str:
    """The tensor that a store writes to."""
    return str(terms(store.places)[0].data).removesuffix("_ptr")
