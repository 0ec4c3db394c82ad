"""A pipeline that masks by -10^9, as code does: no power of e that one could write out."""

from refold import Tensor, axes, claim, exp, finite_or, fold, maximum, oo, pipeline, where

i, j, e = axes("i j e")
x, v = Tensor("x", i, j), Tensor("v", j, e)
s = where(j <= i, x[i, j], -1_000_000_000)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at), "o": a.o * exp(a.m - at) + exp(c.s - at) * c.v}


CLAIM = claim(
    SPEC,
    element={"s": s, "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0},
    step=step,
    finish=lambda a: a.o / a.l,
)
