"""Terms of a kernel, and expressions of a plan at a position, as expressions over the same data.

What memory holds is a real number, one symbol for each place: a kernel and a plan that read the same place read the
same number. Arithmetic is exact: what floats round away is bounded elsewhere, and that integers fit into their width
is an obligation of its own. Which positions count is decided by a case: a truth value for every condition on integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from refold.algebra import Plan, State
from refold.algebra.base2 import exp2
from refold.schedule import integers
from refold.schedule.conditions import (
    FALSE,
    TRUE,
    compare_integers,
    negate,
    nonnegative,
    zero,
)  # fmt: skip
from refold.schedule.lower.host import is_host
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import GROUP
from refold.schedule.show import show
from refold.schedule.terms import Term, below, make, real_of, symbol
from refold.schedule.tiles import terms
from refold.schedule.wholes import whole
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.spec.heads import Symbol, at_an_element, folded, is_integral, sigmoid
from refold.verify.kernel.cases import Excluded, Truths, Undecided, Unread
from refold.verify.kernel.small import LANES, Small

_FUNCTIONS: dict[str, Any] = {
    "exp2": exp2, "exp": sp.exp, "log": sp.log, "sin": sp.sin, "cos": sp.cos, "erf": sp.erf, "abs": sp.Abs,
    "sqrt": sp.sqrt, "floor": sp.floor, "tanh": sp.tanh, "sigmoid": sigmoid, "power": sp.Pow,
}  # fmt: skip
_REDUCED = {"reduce sum": sp.Add, "reduce prod": sp.Mul}
_OF_INTEGERS: dict[str, Any] = {
    "polynomial": None, "least": integers.least, "greatest": integers.greatest, "//": integers.quotient,
    "%": integers.remainder,
}  # fmt: skip
_RELATIONS: dict[str, Any] = {"==": sp.Eq, "<": sp.Lt, "<=": sp.Le}


# The group of the rows of a program, in the place of `floor(row / rows of a group)`.
_SHARED = sp.Dummy("group", integer=True, nonnegative=True)


class Datum(Symbol):
    """A real number that memory holds, by a number of its own."""

    def __new__(cls, number: int) -> Datum:
        return sp.Symbol.__new__(cls, f"x{number}", real=True)


class Whole(Symbol):
    """An integer of a kernel, by a number of its own."""

    def __new__(cls, number: int) -> Whole:
        return sp.Symbol.__new__(cls, f"n{number}", integer=True)


@dataclass(slots=True)
class Reading:
    """Both sides in one case: `truths` decides conditions on integers; `where` is the position of every axis.

    A condition that the kernel asks, and of which the case says nothing, parts the case. In `free` tiles the masks of
    the plan need not be asked: that all of them hold there is an index obligation.
    """

    made: Kernels
    small: Small
    truths: Truths
    asked: frozenset[Term] = frozenset()
    free: bool = False
    # Whether data is taken to point into its tensors: elsewhere a sum is no number, which no state says.
    pointing: bool = False
    literals: Mapping[float, Any] = field(default_factory=dict)
    atoms: dict[Term, sp.Symbol] = field(default_factory=dict)
    memo: dict[Term, sp.Basic] = field(default_factory=dict)
    choices: dict[Term, Term] = field(default_factory=dict)
    planned: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    # --- what a kernel computes ------------------------------------------------------------------------------------

    def kernel(self, term: Term) -> Any:
        """A float of a kernel as an expression."""
        if term not in self.memo:
            self.memo[term] = sp.sympify(self._kernel(term))
        return self.memo[term]

    def _kernel(self, t: Term) -> Any:
        if t.sort == "int":
            return self.number(t)
        match t.op:
            case "number":
                value = real_of(t)
                assert value is not None
                return self.literal(value)
            case "symbol":
                return self.scalar(str(t.data))
            case "read":
                return self.atom(self.kept(make("read", t.sort, tuple(map(self.settled, t.args)), t.data)))
            case "state" | "last":
                assert isinstance(t.data, tuple)
                return State(str(t.data[1]))
            case "select":
                return self._select(t)
            case "+":
                return self.kernel(t.args[0]) + self.kernel(t.args[1])
            case "-":
                return self.kernel(t.args[0]) - self.kernel(t.args[1])
            case "*":
                return product(self.kernel(t.args[0]), self.kernel(t.args[1]))
            case "/":
                return self.kernel(t.args[0]) / self.kernel(t.args[1])
            case "negative":
                return -self.kernel(t.args[0])
            case "maximum" | "larger" | "minimum" | "smaller":
                return extreme(sp.Max if t.op in ("maximum", "larger") else sp.Min, *map(self.kernel, t.args))
            case "dot":
                start, *pairs = map(self.kernel, t.args)
                return start + sp.Add(*(a * b for a, b in zip(pairs[::2], pairs[1::2], strict=True)))
            case "cast":
                return self.kernel(t.args[0])
            case "of_integer":
                return self.number(t.args[0])
            case "extern" if str(t.data) in _FUNCTIONS:
                return _FUNCTIONS[str(t.data)](*map(self.kernel, t.args))
            case "reduce max" | "reduce min":
                return extreme(sp.Max if t.op == "reduce max" else sp.Min, *map(self.kernel, t.args))
            case op if op in _REDUCED:
                return _REDUCED[op](*map(self.kernel, t.args))
            case op if op in _FUNCTIONS:
                return _FUNCTIONS[op](*map(self.kernel, t.args))
        raise Unread(f"the operation {t.op}")

    def literal(self, value: float) -> Any:
        """A float that a kernel writes: the number of the plan that it is the nearest one to, if there is one."""
        if value != value or abs(value) == float("inf"):
            return sp.nan if value != value else sp.oo if value > 0 else -sp.oo
        return self.literals.get(value, sp.Rational(value))

    def _select(self, t: Term) -> Any:
        condition, then, other = t.args
        if of_integers(condition):
            return self.kernel(then if self.holds(condition) else other)
        return Where(self._condition(condition), self.kernel(then), self.kernel(other))

    def _condition(self, c: Term) -> Any:
        if of_integers(c):
            return sp.true if self.holds(c) else sp.false
        match c.op:
            case "not":
                return sp.Not(self._condition(c.args[0]))
            case "and" | "or":
                return (sp.And if c.op == "and" else sp.Or)(*map(self._condition, c.args))
            case op if op in _RELATIONS:
                return _RELATIONS[op](*map(self.kernel, c.args), evaluate=False)
        raise Unread(f"the condition {c.op}")

    def number(self, t: Term) -> Any:
        """An integer as a number among floats."""
        total = sp.S.Zero
        for factors, coefficient in integers.products(self.settled(t)).items():
            total += coefficient * sp.Mul(*(self._whole(a) for a in factors))
        return total

    def _whole(self, t: Term) -> Any:
        match t.op:
            case "state" | "last":
                assert isinstance(t.data, tuple)
                return State(str(t.data[1]))
            case "least" | "greatest" if of_a_state(t):
                return (sp.Min if t.op == "least" else sp.Max)(*map(self.number, t.args))
            case "select":
                return Where(self._condition(t.args[0]), *map(self.number, t.args[1:]))
        if t not in self.atoms:
            self.atoms[t] = Whole(len(self.atoms))
        return self.atoms[t]

    def atom(self, t: Term) -> sp.Symbol:
        """What memory holds at a place."""
        if t not in self.atoms:
            self.atoms[t] = Datum(len(self.atoms))
        return self.atoms[t]

    def kept(self, t: Term) -> Term:
        """A read of what the kernel does not write, as if it were the first thing that the kernel does."""
        assert isinstance(t.data, tuple)
        name, _, dtype = t.data
        written = {str(terms(s.places)[0].data) for s in self.small.outcome.stores}
        return t if name in written else make("read", t.sort, t.args, (name, 0, dtype))

    def scalar(self, name: str) -> sp.Symbol:
        """A number that the launcher passes; one that is positive wherever there is an element is so."""
        expr = next((e for e, text in self.made.host.items() if text == name), None)
        positive = expr is not None and at_an_element(expr).is_positive
        return sp.Symbol(name, real=True, positive=True if positive else None)

    # --- conditions on integers ------------------------------------------------------------------------------------

    def holds(self, c: Term) -> bool:
        """What a condition is in this case. Raises `Undecided` where the case does not say it."""
        if c.op in (">=0", "==0") and c not in self.truths:
            c = self._settled_condition(c)
        if c in (TRUE, FALSE):
            return c is TRUE
        if c in self.truths:
            return self.truths[c]
        if negate(c) in self.truths:
            return not self.truths[negate(c)]
        match c.op:
            case "and":
                return all(map(self.holds, c.args))
            case "or":
                return any(map(self.holds, c.args))
            case "not":
                return not self.holds(c.args[0])
        if not self.asks(c):
            raise Unread(f"a condition that the kernel does not ask: {show(c)}")
        raise Undecided(c)

    def asks(self, c: Term) -> bool:
        """Whether the kernel asks a condition, or its negation."""
        return c in self.asked or negate(c) in self.asked

    def _settled_condition(self, c: Term) -> Term:
        """The comparison of what the choices in it come to."""
        return (nonnegative if c.op == ">=0" else zero)(self.settled(c.args[0]))

    def settled(self, t: Term) -> Term:
        """An integer of which every choice is made."""
        if t not in self.choices:
            self.choices[t] = self._settled(t)
        return self.choices[t]

    def _settled(self, t: Term) -> Term:
        if t.op == "select" and of_integers(t.args[0]):
            condition, then, other = t.args
            return self.settled(then if self.holds(condition) else other)
        if (pointing := clamped(t)) is not None:
            # Where data points into its tensor, as a claim about gathers says, it is where it points.
            return self.settled(pointing)
        args = tuple(map(self.settled, t.args)) if t.op in _OF_INTEGERS else t.args
        if args == t.args:
            return t
        return integers.evaluate(t, args) if t.op == "polynomial" else _OF_INTEGERS[t.op](*args)

    # --- what a plan says ------------------------------------------------------------------------------------------

    def plan(self, expr: Any, where: Mapping[Index, Term]) -> Any:
        """An expression of the plan at a position."""
        key = (expr, *where.items())
        if key not in self.planned:
            self.planned[key] = self._plan(expr, where)
        return self.planned[key]

    def _plan(self, expr: Any, where: Mapping[Index, Term]) -> Any:
        match expr:
            case Read():
                return self._gathered(expr, where)
            case Index():
                return self.number(where[expr])
            case Fold():
                return self._fold(expr, where)
            case Where():
                if all(of_positions(r) for r in expr.args[0].atoms(Relational)):
                    return self.plan(expr.args[1 if self.relation(expr.args[0], where) else 2], where)
            case Relational() if of_positions(expr):
                return sp.true if self.relation(expr, where) else sp.false
            case sp.Mul():
                return self._product(expr, where)
            case Param():
                return self.scalar(expr.name)
        if is_host(expr) and expr in self.made.host:
            return self.scalar(self.made.host[expr])
        if not expr.args:
            return expr
        return expr.func(*(self.plan(a, where) for a in expr.args))

    def _gathered(self, read: Read, where: Mapping[Index, Term]) -> Any:
        """What memory holds at a place; no value where data points off an axis, as a pipeline has it."""
        for axis, index in zip(read.tensor.axes, read.indices, strict=True):
            if index.has(Read):
                at, size = self.integer(index, where), self.integer(axis.size, where)
                inside = (nonnegative(at), compare_integers("<", at, size))
                if all(self.holds(c) for c in inside if self.asks(c) or not self.pointing):
                    continue
                if self.pointing:
                    raise Excluded
                return sp.nan
        return self.atom(self.read(read, where))

    def _fold(self, fold: Fold, where: Mapping[Index, Term]) -> Any:
        """A fold along an axis that is held whole."""
        parts = [self.plan(fold.body, {**where, fold.axis: integers.whole(n)}) for n in range(LANES)]
        return folded(fold.kind, parts)

    def _product(self, expr: sp.Mul, where: Mapping[Index, Term]) -> Any:
        """A product; factors that the launcher multiplies are the scalar that it passes."""
        launcher = [f for f in expr.args if is_host(f)]
        given = self.made.host.get(sp.Mul(*launcher))
        if given is None:
            launcher = [f for f in launcher if not f.is_number]
            given = self.made.host.get(sp.Mul(*launcher)) if launcher else None
        if given is None:
            launcher = []
        result: Any = self.scalar(given) if given is not None else sp.S.One
        for factor in expr.args:
            if factor not in launcher:
                result = product(result, self.plan(factor, where))
        return result

    def read(self, read: Read, where: Mapping[Index, Term]) -> Term:
        """The term of what memory holds at a place of a tensor."""
        tensor = read.tensor
        keys = (*tensor.axes, "lead0", "lead1")
        at = [*(self.integer(i, where) for i in read.indices), *(self.small.lanes(k)[0] for k in ("lead0", "lead1"))]
        strides = (symbol(self.made.strides[tensor.name, key], "int") for key in keys)
        offset = integers.add(*(integers.multiply(i, s) for i, s in zip(at, strides, strict=True)))
        if tensor.is_integer:
            return make("read", "int", (offset,), (f"{tensor.name}_ptr", 0, "int32"))
        return make("read", "fp32", (offset,), (f"{tensor.name}_ptr", 0, "fp32"))

    def integer(self, expr: Any, where: Mapping[Index, Term]) -> Term:
        """An integer expression of positions, sizes and integer data, as the kernel computes it."""
        packed = self.made.roles.packed
        return whole(expr.xreplace({packed: _SHARED}) if packed is not None else expr, lambda x: self.leaf(x, where))

    def leaf(self, expr: Any, where: Mapping[Index, Term]) -> Term:
        """A position, a length, or a whole number in memory."""
        match expr:
            case Index():
                return where[expr]
            case Size():
                axis = Index(expr.name)
                return integers.whole(LANES) if axis in self.made.roles.inner else symbol(f"size_{expr.name}", "int")
            case _ if expr == _SHARED:
                # (g n + r) // n = g for 0 <= r < n: the rows of a program are r of those that share its group g.
                return self.small.lanes(GROUP.text)[0]
            case Read():
                return self.read(expr, where)
        raise Unread(f"the integer {expr}")

    def relation(self, condition: Any, where: Mapping[Index, Term]) -> bool:
        """A predicate of positions and integer data."""
        if self.free and not isinstance(condition, sp.And) and not condition.has(Read):
            sides = [self._compared(r, where) for r in condition.atoms(Relational)]
            if sides and not any(map(self.asks, sides)):
                return True
        match condition:
            case sp.And():
                return all(self.relation(c, where) for c in condition.args)
            case sp.Or():
                return any(self.relation(c, where) for c in condition.args)
            case sp.Not():
                return not self.relation(condition.args[0], where)
            case Relational():
                return self.holds(self._compared(condition, where))
        return bool(condition)

    def _compared(self, relation: Relational, where: Mapping[Index, Term]) -> Term:
        sides = (self.integer(relation.lhs, where), self.integer(relation.rhs, where))
        return compare_integers(relation.rel_op, *sides)


def of_a_state(t: Term) -> bool:
    """Whether an integer is made of what a loop carries, such as the position of a maximum."""
    return any(b.op in ("state", "last") for b in below(t))


def clamped(t: Term) -> Term | None:
    """What an index that data gives is before it is taken into its axis: `least(greatest(x, 0), size - 1)`."""
    if t.op != "least" or len(t.args) != 2:
        return None
    inner = next((a for a in t.args if a.op == "greatest" and integers.whole(0) in a.args), None)
    found = [a for a in inner.args if a is not integers.whole(0)] if inner is not None else []
    return found[0] if len(found) == 1 and any(b.op == "read" for b in below(found[0])) else None


def of_positions(relation: Relational) -> bool:
    """Whether a relation is one of integers."""
    return is_integral(relation.lhs) and is_integral(relation.rhs)


def of_integers(condition: Term) -> bool:
    """Whether a condition is one of integers alone."""
    return all(t.sort in ("int", "bool", "pointer") for t in below(condition))


def conditions(*terms: Term) -> Iterator[Term]:
    """The comparisons of integers below some terms, and what they are once the choices in them are made."""
    found = {v for t in below(*terms) if t.op in (">=0", "==0") for v in _made(t)}
    yield from sorted(found - {TRUE, FALSE}, key=lambda t: t.serial)


def _made(c: Term) -> Iterator[Term]:
    """A comparison, and its forms with every choice between integers made one way or the other."""
    yield c
    (p,) = c.args
    chosen = p if p.op == "select" else next((t for t in p.args if t.op == "select" and p.op == "polynomial"), None)
    for side in chosen.args[1:] if chosen is not None else ():
        args = tuple(side if t is chosen else t for t in p.args)
        other = (nonnegative if c.op == ">=0" else zero)(side if chosen is p else integers.evaluate(p, args))
        yield from _made(other) if other.op in (">=0", "==0") else ()


def extreme(head: Any, *parts: Any) -> Any:
    """A maximum or minimum of numbers; of what is none a kernel's passes over it, and a pipeline has none."""
    if sp.nan in parts:
        raise Unread("an extreme of what is no number")
    return head(*parts)


def product(a: Any, b: Any) -> Any:
    """A product of extended reals; a positive factor goes into an extremum, and leaves an infinity as it is."""
    for x, factor in ((a, b), (b, a)):
        if factor.is_positive and isinstance(x, sp.Max | sp.Min):
            return x.func(*(product(v, factor) for v in x.args))
        if factor.is_positive and x in (sp.oo, -sp.oo):
            return x
    return a * b


def literals(plan: Plan) -> dict[float, Any]:
    """The numbers that a plan writes and no float is, by the floats of 32 bits nearest to them."""
    found: dict[float, Any] = {}
    for root in _expressions(plan):
        for n in sp.preorder_traversal(root):
            if isinstance(n, sp.Expr) and n.is_number and not n.is_Rational and n.is_finite:
                found[float(np.float32(float(n)))] = n
    return found


def _expressions(plan: Plan) -> Iterator[Any]:
    yield from (e.expr for e in plan.elements)
    for a in plan.accumulators:
        yield from (a.element, a.moved)
    for x in plan.anchors:
        yield from (x.expr, x.regular, x.default)
    for f in plan.finish:
        yield from (f.expr, f.guard, f.empty)
