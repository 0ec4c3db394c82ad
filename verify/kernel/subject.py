"""One kernel beside the plan that it is to compute: where its lanes are, and what an operation is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from refold.algebra import State
from refold.algebra.monoid import Operation
from refold.schedule import integers, ir
from refold.schedule.conditions import compare_integers
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Loop
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import filled, terms
from refold.spec import Fold, Index, Read
from refold.spec.heads import folded
from refold.verify.kernel.cases import Truths, Unread
from refold.verify.kernel.prover import Finding, Prover
from refold.verify.kernel.reading import Reading, conditions
from refold.verify.kernel.small import LANES, Small

Lane = Mapping[Index, Term]
# The number of the tile after a loop, as if it were a loop.
LAST_TILE = -1


@dataclass(frozen=True, slots=True)
class Subject:
    """A kernel as it was executed, and the prover that knows its plan."""

    made: Kernels
    prover: Prover
    stage: str
    small: Small

    @property
    def function(self) -> ir.Function:
        return self.made.stages[self.stage]

    def begin(self, thing: str, step: str, claim: str) -> Finding:
        """A step of this kernel of which nothing is said yet."""
        return Finding(self.stage, thing, step, claim)

    # --- cases -----------------------------------------------------------------------------------------------------

    def fixed(self) -> dict[Term, bool]:
        """What is so of every program that has a row: the others store nothing, which the index obligations say."""
        roles, zero = self.made.roles, integers.whole(0)
        counts = [p.name for p in self.made.plan.spec.params if p.is_integer and p.is_nonnegative]
        fixed = {compare_integers("<", symbol(name, "int"), zero): False for name in counts}
        if roles.rows is None:
            return fixed
        row, length = self.small.lanes(roles.rows.name)[0], symbol(f"size_{roles.rows.name}", "int")
        fixed[compare_integers("<", row, length)] = True
        if roles.group is not None:
            fixed |= dict.fromkeys(conditions(*self.small.lanes(f"in_{roles.rows.name}")), True)
        return fixed

    def reading(self, truths: Truths, asking: Iterable[Term], loop: Loop | None = None) -> Reading:
        """Both sides in a case of what some terms ask, which the kernel computes in a loop."""
        asked, free = frozenset(conditions(*asking)) - {*self.fixed()}, loop is not None and self.needs_no_mask(loop)
        return Reading(self.made, self.small, truths, asked, free, loop is not None, self.prover.literals)

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

    def there(self, reading: Reading, positions: Iterable[Term]) -> list[Term]:
        """Those of some positions that the axis of the loop has."""
        return [p for p in positions if reading.holds(self.inside(p))]

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

    # --- values ----------------------------------------------------------------------------------------------------

    def same(self, reading: Reading, term: Term, wanted: Any, into: Finding) -> None:
        """Whether a term is what is wanted, with what is known of states over the data of the reading."""
        where = self.where()
        reads = {r for f in self.prover.known for r in f.atoms(Read)}
        table = {r: reading.atom(reading.read(r, where)) for r in reads}
        known = tuple(f.xreplace(table) for f in self.prover.known) if table else self.prover.known
        self.prover.same(reading.kernel(term), wanted, known, into)

    def applied(self, operation: Operation, reading: Reading, positions: list[Term], lane: Lane) -> dict[State, Any]:
        """The components after an operation, with folds over the tile written out."""
        laws, elements = self.prover.laws, self.made.plan.elements
        known: dict[Any, Any] = {}

        def put(expr: Any) -> Any:
            if isinstance(expr, Fold) and expr.axis == self.made.plan.axis:
                parts = []
                for p in positions:
                    where = {**self.where(p), **lane}
                    used = {e.symbol: reading.plan(e.expr, where) for e in elements if expr.body.has(e.symbol)}
                    parts.append(put(expr.body.xreplace(used)))
                if expr.kind == "argmax":
                    raise Unread("the position of what is largest")
                return folded(expr.kind, parts)
            if expr in known:
                return known[expr]
            if not expr.args:
                return reading.plan(expr, {**self.where(), **lane}) if isinstance(expr, sp.Symbol) else expr
            if not expr.has(Fold) and not expr.free_symbols & {*known, *laws.symbols}:
                return reading.plan(expr, {**self.where(), **lane})
            return expr.func(*map(put, expr.args))

        for let in operation.lets:
            known[let.symbol] = put(let.expr)
        return dict(zip(laws.symbols, (known[r] for r in operation.results), strict=True))


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
