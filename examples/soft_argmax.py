"""Soft-argmax: the expected position under a softmax, y = sum_j j exp(x) / sum_j exp(x).

Luvizon et al., Human pose regression by combining indirect part detection, arXiv 1710.02322; integral regression in
Sun et al., arXiv 1711.08229. Written without a maximum: the shift is derived.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "selection"

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(y=(fold.sum(j * exp(x[i, j]), over=j) / fold.sum(exp(x[i, j]), over=j))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
