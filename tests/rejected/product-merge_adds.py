"""The products of two parts are added."""

from refold import Tensor, axes, claim, fold, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(p=fold.prod(x[i, j], over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"p": 1},
    step=lambda a, c: {"p": a.p * c.x},
    merge=lambda a, b: {"p": a.p + b.p},
    finish=lambda a: a.p,
    empty_parts=False,
)
EXPECTED = ("merge p", "merging [0] with [1]", "then merged")
