"""Only the first forty positions are added."""

from refold import Tensor, axes, claim, fold, pipeline, where

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(t=fold.sum(x[i, j], over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": where(j < 40, x[i, j], 0)},
    init={"t": 0},
    step=lambda a, c: {"t": a.t + c.x},
    merge=lambda a, b: {"t": a.t + b.t},
    finish=lambda a: a.t,
)
EXPECTED = ("step t", "after element 41 (x = 0)", "one element at a time")
