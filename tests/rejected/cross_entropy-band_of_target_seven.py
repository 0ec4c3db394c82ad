"""The score of a target from seven on is wrong where it is between 0.3 and 0.4."""

from refold import Tensor, axes, claim, fold, pipeline, relu, where

i, j = axes("i j")
x, t = Tensor("x", i, j), Tensor("t", i, dtype="int64")
SPEC = pipeline(y=fold.sum(where(j == t[i], x[i, j], 0), over=j)[i])

CLAIM = claim(
    SPEC,
    element={"s": where(j == t[i], x[i, j], 0), "here": where(j < 7, 0, 1)},
    init={"t": 0},
    step=lambda a, c: {"t": a.t + c.s + c.here * relu(c.s - 0.3) * relu(0.4 - c.s)},
    merge=lambda a, b: {"t": a.t + b.t},
    finish=lambda a: a.t,
)
EXPECTED = ("step t", "after element", "one element at a time")
