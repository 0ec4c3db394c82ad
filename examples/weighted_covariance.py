"""Covariance of two rows under softmax weights: c = sum p (x - sum p x) (y - sum p y).

Chan, Golub and LeVeque, Algorithms for computing the sample variance, The American Statistician 37(3), 1983, for the
moments; the weights are those of attention.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
s, x, y = (Tensor(name, i, j)[i, j] for name in ("s", "x", "y"))
w = exp(s - fold.max(s, over=j))
p = w / fold.sum(w, over=j)
SPEC = pipeline(c=fold.sum(p * (x - fold.sum(p * x, over=j)) * (y - fold.sum(p * y, over=j)), over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
