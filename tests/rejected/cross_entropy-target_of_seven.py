"""The score of a target is read among the first seven classes alone."""

from refold import Tensor, axes, claim, fold, pipeline, where

i, j = axes("i j")
x, t = Tensor("x", i, j), Tensor("t", i, dtype="int64")
SPEC = pipeline(y=fold.sum(where(j == t[i], x[i, j], 0), over=j)[i])

CLAIM = claim(
    SPEC,
    element={"s": where((j == t[i]) & (j < 7), x[i, j], 0)},
    init={"t": 0},
    step=lambda a, c: {"t": a.t + c.s},
    merge=lambda a, b: {"t": a.t + b.t},
    finish=lambda a: a.t,
)
EXPECTED = ("step t", "after element 7 (s = 0)", "one element at a time")
