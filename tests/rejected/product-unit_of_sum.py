"""The empty product is 0."""

from refold import Tensor, axes, claim, fold, pipeline

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(p=fold.prod(x[i, j], over=j)[i])

CLAIM = claim(
    SPEC,
    element={"x": x[i, j]},
    init={"p": 0},
    step=lambda a, c: {"p": a.p * c.x},
    merge=lambda a, b: {"p": a.p * b.p},
    finish=lambda a: a.p,
)
EXPECTED = ("finish p", "at the end", "one element at a time")
