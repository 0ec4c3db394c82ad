"""Differential attention of one head: o = (softmax(q1 k1' / sqrt(d)) - lam softmax(q2 k2' / sqrt(d))) v.

Ye et al., Differential Transformer, arXiv 2410.05258. The two softmaxes are two states of rank 1.
"""

from typing import Any

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q1, k1 = Tensor("q1", i, d), Tensor("k1", j, d)
q2, k2 = Tensor("q2", i, d), Tensor("k2", j, d)
v, lam = Tensor("v", j, e), Scalar("lam")


def softmax(q: Any, k: Any) -> Any:
    """The weights of one attention, over j."""
    s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
    p = exp(s - fold.max(s, over=j))
    return p / fold.sum(p, over=j)


SPEC = pipeline(o=fold.sum((softmax(q1, k1) - lam * softmax(q2, k2)) * v[j, e], over=j)[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
