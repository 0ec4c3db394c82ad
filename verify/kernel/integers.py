"""Integer expressions and predicates over indices as formulas of Z3, division by its two inequalities."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from refold.algebra.tiles import BLOCK_N, Down, RowMax, RowMin, Up
from refold.spec import Fold, Read, Size, Where
from refold.verify.smt import formulas as z3

_RELATIONS: dict[type, Any] = {
    sp.Le: lambda a, b: a <= b,
    sp.Lt: lambda a, b: a < b,
    sp.Ge: lambda a, b: a >= b,
    sp.Gt: lambda a, b: a > b,
    sp.Eq: lambda a, b: a == b,
    sp.Ne: lambda a, b: a != b,
}


@dataclass(slots=True)
class Integers:
    """Encodes expressions; what it has to know of them are its `facts`, and `aligned` the multiples of BLOCK_N.

    A quotient is a fresh integer, and so is its product with the divisor, between its two inequalities: no solver
    divides or multiplies by a symbol. `exact` says that the product is one. Data is an opaque integer, a condition on
    floats an opaque truth value: what is proved holds for whatever they are.
    """

    env: dict[sp.Symbol, Any] = field(default_factory=dict)
    facts: list[Any] = field(default_factory=list)
    aligned: list[Any] = field(default_factory=list)
    exact: list[Any] = field(default_factory=list)
    memo: dict[Any, Any] = field(default_factory=dict)
    quotients: list[tuple[Any, Any, Any]] = field(default_factory=list)
    fresh: Any = field(default_factory=itertools.count)

    def new(self, wish: str) -> Any:
        return z3.Int(f"{wish}!{next(self.fresh)}")

    def number(self, expr: sp.Expr) -> Any:
        """An integer expression."""
        if isinstance(expr, sp.Symbol):
            if expr in self.env:
                return self.env[expr]
            return self.symbol(expr)
        if isinstance(expr, sp.Integer):
            return z3.IntVal(int(expr))
        if isinstance(expr, Down | Up):
            # Rounds what has its present value, and `lo` changes.
            return self.rounded(self.number(expr.args[0]), up=isinstance(expr, Up))
        if isinstance(expr, RowMax | RowMin):
            return self.extreme(expr)
        args = (
            [self.number(a) for a in expr.args] if isinstance(expr, sp.Add | sp.Mul | sp.Max | sp.Min | sp.Abs) else []
        )
        match expr:
            case sp.Add():
                return z3.Sum(args)
            case sp.Mul():
                return self.product(args)
            case sp.Max() | sp.Min():
                result = args[0]
                for a in args[1:]:
                    result = z3.If(result >= a if isinstance(expr, sp.Max) else result <= a, result, a)
                return result
            case sp.Abs():
                return z3.If(args[0] >= 0, args[0], -args[0])
            case sp.floor():
                above, below = sp.fraction(sp.together(expr.args[0]))
                return self.quotient(self.number(above), self.number(below), str(expr))
            case sp.Mod():
                above, below = (self.number(a) for a in expr.args)
                return above - self.product([below, self.quotient(above, below, str(expr))])
            case Where():
                cond = self.holds(expr.args[0])
                return z3.If(cond, self.number(expr.args[1]), self.number(expr.args[2]))
            case sp.Pow() if expr.exp.is_Integer and expr.exp > 0:
                return z3.Product([self.number(expr.base)] * int(expr.exp))
        if not isinstance(expr, Read | Fold):
            raise NotImplementedError(f"no integer encoding of {expr}")
        return self.memo.setdefault(expr, z3.Int(str(expr)))

    def symbol(self, symbol: sp.Symbol) -> Any:
        name = f"size_{symbol.name}" if isinstance(symbol, Size) else symbol.name
        value = self.env[symbol] = z3.Int(name)
        if symbol.is_positive:
            self.facts.append(value >= (0 if isinstance(symbol, Size) else 1))
        elif symbol.is_nonnegative:
            self.facts.append(value >= 0)
        return value

    def quotient(self, above: Any, below: Any, key: str) -> Any:
        """`floor(above / below)` for a positive divisor."""
        known = (above.sexpr(), below.sexpr())
        if known not in self.memo:
            q = self.memo[known] = z3.Int(f"{key}!{next(self.fresh)}")
            product = z3.Int(f"{key}·!{next(self.fresh)}")
            self.facts += [below >= 1, product <= above, above < product + below]
            if z3.is_int_value(below):
                self.facts.append(product == q * below)
                return q
            for other, times, divisor in self.quotients:
                if divisor.eq(below):
                    # Multiples of one divisor are in the order of their factors, and apart.
                    self.facts += [
                        z3.Implies(q < other, product + below <= times),
                        z3.Implies(other < q, times + below <= product),
                        z3.Implies(q == other, product == times),
                    ]
            self.quotients.append((q, product, below))
            self.exact.append(product == q * below)
        return self.memo[known]

    def compared(self, cond: sp.Basic, rows: tuple[dict[sp.Symbol, sp.Symbol], ...]) -> list[Any]:
        """What every comparison of a quotient with a value says times the divisor, the value taken in some rows.

        Two quotients by the same divisor are in order already, and one by a number is linear.
        """
        found: list[Any] = []
        for atom in sorted(cond.atoms(Relational), key=sp.default_sort_key):
            difference = sp.expand(atom.lhs - atom.rhs)
            for term in sp.Add.make_args(difference):
                factor, head = term.as_coeff_Mul()
                if isinstance(head, sp.floor) and factor in (1, -1):
                    rest = -factor * (difference - term)
                    q = self.number(head)
                    known = next((k for k in self.quotients if k[0].eq(q)), None)
                    if known is not None and not self.in_order(rest, known[2]):
                        values = [self.number(rest.xreplace(row)) for row in rows]
                        found += [known[1] == q * known[2], *_ordered(q, values, known[2])]
        return found

    def in_order(self, expr: sp.Expr, divisor: Any) -> bool:
        """Whether an expression is a quotient by a divisor."""
        q = self.number(expr) if isinstance(expr, sp.floor) else None
        return q is not None and any(known.eq(q) and below.eq(divisor) for known, _, below in self.quotients)

    def product(self, args: list[Any]) -> Any:
        """A product, in which a quotient times its divisor is the multiple that `quotient` has of it."""
        for q, multiple, divisor in self.quotients:
            if any(a.eq(q) for a in args) and any(a.eq(divisor) for a in args):
                rest = [a for a in args if not a.eq(q) and not a.eq(divisor)]
                return z3.Product([multiple, *rest]) if len(rest) == len(args) - 2 else z3.Product(args)
        return z3.Product(args)

    def rounded(self, value: Any, *, up: bool) -> Any:
        """A multiple of BLOCK_N beside `value`: for a negative one it may be either, as languages differ there."""
        block = self.number(BLOCK_N)
        if up:
            value = value + block - 1
        result = self.new("rounded")
        self.aligned.append(result)
        self.facts += [
            z3.Implies(value >= 0, z3.And(result <= value, value < result + block)),
            z3.Implies(value < 0, z3.And(result <= 0, result > value - block, result < value + block)),
        ]
        return result

    def extreme(self, expr: sp.Expr) -> Any:
        """The extreme of an expression over the rows, of which only this is used: it is beyond the value at `i`."""
        if expr not in self.memo:
            bound = self.memo[expr] = self.new("extreme")
            value = self.number(expr.args[0])
            self.facts.append(value <= bound if isinstance(expr, RowMax) else value >= bound)
        return self.memo[expr]

    def holds(self, cond: sp.Basic) -> Any:
        """A predicate."""
        match cond:
            case sp.And():
                return z3.And(*(self.holds(a) for a in cond.args))
            case sp.Or():
                return z3.Or(*(self.holds(a) for a in cond.args))
            case sp.Not():
                return z3.Not(self.holds(cond.args[0]))
            case Relational() if cond.lhs.is_integer and cond.rhs.is_integer:
                return _RELATIONS[type(cond)](self.number(cond.lhs), self.number(cond.rhs))
        return self.memo.setdefault(cond, z3.Bool(str(cond)))

    def is_aligned(self, value: Any) -> bool:
        """Whether a value is, by how it is made, one of the multiples of BLOCK_N."""
        if any(value.eq(a) for a in self.aligned):
            return True
        return z3.is_app_of(value, z3.Z3_OP_ITE) and all(self.is_aligned(c) for c in value.children()[1:])

    def apart(self) -> list[Any]:
        """Two multiples of BLOCK_N are equal or a block apart, which `index multiples` proves."""
        block = self.number(BLOCK_N)
        return [z3.Implies(a < b, a + block <= b) for a in self.aligned for b in self.aligned if not a.eq(b)]


def _ordered(q: Any, values: list[Any], divisor: Any) -> list[Any]:
    """That a quotient and values, and values among themselves, are in the same order times a positive divisor."""
    more = [d for v in values for d in (v - q, q - v, v - q - 1, q - v - 1)]
    more += [v - w for v in values for w in values if not v.eq(w)]
    return [z3.Implies(d >= 0, d * divisor >= 0) for d in more]
