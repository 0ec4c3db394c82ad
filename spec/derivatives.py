"""The derivative of every head by each of its arguments: the third meaning of a head, beside its value and its text.

Where a function has no derivative, at isolated points that is, the convention is torch's: `relu` and `|x|` have 0 at 0,
and a maximum of several values that are equal divides it evenly between them. A maximum over an axis has it at the
first position. What is a whole number, or is rounded to one, has the derivative 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from refold.errors import NoGradient
from refold.spec.heads import Fold, Read, Where, nearest, sigmoid
from refold.spec.mathematics import text


def partials(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """The derivative of an expression by each of its arguments, 0 by one that is no real number.

    Of a fold it is that by its body at the position that its axis names. Raises `NoGradient` where there is none.
    """
    return tuple(map(sp.sympify, DERIVATIVES[type(expr)](expr)))


def _function(derivative: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """The row of a function of one argument, by its derivative as a function of that argument."""
    return lambda expr: (derivative(expr.args[0]),)


def _is(condition: sp.Basic, then: Any = sp.S.One, other: Any = sp.S.Zero) -> sp.Expr:
    return Where(condition, then, other) if then != other else sp.sympify(then)


def _constant(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    return (sp.S.Zero,) * len(expr.args)


def _product(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    return tuple(sp.Mul(*(b for m, b in enumerate(expr.args) if m != n)) for n in range(len(expr.args)))


def _power(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    base, exponent = expr.args
    by_exponent = sp.S.Zero if exponent.is_number else expr * sp.log(base)
    return exponent * base ** (exponent - 1), by_exponent


def _extreme(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """`max(a, b)`: 1 for the larger one; of equal ones a share, and none beside a number, as of `max(x, 0)` at 0."""
    above: Any = sp.Gt if isinstance(expr, sp.Max) else sp.Lt

    def share(n: int) -> sp.Expr:
        mine, others = expr.args[n], [a for m, a in enumerate(expr.args) if m != n]
        if mine.is_number:
            return sp.S.Zero
        beyond = [above(mine, a, evaluate=False) for a in others]
        if any(a.is_number for a in others):
            return _is(sp.And(*beyond))
        if len(others) > 1:
            raise NoGradient(
                f"{text(expr)} has no gradient here, as more than two of its values may be equal: "
                "write it as a maximum over an axis, or of a value and a number"
            )
        return _is(beyond[0], 1, _is(sp.Eq(mine, others[0], evaluate=False), sp.S.Half, 0))

    return tuple(map(share, range(len(expr.args))))


def _read(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """An element varies with its tensor, which its name is for; not with its place."""
    return sp.S.One, *(sp.S.Zero for _ in expr.args[1:])


def _fold(expr: Fold) -> tuple[sp.Expr, ...]:
    body, axis = expr.body, expr.axis
    match expr.kind:
        case "sum":
            by_body = sp.S.One
        case "max" | "min":
            first = Fold("argmax", body if expr.kind == "max" else -body, axis)
            by_body = _is(sp.Eq(axis, first, evaluate=False))
        case "any" | "all" | "count" | "argmax":
            by_body = sp.S.Zero
        case _:
            raise NoGradient(
                f"{text(expr)} has no gradient here, which divides by its elements: write it as exp of a sum of log"
            )
    return sp.S.Zero, by_body, sp.S.Zero


def _where(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    condition, then, other = expr.args
    branches = (sp.S.Zero if b in (sp.oo, -sp.oo) else sp.S.One for b in (then, other))
    by_then, by_other = branches
    return sp.S.Zero, _is(condition, by_then, 0), _is(condition, 0, by_other)


DERIVATIVES: dict[type[sp.Basic], Callable[[Any], tuple[Any, ...]]] = {
    sp.Add: lambda expr: (sp.S.One,) * len(expr.args),
    sp.Mul: _product,
    sp.Pow: _power,
    sp.exp: _function(sp.exp),
    sp.log: _function(lambda x: 1 / x),
    sp.tanh: _function(lambda x: 1 - sp.tanh(x) ** 2),
    sigmoid: _function(lambda x: sigmoid(x) * (1 - sigmoid(x))),
    sp.sin: _function(sp.cos),
    sp.cos: _function(lambda x: -sp.sin(x)),
    sp.erf: _function(lambda x: 2 / sp.sqrt(sp.pi) * sp.exp(-(x**2))),
    sp.Abs: _function(lambda x: _is(sp.Gt(x, 0, evaluate=False), 1, _is(sp.Lt(x, 0, evaluate=False), -1, 0))),
    sp.Max: _extreme,
    sp.Min: _extreme,
    sp.floor: _constant,
    nearest: _constant,
    sp.Mod: _constant,
    Read: _read,
    Fold: _fold,
    Where: _where,
}
