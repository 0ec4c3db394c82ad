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
from refold.schedule.conditions import FALSE, TRUE, compare_integers, negate
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.scope import is_host
from refold.schedule.show import show
from refold.schedule.terms import Term, below, make, real_of, symbol
from refold.schedule.wholes import whole
from refold.spec import Fold, Index, Param, Read, Size, Where
from refold.spec.heads import Symbol, at_an_element, folded, is_integral, sigmoid
from refold.verify.kernel.small import LANES, Small

_FUNCTIONS: dict[str, Any] = {
    "exp2": exp2, "exp": sp.exp, "log": sp.log, "sin": sp.sin, "cos": sp.cos, "erf": sp.erf, "abs": sp.Abs,
    "sqrt": sp.sqrt, "floor": sp.floor, "tanh": sp.tanh, "sigmoid": sigmoid, "power": sp.Pow,
}  # fmt: skip
_REDUCED = {"reduce sum": sp.Add, "reduce prod": sp.Mul, "reduce max": sp.Max, "reduce min": sp.Min}
_RELATIONS: dict[str, Any] = {"==": sp.Eq, "<": sp.Lt, "<=": sp.Le}


class Datum(Symbol):
    """A real number that memory holds, by a number of its own."""

    def __new__(cls, number: int) -> Datum:
        return sp.Symbol.__new__(cls, f"x{number}", real=True)


class Whole(Symbol):
    """An integer of a kernel, by a number of its own."""

    def __new__(cls, number: int) -> Whole:
        return sp.Symbol.__new__(cls, f"n{number}", integer=True)


class Unread(Exception):
    """Something that has no reading; the text says what."""


@dataclass(slots=True)
class Reading:
    """Both sides in one case: `truths` decides conditions on integers; `where` is the position of every axis."""

    made: Kernels
    small: Small
    truths: Mapping[Term, bool]
    # What a condition that the kernel does not ask is, such as a mask in tiles without one.
    unasked: bool | None = None
    literals: Mapping[float, Any] = field(default_factory=dict)
    atoms: dict[Term, sp.Symbol] = field(default_factory=dict)
    memo: dict[Term, sp.Basic] = field(default_factory=dict)

    # --- what a kernel computes ------------------------------------------------------------------------------------

    def kernel(self, term: Term) -> Any:
        """A float of a kernel as an expression."""
        if term not in self.memo:
            self.memo[term] = sp.sympify(self._kernel(term))
        return self.memo[term]

    def _kernel(self, t: Term) -> Any:
        match t.op:
            case "number":
                value = real_of(t)
                assert value is not None
                return self.literal(value)
            case "symbol":
                return self.scalar(str(t.data))
            case "read":
                return self.atom(t)
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
                extreme = sp.Max if t.op in ("maximum", "larger") else sp.Min
                return extreme(*map(self.kernel, t.args))
            case "dot":
                start, *pairs = map(self.kernel, t.args)
                return start + sp.Add(*(a * b for a, b in zip(pairs[::2], pairs[1::2], strict=True)))
            case "cast":
                return self.kernel(t.args[0])
            case "of_integer":
                return self.number(t.args[0])
            case "extern" if str(t.data) in _FUNCTIONS:
                return _FUNCTIONS[str(t.data)](*map(self.kernel, t.args))
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
        for factors, coefficient in integers.products(t).items():
            total += coefficient * sp.Mul(*(self._whole(a) for a in factors))
        return total

    def _whole(self, t: Term) -> sp.Symbol:
        if t not in self.atoms:
            self.atoms[t] = Whole(len(self.atoms))
        return self.atoms[t]

    def atom(self, t: Term) -> sp.Symbol:
        """What memory holds at a place."""
        if t not in self.atoms:
            self.atoms[t] = Datum(len(self.atoms))
        return self.atoms[t]

    def scalar(self, name: str) -> sp.Symbol:
        """A number that the launcher passes; one that is positive wherever there is an element is so."""
        expr = next((e for e, text in self.made.host.items() if text == name), None)
        positive = expr is not None and at_an_element(expr).is_positive
        return sp.Symbol(name, real=True, positive=True if positive else None)

    # --- conditions on integers ------------------------------------------------------------------------------------

    def holds(self, c: Term) -> bool:
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
        if self.unasked is None:
            raise Unread(f"a condition that the kernel does not ask: {show(c)}")
        return self.unasked

    # --- what a plan says ------------------------------------------------------------------------------------------

    def plan(self, expr: Any, where: Mapping[Index, Term]) -> Any:
        """An expression of the plan at a position."""
        match expr:
            case Read():
                return self.atom(self.read(expr, where))
            case Index():
                return self.number(where[expr])
            case Fold():
                return self._fold(expr, where)
            case Where():
                if all(of_positions(r) for r in expr.args[0].atoms(Relational)):
                    return self.plan(expr.args[1 if self.relation(expr.args[0], where) else 2], where)
            case sp.Mul():
                return self._product(expr, where)
            case Param():
                return self.scalar(expr.name)
        if is_host(expr) and expr in self.made.host:
            return self.scalar(self.made.host[expr])
        if not expr.args:
            return expr
        return expr.func(*(self.plan(a, where) for a in expr.args))

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
            return make("read", "int", (offset,), (f"{tensor.name}_ptr", 0, "i32"))
        return make("read", "fp32", (offset,), (f"{tensor.name}_ptr", 0, "fp32"))

    def integer(self, expr: Any, where: Mapping[Index, Term]) -> Term:
        """An integer expression of positions, sizes and integer data, as the kernel computes it."""
        return whole(expr, lambda part: self.leaf(part, where))

    def leaf(self, expr: Any, where: Mapping[Index, Term]) -> Term:
        """A position, a length, or a whole number in memory."""
        match expr:
            case Index():
                return where[expr]
            case Size():
                axis = Index(expr.name)
                return integers.whole(LANES) if axis in self.made.roles.inner else symbol(f"size_{expr.name}", "int")
            case Read():
                return self.read(expr, where)
        raise Unread(f"the integer {expr}")

    def relation(self, condition: Any, where: Mapping[Index, Term]) -> bool:
        """A predicate of positions and integer data."""
        match condition:
            case sp.And():
                return all(self.relation(c, where) for c in condition.args)
            case sp.Or():
                return any(self.relation(c, where) for c in condition.args)
            case sp.Not():
                return not self.relation(condition.args[0], where)
            case Relational():
                sides = (self.integer(condition.lhs, where), self.integer(condition.rhs, where))
                return self.holds(compare_integers(condition.rel_op, *sides))
        return bool(condition)


def of_positions(relation: Relational) -> bool:
    """Whether a relation is one of integers."""
    return is_integral(relation.lhs) and is_integral(relation.rhs)


def of_integers(condition: Term) -> bool:
    """Whether a condition is one of integers alone."""
    return all(t.sort in ("int", "bool", "pointer") for t in below(condition))


def conditions(*terms: Term) -> Iterator[Term]:
    """The comparisons of integers below some terms, each with one of its negations."""
    found: dict[Term, None] = {}
    for t in below(*terms):
        if t.op in (">=0", "==0") and negate(t) not in found:
            found[t] = None
    yield from sorted(found, key=lambda t: t.serial)


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
