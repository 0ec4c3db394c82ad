"""A condition as a formula: comparisons of values that may be infinite, and what a value needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from refold.algebra.rewrite import walk
from refold.spec import Where
from refold.verify.smt import formulas as z3
from refold.verify.smt.fraction import compare, same
from refold.verify.smt.shape import adds_logs, boundless, is_exponent, is_index, on_circle, plain, without_factor

if TYPE_CHECKING:
    from refold.verify.smt.encode import Encoder


def formula(e: Encoder, cond: sp.Basic) -> Any:
    """A condition, its subterms decided along the path."""
    if cond is sp.true or cond is sp.false:
        return z3.BoolVal(cond is sp.true)
    match cond:
        case sp.And():
            return z3.And(*(e.formula(a) for a in cond.args))
        case sp.Or():
            return z3.Or(*(e.formula(a) for a in cond.args))
        case sp.Not():
            return z3.Not(e.formula(cond.args[0]))
        case Relational():
            return relation(e, cond)
    return z3.Bool(e.variables.name("", cond))


def relation(e: Encoder, cond: Any) -> Any:
    """A comparison."""
    left, right = cond.lhs, cond.rhs
    if left == right:
        define(e, left)
        return z3.BoolVal(cond.rel_op in ("==", "<=", ">="))
    if is_index(cond):
        # A predicate over indices is the same proposition wherever it occurs.
        positive = cond if cond.rel_op in ("<=", "<", "==") else cond.negated
        atom = z3.Bool(e.variables.name("", positive))
        if positive.rel_op == "==" and right == 0:
            e.variables.zero(left, atom)
        return atom if positive is cond else z3.Not(atom)
    if right in (sp.oo, -sp.oo):
        return at_limit(e, left, cond.rel_op, 1 if right == sp.oo else -1)
    if cond.rel_op in ("==", "!="):
        same_value = equal(e, left, right)
        return same_value if cond.rel_op == "==" else z3.Not(same_value)
    if cond.rel_op in ("<=", "<"):
        left, right = right, left
    return at_least(e, left, right, strict=cond.rel_op in ("<", ">"))


def at_limit(e: Encoder, expr: sp.Expr, relation: str, sign: int) -> Any:
    """`expr < oo`, `expr > -oo` and so on, without a decision."""
    there = e.is_infinite(expr, sign)
    beyond, within = ("<=", ">") if sign < 0 else (">=", "<")
    if relation in ("==", beyond):
        return there
    return z3.Not(there) if relation in ("!=", within) else z3.BoolVal(relation in ("<=", ">="))


def is_infinite(e: Encoder, expr: sp.Expr, sign: int) -> Any:
    """Whether `expr = sign * oo`."""
    if expr in (sp.oo, -sp.oo):
        return z3.BoolVal((expr == sp.oo) == (sign > 0))
    match expr:
        case sp.Max() | sp.Min():
            join = z3.Or if isinstance(expr, sp.Max) == (sign > 0) else z3.And
            return join(*(e.is_infinite(a, sign) for a in expr.args))
        case Where():
            return e.is_infinite(e.branch(expr), sign)
        case sp.Add():
            return z3.Or(*(e.is_infinite(a, sign) for a in expr.args))
        case sp.Mul() if expr.args[0].is_number and len(expr.args) == 2:
            return e.is_infinite(expr.args[1], sign if expr.args[0].is_positive else -sign)
        case sp.Abs() | sp.Pow() if isinstance(expr, sp.Abs) or (expr.exp.is_even and expr.exp > 0):
            there = [e.is_infinite(expr.args[0], side) for side in (1, -1)]
            return z3.Or(*there) if sign > 0 else z3.BoolVal(False)
        case sp.Pow() if expr.exp.is_Integer and expr.exp > 0:
            return e.is_infinite(expr.base, sign)
        case sp.log() if sign > 0:
            return e.is_infinite(expr.args[0], sign)
        case sp.Mul() if len(rest := [a for a in expr.args if not isinstance(a, sp.exp)]) == 1:
            # An exponential is positive, or 0: then the product of the two is no number.
            weights = [e.real(a) for a in expr.args if a is not rest[0]]
            return z3.And(e.is_infinite(rest[0], sign), *(w.top != 0 for w in weights))
    variables = e.variables
    may_be = expr in variables.infinite and (expr in variables.rising) == (sign > 0)
    return variables.flag(expr) if may_be else z3.BoolVal(False)


def at_least(e: Encoder, left: sp.Expr, right: sp.Expr, *, strict: bool) -> Any:
    """`left >= right` (or `>`), through exponentials where those are how the two are known."""
    symbols, coded = plain(left, right), e.variables.coded
    known = symbols & coded and not symbols & e.variables.infinite - coded and sp.oo not in (left, right)
    if known and is_exponent(left) and is_exponent(right):
        return compare(e.expo(left), e.expo(right), e.is_positive, strict=strict)
    a, b = e.rank(left), e.rank(right)
    if a or b:
        return z3.BoolVal(a > b if strict else a >= b)
    found = compare(e.real(left), e.real(right), e.is_positive, strict=strict)
    # Of two numbers it may be decided that it fails.
    return z3.BoolVal(False) if not z3.variables(found) and z3.is_false(z3.simplify(found)) else found


def equal(e: Encoder, left: sp.Expr, right: sp.Expr) -> Any:
    """`left = right`, as polynomials; where logarithms are added, of the exponentials of both sides."""
    left, right = without_factor(left, right)
    symbols, coded, rising = plain(left, right), e.variables.coded, e.variables.rising
    if (
        adds_logs(left, right)
        or is_coordinate(e, left, right)
        or (boundless(left, -sp.oo) and symbols & coded and not symbols & rising)
    ):
        return same(e.expo(left), e.expo(right))
    a, b = e.rank(left), e.rank(right)
    if a or b:
        return z3.BoolVal(a == b)
    if left.has(sp.sin, sp.cos) or right.has(sp.sin, sp.cos):
        left, right = on_circle(e.chosen(left - right)), sp.S.Zero
    return same(e.real(left), e.real(right))


def is_coordinate(e: Encoder, left: sp.Expr, right: sp.Expr) -> bool:
    """Whether both sides are extremes of symbols that are known by their exponentials alone."""
    symbols = left.free_symbols | right.free_symbols
    return bool(symbols) and symbols <= e.variables.coded and all(
        isinstance(n, sp.Max | sp.Min | sp.Symbol | Where | Relational | Boolean) or n == -sp.oo
        for side in (left, right)
        for n in walk(side)
    ) and not symbols & e.variables.rising  # fmt: skip


def define(e: Encoder, expr: sp.Expr) -> None:
    """Records what an expression needs to have a value, an infinite one included."""
    match expr:
        case sp.Max() | sp.Min():
            for arg in expr.args:
                define(e, arg)
        case sp.Add():
            for arg in expr.args:
                define(e, arg)
            e.defined.append(z3.Not(z3.And(e.is_infinite(expr, 1), e.is_infinite(expr, -1))))
        case Where():
            define(e, e.branch(expr))
        case sp.Mul() if expr.args[0].is_number and len(expr.args) == 2:
            define(e, expr.args[1])
        case sp.Abs():
            define(e, expr.args[0])
        case sp.Pow() if expr.exp.is_Integer and expr.exp > 0:
            define(e, expr.base)
        case sp.log() if e.rank(expr.args[0]) > 0:
            define(e, expr.args[0])
        case sp.log():
            e.expo(expr)
        case _ if expr not in e.variables.infinite and expr not in (sp.oo, -sp.oo):
            e.real(expr)
