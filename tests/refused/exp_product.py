"""Refused: sum_j exp(c_j r) with r = sum_j c_j has no finite correction."""

from refold import Tensor, axes, exp, fold, pipeline

(j,) = axes("j")
c = Tensor("c", j)
r = fold.sum(c[j], over=j)
SPEC = pipeline(t=fold.sum(exp(c[j] * r), over=j))
