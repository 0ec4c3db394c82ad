"""Masked classes have p log p = 0 (-oo), which is NaN and not 0 (Liger-Kernel#262)."""

from refold import Tensor, axes, claim, exp, finite_or, fold, log, maximum, oo, pipeline, where

i, j = axes("i j")
x = Tensor("x", i, j)
masked = where(j <= i, x[i, j], -oo)
m = fold.max(masked, over=j)
l = fold.sum(exp(masked - m), over=j)
t = fold.sum(where(j <= i, (x[i, j] - m) * exp(x[i, j] - m), 0), over=j)
SPEC = pipeline(h=(log(l) - t / l)[i], empty=0)


def step(a, c):
    m = maximum(a.m, c.x)
    old = exp(finite_or(a.m, m) - m)
    p = exp(c.x - m)
    return {"m": m, "l": a.l * old + p, "t": (a.t + (finite_or(a.m, m) - m) * a.l) * old + (c.x - m) * p}


CLAIM = claim(
    SPEC,
    element={"x": masked},
    init={"m": -oo, "l": 0, "t": 0},
    step=step,
    finish=lambda a: log(a.l) - a.t / a.l,
)
EXPECTED = ("step t", "after element 1 (x = -inf)", "one element at a time")
