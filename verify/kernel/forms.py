"""The form in which both sides of a question are built, so that what is one value is mostly one expression.

SymPy's own maxima and relations compare all of their arguments, which costs more than all else here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.core.function import Function
from sympy.core.relational import Relational

from refold.schedule.terms import Term
from refold.spec import Fold, Where
from refold.spec.heads import HEADS, UNITS, Symbol

LIMITS = (sp.oo, -sp.oo)
_NUMBERS = (*LIMITS, sp.nan, sp.zoo)


class Datum(Symbol):
    """A real number that memory holds, or one that is made of such numbers alone, by a number of its own."""

    def __new__(cls, number: int) -> Datum:
        return sp.Symbol.__new__(cls, f"x{number}", real=True)


class Whole(Symbol):
    """An integer of a kernel, by a number of its own."""

    def __new__(cls, number: int) -> Whole:
        return sp.Symbol.__new__(cls, f"n{number}", integer=True)


@dataclass(slots=True)
class Data:
    """Symbols for what memory holds, one for each place, and names for what is made of that alone.

    A kernel and a plan that read one place read one number. Two sums of data that are one by the laws of arithmetic
    have one name: of most questions nothing else matters. `meaning` is what each name stands for, `sums` that
    of sums and products.
    """

    atoms: dict[Term, Any] = field(default_factory=dict)
    names: dict[Any, Datum] = field(default_factory=dict)
    meaning: dict[Any, Any] = field(default_factory=dict)
    sums: dict[Any, Any] = field(default_factory=dict)
    known: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def datum(self, t: Term) -> Any:
        """What memory holds at a place."""
        if t not in self.atoms:
            self.atoms[t] = Datum(self._next)
        return self.atoms[t]

    def integer(self, t: Term) -> Any:
        """An integer of which nothing is known."""
        if t not in self.atoms:
            self.atoms[t] = Whole(self._next)
        return self.atoms[t]

    @property
    def _next(self) -> int:
        return len(self.atoms) + len(self.names)

    def define(self, name: Any, expr: Any) -> None:
        """Takes in what a name stands for."""
        self.meaning[name] = expr
        if isinstance(expr, sp.Add):
            self.sums[name] = expr

    def short(self, expr: Any) -> Any:
        """An expression with a name for the terms of it that are data alone.

        An extreme has none of its own, since which of its arguments it is decides more than what it is.
        """
        data = [t for t in sp.Add.make_args(expr) if _is_data(t)]
        if not data or (len(data) == 1 and (data[0].is_Atom or isinstance(data[0], sp.Max | sp.Min))):
            return expr
        rest = sp.Add(*(t for t in sp.Add.make_args(expr) if t not in data))
        # Of `x` and `-2 x` one is the name.
        factor, part = sp.expand(sp.Add(*map(self._arithmetic, data))).as_content_primitive()
        sign = -1 if part.could_extract_minus_sign() else 1
        return rest + sign * factor * self._name(sign * part)

    def _arithmetic(self, expr: Any) -> Any:
        """Data with names for what no law of arithmetic is about, and none for sums."""
        if not expr.args:
            return self.sums.get(expr, expr)
        if isinstance(expr, sp.Add | sp.Mul) or (isinstance(expr, sp.Pow) and expr.exp.is_Integer):
            return expr.func(*map(self._arithmetic, expr.args))
        return self._name(expr)

    def _name(self, expr: Any) -> Any:
        if expr.is_Atom or expr.is_number:
            return expr
        if expr not in self.names:
            name = self.names[expr] = Datum(self._next)
            self.meaning[name] = expr
            if isinstance(expr, sp.Add | sp.Mul | sp.Pow):
                self.sums[name] = expr
        return self.names[expr]

    def written_out(self, expr: Any) -> Any:
        """An expression without names."""
        if expr in self.meaning:
            return self.written_out(self.meaning[expr])
        if not expr.free_symbols & self.meaning.keys():
            return expr
        return rebuilt(expr, [self.written_out(a) for a in expr.args])

    def built(self, head: Any, *args: Any) -> Any:
        """An operation on values."""
        key = (head, *args)
        if key not in self.known:
            self.known[key] = self._built(head, args)
        return self.known[key]

    def _built(self, head: Any, args: tuple[Any, ...]) -> Any:
        if head in (sp.Max, sp.Min):
            return self.extreme(head, args)
        if head is sp.Mul:
            return self.product(*args)
        if head is Where:
            return self.choice(*args)
        if isinstance(head, type) and issubclass(head, Relational):
            return self.relation(head, *args)
        if isinstance(head, type) and issubclass(head, Function):
            return head(*map(self.short, args))
        return head(*args)

    def extreme(self, head: Any, args: Sequence[Any]) -> Any:
        """A maximum or minimum of numbers; of what is none a pipeline has none."""
        if sp.nan in args:
            return sp.nan
        parts = {self.short(p) for a in args for p in (a.args if isinstance(a, head) else (a,))}
        unit, zero = LIMITS[::-1] if head is sp.Max else LIMITS
        if zero in parts:
            return zero
        numbers = {p for p in parts if p.is_Rational}
        rest = parts - numbers - {unit}
        if numbers:
            rest.add((max if head is sp.Max else min)(numbers))
        return unit if not rest else rest.pop() if len(rest) == 1 else head(*rest, evaluate=False)

    def product(self, *factors: Any) -> Any:
        """A product of extended reals; a positive factor goes into an extremum, and leaves an infinity as it is."""
        total: Any = sp.S.One
        for factor in factors:
            x, y = (total, factor) if isinstance(total, sp.Max | sp.Min) or total in LIMITS else (factor, total)
            if y.is_positive and isinstance(x, sp.Max | sp.Min):
                total = self.extreme(x.func, [self.product(v, y) for v in x.args])
            else:
                total = x if y.is_positive and x in LIMITS else x * y
        return total

    def relation(self, head: Any, left: Any, right: Any) -> Any:
        """A comparison, as one of `==`, `<` and `<=` or its negation; whether something is a limit is an equation."""
        left, right = self.short(left), self.short(right)
        if head in (sp.Gt, sp.Ge) or (head in (sp.Eq, sp.Ne) and left.compare(right) > 0):
            left, right, head = right, left, _EXCHANGED.get(head, head)
        if left.is_number and right.is_number:
            return head(left, right)
        if left == right and _is_number(left):
            return sp.true if head in (sp.Eq, sp.Le) else sp.false
        if left in LIMITS or right in LIMITS:
            return _at_limit(head, left, right)
        if head is sp.Ne:
            return sp.Not(sp.Eq(left, right, evaluate=False))
        return head(left, right, evaluate=False)

    def choice(self, condition: Any, then: Any, other: Any) -> Any:
        """One of two values; by what holds, and not by what does not."""
        if condition in (sp.true, sp.false):
            return then if condition is sp.true else other
        if isinstance(condition, sp.Not):
            return self.choice(condition.args[0], other, then)
        if isinstance(condition, sp.Or):
            return self.choice(sp.And(*map(sp.Not, condition.args)), other, then)
        if type(condition) in _NEGATED:
            return self.choice(negated(condition), other, then)
        facts = {negated(c) if type(c) in _NEGATED else c: type(c) not in _NEGATED for c in sp.And.make_args(condition)}
        then = self.short(_given(then, {c: sp.true if holds else sp.false for c, holds in facts.items()}))
        other = self.short(_given(other, {condition: sp.false}))
        return then if then == other and then is not sp.nan else Where(condition, then, other)

    def folded(self, kind: str, values: Sequence[Any], places: Sequence[Any] = ()) -> Any:
        """What a reducer makes of values that are written out; to a position the first of the largest."""
        if not values:
            return UNITS[kind]
        if kind != "argmax":
            return self.built(HEADS[kind], *values)
        best, at = values[0], places[0]
        for value, place in zip(values[1:], places[1:], strict=True):
            at = self.choice(self.relation(sp.Ge, best, value), at, place)
            best = self.extreme(sp.Max, (best, value))
        return at


def rebuilt(expr: Any, args: Sequence[Any]) -> Any:
    """An operation on other arguments, as it stands."""
    if isinstance(expr, sp.Max | sp.Min | Relational):
        return expr.func(*args, evaluate=False)
    return expr.func(*args)


def _is_number(expr: Any) -> bool:
    """Whether an expression is a symbol, or one or the other of symbols and numbers: such a one has a value."""
    if isinstance(expr, Where):
        return all(map(_is_number, expr.args[1:]))
    if isinstance(expr, sp.Max | sp.Min):
        return all(map(_is_number, expr.args))
    return expr.is_Symbol or expr in LIMITS or bool(expr.is_Rational)


_EXCHANGED = {sp.Gt: sp.Lt, sp.Ge: sp.Le}


def _at_limit(head: Any, left: Any, right: Any) -> Any:
    """A comparison with an infinity, beyond which nothing is."""
    limit, x = (left, right) if left in LIMITS else (right, left)
    there = sp.false if _is_data(x) else sp.Eq(x, limit, evaluate=False)
    if head in (sp.Eq, sp.Ne):
        return there if head is sp.Eq else sp.Not(there)
    if (right is limit) == (limit == -sp.oo):
        return there if head is sp.Le else sp.false
    return sp.true if head is sp.Le else sp.Not(there)


def _is_data(expr: Any) -> bool:
    """Whether an expression is made of data and scalars, and is finite wherever it has a value; no position is data."""
    symbols = expr.free_symbols
    return (
        any(not isinstance(s, Whole) for s in symbols)
        and all(isinstance(s, Datum | Whole) or s.is_finite for s in symbols)
        and not expr.is_integer
        and not expr.has(*_NUMBERS, Fold)
    )


_NEGATED = {sp.Ne: sp.Eq, sp.Gt: sp.Le, sp.Ge: sp.Lt}


def negated(relation: Any) -> Any:
    """What holds where one of `!=`, `>` and `>=` does not."""
    return _NEGATED[type(relation)](*relation.args, evaluate=False)


def _given(expr: Any, facts: Mapping[Any, Any]) -> Any:
    """A value where it is known whether some conditions hold."""
    if expr in facts:
        return facts[expr]
    if not (expr.has(Where) or expr.is_Boolean):
        return expr
    args = [_given(a, facts) for a in expr.args]
    return expr if all(a is b for a, b in zip(args, expr.args, strict=True)) else rebuilt(expr, args)
