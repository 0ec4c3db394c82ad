"""Mellowmax, a soft maximum: y = log(mean exp(w x)) / w.

Asadi and Littman, An Alternative Softmax Operator for Reinforcement Learning, arXiv 1612.05628.
"""

from refold import Scalar, Tensor, axes, fold, log, pipeline
from refold.examples import show

GROUP = "softmax"

i, j = axes("i j")
x = Tensor("x", i, j)
w = Scalar("w", positive=True)
SPEC = pipeline(y=((fold.logsumexp(w * x[i, j], over=j) - log(j.size)) / w)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
