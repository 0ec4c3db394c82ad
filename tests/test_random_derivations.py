"""Random pipelines of every head: `derive` gives a plan, a refusal or one message, and no other exception.

REFOLD_RANDOM_SPECS=500 tries that many.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from refold import (
    Plan,
    RefoldError,
    Scalar,
    Spec,
    Tensor,
    absolute,
    axes,
    cos,
    derive,
    erf,
    exp,
    fold,
    log,
    maximum,
    oo,
    pipeline,
    relu,
    sigmoid,
    sqrt,
    tanh,
    where,
)  # fmt: skip
from refold.algebra import Refusal

COUNT = int(os.environ.get("REFOLD_RANDOM_SPECS", "12"))
i, j, d = axes("i j d")
x, y, w, p = Tensor("x", i, j), Tensor("y", i, j), Tensor("w", j), Tensor("p", j, nonnegative=True)
q, k, n = Tensor("q", i, d), Tensor("k", j, d), Tensor("n", i, dtype="int32")
a, c = Scalar("a"), Scalar("c", integer=True, positive=True)
HEADS: tuple[Callable[[Any], Any], ...] = (absolute, relu, tanh, sigmoid, cos, exp, erf, math.floor, round)


def condition(r: random.Random, depth: int = 2) -> Any:
    match r.randrange(8) if depth else 3:
        case 0:
            return condition(r, depth - 1) & condition(r, depth - 1)
        case 1:
            return condition(r, depth - 1) | condition(r, depth - 1)
        case 2:
            return ~condition(r, depth - 1)
    left = r.choice([j, i, j - i, abs(i - j), j // 2, i % 3, j // c, n[i]])
    right = r.choice([i, c, 2, n[i], j.size, i // c * c, j.size - i])
    return r.choice([left <= right, left < right, left >= right, left == right, left != right])


def value(r: random.Random, done: list[Any], depth: int) -> Any:
    """An expression over data and finished folds."""
    if depth <= 0:
        dot = fold.sum(q[i, d] * k[j, d], over=d)
        return r.choice([x[i, j], x[i, j], y[i, j], w[j], p[j], a * x[i, j], dot, j * 1, w[j] / c])
    part, other, last = value(r, done, depth - 1), value(r, done, depth - 1), r.choice([*done, 2])
    mask = condition(r)
    choices = [part + other, part * other, part - last, part * last, part / last, exp(part - last), part ** 2, 1 / part,
               where(mask, part, 0), where(mask, part, -oo), where(mask, last, part), maximum(part, other),
               sqrt(1 + part**2), log(1 + part**2), r.choice(HEADS)(part)]  # fmt: skip
    return r.choice(choices)


def spec_of(seed: int) -> Spec:
    r, done = random.Random(seed), []
    for _ in range(r.randint(1, 3)):
        body = value(r, done, r.randint(0, 2))
        kind = r.choice(["sum", "sum", "max", "min", "mean", "prod", "argmax", "logsumexp", "count"])
        if kind == "count":
            done.append(fold.count(condition(r) & (j <= i), over=j))
        else:
            done.append(fold.sum(body, over=j) / j.size if kind == "mean" else getattr(fold, kind)(body, over=j))
    last = r.choice([done[-1], done[-1] + a * done[0], where(i <= c, done[-1], 0), done[-1] / done[0]])
    return pipeline(t=last[i] if i.expr in last.expr.free_symbols else last)


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_plan_a_refusal_or_one_message(seed: int) -> None:
    try:
        found = derive(spec_of(seed))
    except RefoldError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(found, Plan | Refusal)
        assert str(found)
