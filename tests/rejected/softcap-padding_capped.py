"""The mask passes through the cap: tanh(-oo) = -1, and a masked key scores -cap (unsloth#10616)."""

from refold import Scalar, Tensor, axes, claim, exp, finite_or, fold, maximum, oo, pipeline, sqrt, tanh, where

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
cap = Scalar("cap", positive=True)
raw = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
right = where(j <= i, cap * tanh(raw / cap), -oo)
p = exp(right - fold.max(right, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)
s = cap * tanh(where(j <= i, raw, -oo) / cap)


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
EXPECTED = ("step l", "after element 1 (s = -2)", "one element at a time")
