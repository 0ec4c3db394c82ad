"""Squared distance of two softmaxes, a consistency loss: d = sum (softmax(x) - softmax(y))^2.

Laine and Aila, Temporal Ensembling for Semi-Supervised Learning, arXiv 1610.02242.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x, y = Tensor("x", i, j)[i, j], Tensor("y", i, j)[i, j]
u, w = (exp(s - fold.max(s, over=j)) for s in (x, y))
SPEC = pipeline(d=fold.sum((u / fold.sum(u, over=j) - w / fold.sum(w, over=j)) ** 2, over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
