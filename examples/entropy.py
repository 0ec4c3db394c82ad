"""Entropy of a softmax: h = - sum p log p, with p = exp(x - m) / sum exp(x - m)."""

from refold import Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
z = x[i, j] - fold.max(x[i, j], over=j)
l = fold.sum(exp(z), over=j)
SPEC = pipeline(h=(log(l) - fold.sum(z * exp(z), over=j) / l)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
