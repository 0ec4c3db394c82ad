"""The Boltzmann operator, a soft maximum: y = sum x exp(w x) / sum exp(w x).

Asadi and Littman, An Alternative Softmax Operator for Reinforcement Learning, arXiv 1612.05628, section 2.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "softmax"

i, j = axes("i j")
x = Tensor("x", i, j)
w = Scalar("w")
p = exp(w * x[i, j] - fold.max(w * x[i, j], over=j))
SPEC = pipeline(y=(fold.sum(x[i, j] * p, over=j) / fold.sum(p, over=j))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
