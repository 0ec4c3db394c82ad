"""The mean of the largest three of every row: k-max pooling.

Kalchbrenner et al., A convolutional neural network for modelling sentences, arXiv 1404.2188, section 3.3, averaged.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "selection"

i, j = axes("i j")
x = Tensor("x", i, j)
(first, second, third), _ = fold.topk(x[i, j], 3, over=j)
SPEC = pipeline(y=((first + second + third) / 3)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
