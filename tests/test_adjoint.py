"""Terms, the identities that are found in them, and formulas: each against what it is by hand or as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

from refold import Tensor, axes, exp, fold, pipeline
from refold.algebra.adjoint.formula import factored, formula
from refold.algebra.adjoint.nodes import nodes
from refold.algebra.adjoint.simplify import Identities
from refold.algebra.adjoint.terms import opened
from refold.errors import NoGradient
from refold.spec import Value

i, j, e = axes("i j e")
x, y, w, v = Tensor("x", i, j), Tensor("y", i, j), Tensor("w", j), Tensor("v", j, e)
u = Tensor("u", i)
a, b, c = sp.symbols("a b c")


def total(value: Any) -> Any:
    return fold.sum(value, over=j)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (total(x[i, j] * (w[j] + 2)), total(w[j] * x[i, j]) + 2 * total(x[i, j])),
        (total(x[i, j]) * total(w[j]), total(w[j]) * total(x[i, j])),
        (total(x[i, j] * total(w[j])), total(x[i, j]) * total(w[j])),
        (total(x[i, j] + y[i, j]) ** 2,
         total(x[i, j]) ** 2 + 2 * total(x[i, j]) * total(y[i, j]) + total(y[i, j]) ** 2),
        (total(x[i, j] + 3), total(x[i, j]) + 3 * j.size),
        (fold.sum(total(x[i, j] * v[j, e]), over=e), total(x[i, j] * fold.sum(v[j, e], over=e))),
    ],
    ids=["distributes", "commutes", "nested", "square", "length", "exchanges"],
)  # fmt: skip
def test_equal_sums_have_equal_terms(one: Value, other: Value) -> None:
    assert {*opened(one.expr)} == {*opened(other.expr)}
    assert opened((one - other).expr) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (total(x[i, j]) * total(w[j]), total(x[i, j] * w[j])),
        (total(x[i, j]) ** 2, total(x[i, j] ** 2)),
        (total(x[i, j] + 3), total(x[i, j]) + 3),
        (x[i, j] * total(w[j]), total(x[i, j] * w[j])),
    ],
    ids=["one sum for two", "square inside", "length forgotten", "captured"],
)
def test_other_sums_have_other_terms(one: Value, other: Value) -> None:
    assert {*opened(one.expr)} != {*opened(other.expr)}
    numbers = {"x": [[1.0, 2.0], [3.0, 5.0]], "w": [7.0, 11.0]}

    def value(side: Value) -> Any:
        return np.asarray(pipeline(t=side[tuple(k for k in (i, j) if k.expr in side.expr.free_symbols)])(
            **{t.name: numbers[t.name] for t in pipeline_tensors(side)}))  # fmt: skip

    assert not np.allclose(np.broadcast_to(value(one).T, (2, 2)), np.broadcast_to(value(other).T, (2, 2)))


def pipeline_tensors(side: Value) -> Any:
    return {r.tensor for r in side.expr.atoms(type(x[i, j].expr))}


# --- identities -------------------------------------------------------------------------------------------------------

P = exp(x[i, j] - fold.max(x[i, j], over=j))
ATTENTION = pipeline(o=(total(P * v[j, e]) / total(P))[i, e])


def rules(spec: Any, expr: Any) -> tuple[list[str], Any]:
    """The names of the identities that are found, one after the other, and what is left."""
    found = list(Identities(nodes(spec), frozenset(o.name for o in spec.outputs)).rewrites(opened(expr)))
    return [r.rule for r in found], found[-1].after if found else opened(expr)


def named(spec: Any, name: str) -> Any:
    return next(n.symbol for n in nodes(spec) if n.name == name)


def test_a_sum_of_the_forward_pass_is_found_again() -> None:
    p, l, o = (named(ATTENTION, name) for name in ("p", "l", "o"))
    expr = total(Value(p) * v[j, e]).expr / l
    assert rules(ATTENTION, expr) == (["found again", "output"], opened(o))


def test_a_sum_with_one_factor_more_or_less_is_not() -> None:
    p = Value(named(ATTENTION, "p"))
    for other in (total(p * v[j, e] * w[j]), total(p * p), total(v[j, e]), total(p * v[j, e] ** 2)):
        assert rules(ATTENTION, other.expr) == ([], opened(other.expr))


def test_what_is_taken_against_its_mean_sums_to_0() -> None:
    z = x[i, j] - total(x[i, j]) / j.size
    spec = pipeline(y=(z * total(z**2))[i, j])
    n = Value(named(spec, "c"))
    assert rules(spec, total(n).expr) == (["sums to 0"], ())
    assert rules(spec, total(n * w[j]).expr)[1] != ()


def test_the_parts_of_a_divisor_are_1_together() -> None:
    spec = pipeline(o=(total(exp(x[i, j]) * v[j, e]) / (total(exp(x[i, j])) + exp(u[i])))[i, e])
    D = next(n for n in nodes(spec) if n.name == "D")
    parts = sp.Add.make_args(D.value)
    assert len(parts) == 2
    assert rules(spec, sum(7 * part / D.symbol for part in parts)) == (["divisor"], opened(sp.Integer(7)))
    assert rules(spec, parts[0] / D.symbol - parts[1] / D.symbol)[1] != opened(sp.Integer(1))


# --- formulas ---------------------------------------------------------------------------------------------------------


def test_a_formula_has_the_terms_that_it_is_made_of() -> None:
    p = Value(named(ATTENTION, "p"))
    expr = total(p * fold.sum(v[j, e], over=e) - p * w[j] * 2 * fold.sum(v[j, e], over=e)).expr
    found = formula(opened(expr), frozenset({"p"}))
    assert found.loops == (j.expr,) and found.rows == {i.expr}
    assert {*opened(found.expr)} == {*opened(expr)}
    assert str(found.expr) == "Σ_j (1 - 2*w[j])*(Σ_e v[j,e])*p[i,j]"


def test_two_positions_of_one_axis_are_refused() -> None:
    pair = total(x[i, j] * y[i, j]).expr.body
    inner = opened(fold.sum(x[i, j] * w[j], over=j).expr)[0]
    wrong = inner.times(pair).times(inner.product)
    with pytest.raises(NoGradient, match="two positions of j in one value, for which there is no pipeline: ask for"):
        formula((type(inner)(inner.coefficient, wrong.product * (i.expr + inner.bound[0]) ** (j.expr + inner.bound[0]),
                             inner.bound),), frozenset())  # fmt: skip


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        (a * b - a * c, a * (b - c)),
        (b - a**2 * b, b * (1 - a**2)),
        (a * b - a - b + 1, (1 - a) * (1 - b)),
        (a + b, a + b),
    ],
)
def test_factored(expr: sp.Expr, wanted: sp.Expr) -> None:
    assert factored(expr) == wanted
    assert sp.expand(factored(expr) - expr) == 0
