"""E[x^2] - mean for E[x^2] - mean^2."""

from refold import Tensor, axes, claim, fold, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
mean = fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(var=(fold.sum((x[i, j] - mean) ** 2, over=j) / j.size)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"n": 0, "s": 0, "q": 0},
    step=lambda a, c: {"n": a.n + 1, "s": a.s + c.x, "q": a.q + c.x**2},
    merge=lambda a, b: {"n": a.n + b.n, "s": a.s + b.s, "q": a.q + b.q},
    finish=lambda a: a.q / a.n - a.s / a.n,
)
EXPECTED = ("finish var", "at the end", "one element at a time")
