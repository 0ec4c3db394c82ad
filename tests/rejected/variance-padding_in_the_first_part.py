"""The last lane of the axis is padding that reads as 0 and counts (triton#9838)."""

from refold import Tensor, axes, claim, fold, pipeline, where

i, j = axes("i j")
x = Tensor("x", i, j)
mean = fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(var=(fold.sum((x[i, j] - mean) ** 2, over=j) / j.size)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j], "pad": where(j >= j.size - 1, 1, 0)},
    init={"n": 0, "s": 0, "q": 0},
    step=lambda a, c: {"n": a.n + 1 + c.pad, "s": a.s + c.x, "q": a.q + c.x**2},
    finish=lambda a: a.q / a.n - (a.s / a.n) ** 2,
)
EXPECTED = ("step n", "after element 0 (pad = 1)", "one element at a time")
