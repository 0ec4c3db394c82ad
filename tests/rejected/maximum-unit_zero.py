"""The largest of no element is 0: rows of negative numbers have the maximum 0."""

from refold import Tensor, axes, claim, fold, maximum, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(top=fold.max(x[i, j], over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"m": 0},
    step=lambda a, c: {"m": maximum(a.m, c.x)},
    merge=lambda a, b: {"m": maximum(a.m, b.m)},
    finish=lambda a: a.m,
)
EXPECTED = ("init m", "of no element", "one element at a time")
