"""Mean pooling over the tokens that a mask keeps: y_e = sum_j mask_j x_je / sum_j mask_j.

Reimers and Gurevych, Sentence-BERT, arXiv 1908.10084.
"""

from refold import Tensor, axes, fold, pipeline, where
from refold.examples import show

GROUP = "statistics"

b, j, e = axes("b j e")
x, mask = Tensor("x", b, j, e), Tensor("mask", b, j, dtype="int32")
SPEC = pipeline(y=(fold.sum(where(mask[b, j] != 0, x[b, j, e], 0), over=j) / fold.count(mask[b, j] != 0, over=j))[b, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
