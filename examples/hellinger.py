"""Squared Hellinger distance of two softmaxes: 1 - sum sqrt(p q).

Hellinger, Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen, 1909.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
y = Tensor("y", i, c)
a, b = exp(x[i, c] - fold.max(x[i, c], over=c)), exp(y[i, c] - fold.max(y[i, c], over=c))
p, q = a / fold.sum(a, over=c), b / fold.sum(b, over=c)
SPEC = pipeline(h=(1 - fold.sum(sqrt(p * q), over=c))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
