"""`i < j + 4` for `i - j < 4`."""

from refold import Tensor, axes, claim, fold, pipeline, where

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(y=fold.sum(where((j <= i) & (i - j < 4), x[i, j], 0), over=j)[i])

CLAIM = claim(
    SPEC,
    element={"s": where((j < i + 1) & (i < j + 4), x[i, j], 0)},
    init={"t": 0},
    step=lambda a, c: {"t": a.t + c.s},
    merge=lambda a, b: {"t": a.t + b.t},
    finish=lambda a: a.t,
)
