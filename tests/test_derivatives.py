"""The table of derivatives: a row for every head, each equal to differences of the value of its head."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp

from refold import (
    Tensor,
    absolute,
    axes,
    cos,
    erf,
    exp,
    fold,
    log,
    maximum,
    minimum,
    pipeline,
    relu,
    sigmoid,
    sin,
    sqrt,
    tanh,
    where,
)
from refold.errors import NoGradient
from refold.spec import TensorName, Value
from refold.spec.derivatives import DERIVATIVES, partials
from refold.spec.heads import Fold, Where, nearest
from refold.spec.pipeline import HEADS

i, j = axes("i j")
x, y, n = Tensor("x", i), Tensor("y", i), Tensor("n", i, dtype="int32")
X, Y = x[i], y[i]
# So that a constant varies with i too.
ZERO = Tensor("zero", i)[i]

# Each at values on both sides of whatever it distinguishes.
AT = {"x": [-1.75, -0.4, 0.3, 2.6], "y": [0.8, 0.6, 1.9, 1.2], "n": [2, -1, 3, 1]}


def test_every_head_has_a_row() -> None:
    assert DERIVATIVES.keys() == {*HEADS}


def value(expr: Any, inputs: dict[str, Any]) -> Any:
    """An expression over x, y and n, by the evaluation of its heads."""
    expr = sp.sympify(expr)
    read = {name: v for name, v in inputs.items() if name in {a.name for a in expr.atoms(TensorName)}}
    return pipeline(t=(Value(expr) + ZERO)[i])(**read, zero=np.zeros(4))


# Heads over leaves, so that one row of the table is the whole derivative.
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, b: a + b,
    "product": lambda a, b: a * b,
    "square": lambda a, b: a**2,
    "root": lambda a, b: sqrt(b),
    "reciprocal root": lambda a, b: 1 / sqrt(b),
    "power": lambda a, b: b**a,
    "exponential": lambda a, b: exp(a),
    "logarithm": lambda a, b: log(b),
    "tanh": lambda a, b: tanh(a),
    "sigmoid": lambda a, b: sigmoid(a),
    "sin": lambda a, b: sin(a),
    "cos": lambda a, b: cos(a),
    "erf": lambda a, b: erf(a),
    "absolute": lambda a, b: absolute(a),
    "maximum": lambda a, b: maximum(a, b),
    "minimum": lambda a, b: minimum(a, b),
    "relu": lambda a, b: relu(a),
    "clamp": lambda a, b: minimum(a, 1),
    "floor": lambda a, b: math.floor(a),
    "round": lambda a, b: round(a),
    "where": lambda a, b: where(n[i] >= 2, a, b),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_is_what_differences_say(name: str) -> None:
    expr = FUNCTIONS[name](X, Y).expr
    by = partials(expr)
    inputs = {k: np.asarray(v, dtype=np.float64) for k, v in AT.items()}
    for leaf, which in ((X.expr, "x"), (Y.expr, "y")):
        total = sp.Add(*(d for a, d in zip(expr.args, by, strict=True) if a == leaf))
        step = 1e-6
        up, down = (inputs | {which: inputs[which] + s} for s in (step, -step))
        wanted = (value(expr, up) - value(expr, down)) / (2 * step)
        np.testing.assert_allclose(value(total, inputs), wanted, rtol=1e-7, atol=1e-8)


def test_whole_numbers_have_the_derivative_0() -> None:
    for head in (sp.floor, nearest):
        assert partials(head(X.expr)) == (0,)
    assert partials(sp.Mod(i.expr, 3)) == (0, 0)
    for kind in ("any", "all", "count", "argmax"):
        assert partials(Fold(kind, X.expr, i.expr)) == (0, 0, 0)


def test_at_0_relu_and_absolute_have_the_derivative_0_and_equal_values_share() -> None:
    inputs = {"x": np.zeros(4), "y": np.zeros(4), "n": np.zeros(4)}
    for expr in (relu(X).expr, absolute(X).expr):
        (total,) = (d for a, d in zip(expr.args, partials(expr), strict=True) if a == X.expr)
        assert (value(total, inputs) == 0).all()
    assert all((value(d, inputs) == 0.5).all() for d in partials(maximum(X, Y).expr))


def test_an_infinite_branch_is_constant() -> None:
    by = partials(Where(sp.Le(i.expr, 3), X.expr, -sp.oo))
    assert by == (0, Where(sp.Le(i.expr, 3), 1, 0), 0)


def test_a_maximum_over_an_axis_has_its_derivative_at_the_first_position() -> None:
    z = Tensor("z", i, j)
    largest = fold.max(z[i, j], over=j).expr
    got = pipeline(t=Value(partials(largest)[1])[i, j])
    np.testing.assert_array_equal(got(z=[[1.0, 3.0, 3.0], [2.0, 1.0, 0.0]]), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (fold.prod(X, over=i), "Π_i x\\[i\\] has no gradient here.*: write it as exp of a sum of log"),
        (maximum(maximum(X, Y), X * Y), "more than two of its values may be equal: write it as"),
    ],
)
def test_what_has_no_gradient_is_refused(value: Value, says: str) -> None:
    with pytest.raises(NoGradient, match=says):
        partials(value.expr)
