"""The variance of two parts as the mean of their variances by length: that of their means is missing."""

from refold import Tensor, axes, claim, fold, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
mean = fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(var=(fold.sum((x[i, j] - mean) ** 2, over=j) / j.size)[i])


def step(a, c):
    n = a.n + 1
    d = c.x - a.mean
    return {"n": n, "mean": a.mean + d / n, "var": (a.var * a.n + d**2 * a.n / n) / n}


CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"n": 0, "mean": 0, "var": 0},
    step=step,
    merge=lambda a, b: {
        "n": a.n + b.n,
        "mean": (a.mean * a.n + b.mean * b.n) / (a.n + b.n),
        "var": (a.var * a.n + b.var * b.n) / (a.n + b.n),
    },
    finish=lambda a: a.var,
    empty_parts=False,
)
EXPECTED = ("merge var", "merging [0] with [1]", "then merged")
