"""Softmax of every row: y = exp(x - max x) / sum exp(x - max x).

In one pass: Milakov and Gimelshein, Online normalizer calculation for softmax, arXiv 1805.02867.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "softmax"

i, j = axes("i j")
x = Tensor("x", i, j)
p = exp(x[i, j] - fold.max(x[i, j], over=j))
SPEC = pipeline(y=(p / fold.sum(p, over=j))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
