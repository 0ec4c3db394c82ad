"""The encoding over the extended reals: what it proves, what it refutes, and what it says is undefined."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp

from refold.algebra import State, Varying
from refold.algebra.extended import infinities
from refold.spec import Where
from refold.spec.heads import sigmoid
from refold.verify.smt import formulas as z3
from refold.verify.smt.conditions import at_least
from refold.verify.smt.encode import Encoder
from refold.verify.smt.path import Undecided
from refold.verify.smt.query import Query
from refold.verify.smt.shape import exponents
from refold.verify.smt.solver import ask
from refold.verify.smt.variables import Variables

x, y, w, u = State("x"), State("y"), State("w"), State("u")
c = Varying("c")
p, q = sp.symbols("p q", positive=True)


def eq(a: Any, b: Any) -> sp.Basic:
    return sp.Eq(a, b, evaluate=False)


def le(a: Any, b: Any) -> sp.Basic:
    return sp.Le(a, b, evaluate=False)


def verdict(goal: sp.Basic, *assumptions: sp.Basic) -> str:
    """Of a goal in which x and y may be -oo, w may be +oo, and all else is finite."""
    coded = frozenset(s for f in (goal, *assumptions) for s in exponents(f)) - {w}
    encoder = Encoder(Variables(frozenset({x, y, w}), frozenset({w}), coded))

    def build(e: Encoder) -> list[Any]:
        e.hypotheses += [e.formula(a) for a in assumptions]
        goals = [e.formula(goal)]
        e.hypotheses += e.defined
        return goals

    return ask(Query("test", encoder, build)).verdict


PROVED = {
    "exponents add": (eq(sp.exp(u - c), sp.exp(u) / sp.exp(c)),),
    "halves": (eq(sp.exp(u / 2) ** 2, sp.exp(u)),),
    "exp(-oo) = 0": (eq(sp.exp(x), 0), eq(x, -sp.oo)),
    "-oo is below": (le(sp.exp(x), 1), le(x, 0)),
    "absolute values of -oo": (eq(sp.Abs(x), sp.oo), eq(x, -sp.oo)),
    "absolute values are no 0 at -oo": (sp.Ne(sp.Abs(x), 0, evaluate=False), eq(x, -sp.oo)),
    "1 by -oo squared": (eq(1 / (x**2 + 1), 0), eq(x, -sp.oo)),
    "1 by -oo and a number": (eq(1 / (x - u) ** 3, 0), eq(x, -sp.oo)),
    "1 by a number": (sp.Gt(1 / (x**2 + 1), 0, evaluate=False), sp.Gt(x, -sp.oo, evaluate=False)),
    "sigmoid of oo": (eq(sigmoid(u - x), 1), eq(x, -sp.oo)),
    "tanh of oo": (eq(sp.tanh(w + u), 1), eq(w, sp.oo)),
    "the logarithm of oo": (eq(sp.log(x**2 + 1), sp.oo), eq(x, -sp.oo)),
    "exp is monotone": (le(sp.exp(x), sp.exp(y)), le(x, y)),
    "exp is monotone for what falls to +oo": (sp.Ge(sp.exp(-u), sp.exp(-w), evaluate=False), le(u, w)),
    "maximum": (eq(sp.Max(x, y), sp.Max(y, x)),),
    "maximum of no element": (eq(sp.Max(x, y), y), eq(x, -sp.oo)),
    "minimum": (le(sp.Min(w, u), u),),
    "minimum of no element": (eq(sp.Min(w, u), u), eq(w, sp.oo)),
    "-oo is below +oo": (le(x, w), eq(x, -sp.oo)),
    "+oo is above": (le(x, w), eq(w, sp.oo)),
    "where": (eq(Where(sp.Gt(x, -sp.oo, evaluate=False), 1, 0), 0), eq(x, -sp.oo)),
    "guarded": (eq(sp.exp(x - Where(sp.Gt(x, -sp.oo, evaluate=False), x, 0)), 1), sp.Gt(x, -sp.oo, evaluate=False)),
    "logarithm": (eq(sp.log(p) + u, sp.log(p * sp.exp(u), evaluate=False)),),
    "logarithms add": (eq(sp.log(p * q, evaluate=False), sp.log(p) + sp.log(q)),),
    "exp of a logarithm": (eq(sp.exp(sp.log(p, evaluate=False) + u, evaluate=False), p * sp.exp(u)),),
    "root": (eq(sp.sqrt(u) * sp.sqrt(u, evaluate=False), u), sp.Ge(u, 0, evaluate=False)),
    "sigmoid": (eq(sigmoid(u) + sigmoid(-u), 1),),
    "tanh": (eq(sp.tanh(u), 2 * sigmoid(2 * u) - 1),),
    "angles": (eq(sp.cos(u - c), sp.cos(u) * sp.cos(c) + sp.sin(u) * sp.sin(c)),),
    "angles of what is chosen": (
        eq(sp.cos(Where(sp.Lt(w, sp.oo, evaluate=False), w, 0) - c), sp.cos(w) * sp.cos(c) + sp.sin(w) * sp.sin(c)),
        sp.Lt(w, sp.oo, evaluate=False),
    ),
    "angles of an extreme": (eq(sp.cos(sp.Min(u, c)), sp.cos(u)), le(u, c)),
    "products in exponents": (eq(sp.exp((3 - c) * u + p), sp.exp(3 * u) * sp.exp(p) / sp.exp(c * u)),),
    "absolute value": (sp.Ge(sp.Abs(u), u, evaluate=False),),
}
NOT = {
    "exponents do not multiply": (eq(sp.exp(u * c), sp.exp(u) * sp.exp(c)),),
    "exp may be 0": (sp.Gt(sp.exp(x), 0, evaluate=False),),
    "a finite one is not -oo": (eq(u, -sp.oo),),
    "halves are no wholes": (eq(sp.exp(u / 2), sp.exp(u)),),
    "1 by -oo is not above 0": (sp.Gt(1 / (x**2 + 1), 0, evaluate=False),),
    "a sigmoid may be 1": (sp.Lt(sigmoid(w), 1, evaluate=False),),
    "a logarithm may be oo": (sp.Lt(sp.log(x**2 + 1), sp.oo, evaluate=False),),
    "exp falls to +oo": (le(sp.exp(-u), sp.exp(-w)), le(u, w)),
    "maximum is not the first": (eq(sp.Max(x, y), x),),
    "minimum is not the first": (eq(sp.Min(w, u), w),),
    "log of a sum": (eq(sp.log(p + q), sp.log(p) + sp.log(q)),),
    "two roots": (eq(sp.sqrt(u**2, evaluate=False), u),),
    "cosine is even": (eq(sp.cos(u - c), sp.cos(u) * sp.cos(c) - sp.sin(u) * sp.sin(c)),),
}


@pytest.mark.parametrize("name", PROVED)
def test_holds(name: str) -> None:
    assert verdict(*PROVED[name]) == "proved"


@pytest.mark.parametrize("name", NOT)
def test_does_not_hold(name: str) -> None:
    assert verdict(*NOT[name]) == "refuted"


def needs(expr: sp.Expr) -> str:
    """Whether what an expression needs to have a value may fail."""
    encoder = Encoder(Variables(frozenset({x, y, w}), frozenset({w}), frozenset(exponents(expr)) - {w}))

    def build(e: Encoder) -> list[Any]:
        e.define(expr)
        return list(e.defined)

    return ask(Query("needs", encoder, build)).verdict


@pytest.mark.parametrize(
    "expr",
    [
        sp.exp(x - sp.Max(x, y)),
        1 / u,
        1 / (x - w),
        sp.exp(-2 * sp.log(u, evaluate=False), evaluate=False),
        u * x,
        sp.sqrt(u),
        sp.exp(w + u),
        sp.exp((x - y) / 2),
        x + w,
        sp.log(u),
        u * sp.log(p - 1),
        sp.cos(x),
    ],
    ids=str,
)
def test_may_be_undefined(expr: sp.Expr) -> None:
    assert needs(expr) == "refuted"


@pytest.mark.parametrize(
    "expr",
    [
        sp.exp(x - u),
        sp.exp(u - w),
        sp.Max(x, y),
        sigmoid(x),
        sp.sqrt(p),
        1 / p,
        1 / (x**2 + 1),
        sp.log(p),
        x + y,
        sp.exp(x / 2),
    ],
    ids=str,
)
def test_is_defined(expr: sp.Expr) -> None:
    assert needs(expr) == "proved"


def test_names_are_one_to_one() -> None:
    e = Encoder()
    assert not e.variables.value(State("x")).eq(e.variables.value(Varying("x")))
    assert e.variables.value(State("x")).eq(e.variables.value(State("x")))


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        (c, set()),
        (Where(sp.Symbol("b") > 0, c, -sp.oo), {-1}),
        (-Where(sp.Symbol("b") > 0, c, -sp.oo), {1}),
        (2 * Where(sp.Symbol("b") > 0, c, sp.oo) + c, {1}),
        (sp.exp(Where(sp.Symbol("b") > 0, c, -sp.oo)), set()),
        (c * Where(sp.Symbol("b") > 0, c, -sp.oo), {-1, 1}),
        (-p * Where(sp.Symbol("b") > 0, c, -sp.oo), {1}),
        (Where(sp.Symbol("b") > 0, c, -sp.oo) ** 2, {1}),
        (sp.Abs(Where(sp.Symbol("b") > 0, c, -sp.oo)), {1}),
        (sp.tanh(Where(sp.Symbol("b") > 0, c, -sp.oo)), set()),
        (1 / (Where(sp.Symbol("b") > 0, c, -sp.oo) ** 2 + 1), set()),
        (sp.log(Where(sp.Symbol("b") > 0, c, -sp.oo) ** 2 + 1), {1}),
    ],
    ids=str,
)
def test_infinities(expr: sp.Expr, found: set[int]) -> None:
    assert infinities(expr) == found


def test_a_comparison_leaves_positive_factors_away() -> None:
    both = [sp.exp(x) * u * p, sp.exp(x) * c * p]
    encoder = Encoder(Variables(frozenset({x}), frozenset(), frozenset({x})))
    with_all = at_least(encoder, *both, strict=False)
    assert "E_x" in str(with_all) and "p" not in str(with_all)
    path = encoder.where(encoder.variables.flag(x), holds=False)
    assert str(at_least(path, *both, strict=False)) == "u >= c"
    # Nothing says that u is above 0.
    assert "u" in str(at_least(path, u * u, u * c, strict=False).arg(1))


def test_a_path_knows_a_conjunction_by_its_parts() -> None:
    encoder = Encoder(Variables(frozenset({x, y}), frozenset(), frozenset({x, y})))
    both = z3.And(encoder.variables.flag(x), encoder.variables.flag(y))
    with pytest.raises(Undecided) as met:
        encoder.decide(both)
    assert met.value.condition.eq(encoder.variables.flag(x))
    assert encoder.where(encoder.variables.flag(x), holds=False).decide(both) is False
    assert encoder.where(encoder.variables.flag(x), holds=False).decide(z3.Not(both)) is True
    one = encoder.where(encoder.variables.flag(x), holds=True)
    with pytest.raises(Undecided):
        one.decide(both)
    assert one.where(one.variables.flag(y), holds=True).decide(both) is True
