"""Brier score of a softmax against targets: b = sum (p - y)^2.

Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78(1), 1950.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x, y = Tensor("x", i, j)[i, j], Tensor("y", i, j)[i, j]
w = exp(x - fold.max(x, over=j))
SPEC = pipeline(b=fold.sum((w / fold.sum(w, over=j) - y) ** 2, over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
