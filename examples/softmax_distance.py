"""Squared distance of two softmaxes, a consistency loss: d = sum (softmax(x) - softmax(y))^2.

Laine and Aila, Temporal Ensembling for Semi-Supervised Learning, arXiv 1610.02242.
"""

from typing import Any

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")


def softmax(x: Any) -> Any:
    """The probabilities of scores, over j."""
    w = exp(x - fold.max(x, over=j))
    return w / fold.sum(w, over=j)


SPEC = pipeline(d=fold.sum((softmax(Tensor("x", i, j)[i, j]) - softmax(Tensor("y", i, j)[i, j])) ** 2, over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
