"""One kernel beside the plan that it is to compute: where its lanes are, and what an operation is there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import State
from refold.algebra.monoid import Component, Operation
from refold.schedule import integers, ir
from refold.schedule.conditions import compare_integers
from refold.schedule.launch import LIMITS
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Loop
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import filled, terms
from refold.spec import Fold, Index, Param, Read
from refold.verify.kernel.case import Case, conditions
from refold.verify.kernel.cases import Unread
from refold.verify.kernel.definition import Definition, of_positions
from refold.verify.kernel.forms import Data
from refold.verify.kernel.places import Places
from refold.verify.kernel.prover import Finding, Prover, named
from refold.verify.kernel.reading import Reading
from refold.verify.kernel.small import LANES, Small

Lane = Mapping[Index, Term]
# A component and its new value to a name for that.
Named = Callable[[Component, Any], Any]
# The number of the tile after a loop, as if it were a loop.
LAST_TILE = -1


@dataclass(slots=True)
class Subject:
    """A kernel as it was executed, and the prover that knows its plan."""

    made: Kernels
    prover: Prover
    stage: str
    small: Small
    places: Places = field(init=False)
    data: Data = field(default_factory=Data)

    def __post_init__(self) -> None:
        self.places = Places(self.made, self.small)
        define_scalars(self)

    @property
    def function(self) -> ir.Function:
        return self.made.stages[self.stage]

    def begin(self, thing: str, step: str, claim: str) -> Finding:
        """A step of this kernel of which nothing is said yet."""
        return Finding(named(self.stage, thing), step, claim)

    # --- cases -----------------------------------------------------------------------------------------------------

    def fixed(self) -> dict[Term, bool]:
        """What is so of every program that has a row: the others store nothing, which the index obligations say."""
        roles, zero = self.made.roles, integers.whole(0)
        counts = [p.name for p in self.made.plan.spec.params if p.is_integer and p.is_nonnegative]
        fixed = {compare_integers("<", symbol(name, "int"), zero): False for name in counts}
        if roles.rows is None or roles.rows.name not in self.small.names:
            # Nothing that a part keeps need vary with the row.
            return fixed
        row, length = self.small.lanes(roles.rows.name)[0], symbol(f"size_{roles.rows.name}", "int")
        fixed[compare_integers("<", row, length)] = True
        if roles.group is not None:
            fixed |= dict.fromkeys(conditions(*self.small.lanes(f"in_{roles.rows.name}")), True)
        return fixed

    def both(self, case: Case, loop: Loop | None = None) -> Definition:
        """Both sides in a case of what the kernel asks, in a loop or outside of one."""
        prover, free = self.prover, loop is not None and self.needs_no_mask(loop)
        values = {n: prover.kept[n].of(c.symbol) for n, c in prover.components.items()}
        reading = Reading(case, self.data, prover.scalars, values, self.written)
        masks = frozenset(self.made.ranges.masks if free else ())
        return Definition(self.places, case, self.data, prover.scalars, reading, masks, loop is not None)

    def asked(self, asking: Iterable[Term]) -> frozenset[Term]:
        """The conditions on integers in some terms that a case has to say something of."""
        return frozenset(conditions(*asking)) - {*self.fixed()}

    def shared(self, loop: Loop, positions: Iterable[Term]) -> frozenset[Term]:
        """The conditions that the plan asks of some positions, and the kernel too, as they stand."""
        asked = {*below(*(t for c in loop.carried for t in terms(c.then)))}
        predicates = {n for e in self.made.plan.elements for n in e.expr.atoms(Relational, sp.Or) if of_positions(n)}
        found = (self.places.condition(n, self.where(p)) for n in predicates for p in positions)
        return frozenset(c for c in found if c in asked and c.op in (">=0", "==0", "or"))

    @property
    def written(self) -> frozenset[str]:
        """The tensors that the kernel writes."""
        return frozenset(str(terms(s.places)[0].data) for s in self.small.outcome.stores)

    def needs_no_mask(self, loop: Loop) -> bool:
        """Whether a loop goes over tiles of which the index obligations say that each position counts."""
        if loop.number == LAST_TILE:
            return False
        spans = [(a.name, b.name) for a, b, masked in self.made.ranges.spans if not masked]
        if self.holds_last_tile:
            return loop.stop is self.small.lanes("last")[0]
        names = self.small.names
        ends = [(self.small.lanes(a)[0], self.small.lanes(b)[0]) for a, b in spans if a in names and b in names]
        return any(loop.start is a and loop.stop is b for a, b in ends)

    @property
    def holds_last_tile(self) -> bool:
        """Whether the last tile is held after the loop, to be written from there."""
        return self.function is self.made.rolling and self.made.ranges.held(self.made.roles)

    def there(self, case: Case, positions: Iterable[Term]) -> list[Term]:
        """Those of some positions that the axis of the loop has."""
        return [p for p in positions if case.holds(self.inside(p))]

    def inside(self, position: Term) -> Term:
        """Whether the axis of the loop has a position."""
        return compare_integers("<", position, symbol(f"size_{self.made.roles.fold.name}", "int"))

    # --- places ----------------------------------------------------------------------------------------------------

    def where(self, position: Term | None = None) -> dict[Index, Term]:
        """The position of the program along every axis but those that lanes go along."""
        roles = self.made.roles
        found = {a: self.small.lanes(a.name)[0] for a in roles.batch if a.name in self.small.names}
        if roles.rows is not None and roles.rows.name in self.small.names:
            found[roles.rows] = self.small.lanes(roles.rows.name)[0]
        found |= {a: integers.whole(0) for a in roles.inner}
        if position is not None:
            found[roles.fold] = position
        return found

    def lane(self, name: str, n: int) -> dict[Index, Term]:
        """The position of a lane of a component along the axes that are held whole."""
        axes = self.prover.components[name].axes
        return digits([a for a in self.made.roles.inner if a in axes], n)

    def own(self, term: Term, op: str, loop: Loop, lane: Lane) -> bool:
        """Whether the states that a term reads are those in a loop, or after it, each at the same lane."""
        for t in below(term):
            if t.op in ("state", "last"):
                assert isinstance(t.data, tuple)
                number, name, n = t.data
                if (t.op, number) != (op, loop.number) or str(name) not in self.prover.components:
                    return False
                if not self.lane(str(name), int(str(n))).items() <= lane.items():
                    return False
        return True

    def on_axis(self, positions: Iterable[Any]) -> list[Any]:
        """That positions, where a state keeps one, are on an axis; of these the launcher refuses those too long."""
        if all(k.is_plain for k in self.prover.kept.values()):
            return []
        least, most = sp.S.Zero, sp.Integer(LIMITS.axis)
        pairs = [(self.data.relation(sp.Ge, p, least), self.data.relation(sp.Lt, p, most)) for p in positions]
        return [fact for pair in pairs for fact in pair]

    # --- values ----------------------------------------------------------------------------------------------------

    def is_unit(self, name: str, term: Term) -> bool:
        """Whether a term is what the kernel keeps for the unit of a component."""
        unit = self.prover.laws.units()[self.prover.components[name].symbol]
        kept = self.prover.kept[name].of(unit)
        return bool(self.both(Case({})).kernel.value(term) == kept)

    def same(self, got: Any, wanted: Any, into: Finding, facts: Sequence[Any] = ()) -> None:
        """Whether a value is what is wanted, by what is known of states and by some facts.

        First with names for what is data alone; where that does not show it, what they stand for may.
        """
        known = [*self.known(), *facts]
        answers = self.prover.same(got, wanted, tuple(known), into.name)
        if any(a.verdict != "proved" for a in answers):
            got, wanted, *known = map(self.data.written_out, (got, wanted, *known))
            answers = self.prover.same(got, wanted, tuple(known), into.name)
        for answer in answers:
            into.take(answer)

    def fits(self, name: str, value: Any, into: Finding, facts: Sequence[Any] = ()) -> None:
        """Whether a component is still one that the kernel can keep."""
        goal = self.prover.kept[name].fits(value)
        if goal is not sp.true:
            into.take(self.prover.ask((*self.known(), *facts), goal, into.name))

    def known(self) -> tuple[Any, ...]:
        """What is so in every reachable state, over what memory holds."""
        where = self.where()
        reads = {r for f in self.prover.known for r in f.atoms(Read)}
        table = {r: self.data.datum(self.places.read(r, where)) for r in reads}
        return tuple(f.xreplace(table) for f in self.prover.known) if table else self.prover.known

    def applied(
        self, operation: Operation, both: Definition, positions: list[Term], lane: Lane, named: Named | None = None
    ) -> dict[State, Any]:
        """The components after an operation, with folds over the tile written out.

        `named` gives a name to a position that later components ask for, in the kernel too, where that is so.
        """
        laws, made, data = self.prover.laws, self.made.plan, self.data
        elements = made.elements
        here = {**self.where(), **lane}
        known: dict[Any, Any] = {}

        def put(expr: Any) -> Any:
            if isinstance(expr, Fold) and expr.axis == self.made.plan.axis:
                used = [e for e in elements if expr.body.has(e.symbol)]
                parts = []
                for p in positions:
                    at = {**self.where(p), **lane}
                    values = {e.symbol: both.value(e.expr, at) for e in used}
                    known.update(values)
                    parts.append(put(expr.body))
                return data.folded(expr.kind, parts, [both.kernel.number(p) for p in positions])
            if expr in known:
                return known[expr]
            if isinstance(expr, State):
                return expr
            if not expr.args:
                return both.value(expr, here) if isinstance(expr, sp.Symbol) else expr
            along = any(f.axis == self.made.plan.axis for f in expr.atoms(Fold))
            if not along and not expr.free_symbols & {*known, *laws.symbols}:
                return both.value(expr, here)
            if isinstance(expr, Fold):
                raise Unread(f"a fold of lanes along {expr.axis}")
            return data.built(expr.func, *map(put, expr.args))

        for let in operation.lets:
            known[let.symbol] = put(let.expr)
            if named is not None and let.symbol in laws.taken:
                component = self.prover.components[str(made.anchor(let.symbol).stale)]
                new = dict(zip(laws.symbols, operation.results, strict=True))[component.symbol]
                known[let.symbol] = known[new] = named(component, known[new])
        return dict(zip(laws.symbols, (known[r] for r in operation.results), strict=True))


def define_scalars(subject: Subject) -> None:
    """Takes in what the scalars that the launcher computes are made of."""
    for name, expr in subject.prover.scalars.computed():
        subject.data.define(name, expr.xreplace(dict(leaves(subject, expr))))


def leaves(subject: Subject, expr: Any) -> Iterator[tuple[Any, Any]]:
    """The scalars and lengths of an expression, as a kernel has them."""
    scalars = subject.prover.scalars
    for leaf in expr.free_symbols:
        if leaf in scalars.lengths.values() or (isinstance(leaf, Param) and leaf.is_integer):
            yield leaf, subject.data.integer(subject.places.integer(leaf, {}))
        elif isinstance(leaf, Param):
            yield leaf, scalars.symbol(leaf.name)


def naming(
    subject: Subject,
    both: Definition,
    loop: Loop,
    lane: Lane,
    into: Mapping[str, Finding],
    facts: Sequence[Any],
    used: Collection[Term],
) -> Named:
    """Names for positions that kernel and plan agree on, of those `used`: what is made of them is one expression.

    at' as the kernel has it = at' as the plan has it   ->   a name for both, of which what is so of `at` is known
    """
    ends = {c.name: c for c in loop.carried}

    def named(component: Component, value: Any) -> Any:
        name = str(component.symbol)
        for n, term in enumerate(terms(ends[name].then) if name in ends else ()):
            if term not in used:
                continue
            atom = both.case.settled(term)
            if subject.lane(name, n).items() <= lane.items() and atom.op == "select":
                rule, new = subject.prover.kept[name], State(f"{name}₃")
                subject.same(both.kernel.value(term), rule.of(value), into[name], facts)
                subject.fits(name, value, into[name], facts)
                both.kernel.names |= dict.fromkeys((term, atom), rule.of(new))
                return new
        return value

    return named


def last_tile(subject: Subject, before: Loop) -> Loop:
    """The tile after the loop as an iteration: from what the loop has left to what its names stand for in the end."""
    begin = {t: _named("state", t, c.name, n) for c in before.carried for n, t in enumerate(terms(c.last))}
    carried = []
    for c in before.carried:
        then = [integers.replaced(t, begin) for t in subject.small.lanes(c.name)]
        now = [begin[t] for t in terms(c.last)]
        ends = [_named("last", t, c.name, n) for n, t in enumerate(then)]
        shape = c.last.shape
        carried.append(
            replace(c, start=c.last, now=filled(shape, now), then=filled(shape, then), last=filled(shape, ends))
        )
    start = subject.small.lanes("last")[0]
    return replace(before, number=LAST_TILE, start=start, step=integers.whole(0), carried=tuple(carried))


def _named(op: str, like: Term, name: str, n: int) -> Term:
    return make(op, like.sort, (), (LAST_TILE, name, n))


def digits(axes: list[Index], n: int) -> dict[Index, Term]:
    """The position of lane n along some axes, the last the fastest."""
    found = {}
    for axis in reversed(axes):
        n, digit = divmod(n, LANES)
        found[axis] = integers.whole(digit)
    return found
