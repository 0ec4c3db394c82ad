"""Rényi entropy of a softmax: y = log(sum p^a) / (1 - a), p = softmax x, in the logarithm.

Rényi, On measures of entropy and information, 1961.
"""

from refold import Scalar, Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
a = Scalar("a", positive=True)
SPEC = pipeline(y=((fold.logsumexp(a * x[i, j], over=j) - a * fold.logsumexp(x[i, j], over=j)) / (1 - a))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
