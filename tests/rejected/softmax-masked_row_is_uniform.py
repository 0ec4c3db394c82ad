"""A softmax in a window of four gives 1 at each position of a row that is masked."""

from refold import Tensor, axes, claim, exp, finite_or, fold, maximum, oo, pipeline, where

i, j = axes("i j")
x = Tensor("x", i, j)
s = where((j <= i) & (i - j < 4), x[i, j], -oo)
m = fold.max(s, over=j)
SPEC = pipeline(y=(exp(s - m) / fold.sum(exp(s - m), over=j))[i, j], empty=0)


def step(a, c):
    m = maximum(a.m, c.s)
    at = finite_or(m, 0)
    return {"m": m, "l": a.l * exp(a.m - at) + exp(c.s - at)}


def finish(a, c):
    at = finite_or(a.m, 0)
    return exp(c.s - at) / maximum(a.l, 1) + 1 - exp(a.m - at)


CLAIM = claim(SPEC, element={"s": s}, init={"m": -oo, "l": 0}, step=step, finish=finish)
EXPECTED = ("finish y", "at the end", "one element at a time")
