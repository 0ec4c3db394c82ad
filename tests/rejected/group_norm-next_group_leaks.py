"""The mask of a group is one too wide, and the next group's first value leaks in (FlagGems#4985)."""

from refold import Scalar, Tensor, axes, claim, fold, pipeline, sqrt, where

i, j = axes("i j")
x = Tensor("x", i, j)
size = Scalar("size", integer=True, positive=True)
eps = Scalar("eps", positive=True)
mean = fold.sum(where(j < size, x[i, j], 0), over=j) / size
variance = fold.sum(where(j < size, (x[i, j] - mean) ** 2, 0), over=j) / size
SPEC = pipeline(r=(1 / sqrt(variance + eps))[i])

CLAIM = claim(
    SPEC,
    element={"x": where(j <= size, x[i, j], 0)},
    init={"s": 0, "q": 0},
    step=lambda a, c: {"s": a.s + c.x, "q": a.q + c.x**2},
    merge=lambda a, b: {"s": a.s + b.s, "q": a.q + b.q},
    finish=lambda a: 1 / sqrt(a.q / size - (a.s / size) ** 2 + eps),
)
EXPECTED = ("finish r", "at the end", "one element at a time")
