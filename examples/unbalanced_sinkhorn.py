"""A step of unbalanced transport: f = -r t / (r + t) log sum exp((g - c) / t + b), b the logarithm of a mass.

Chizat, Peyre, Schmitzer, Vialard, Scaling Algorithms for Unbalanced Transport Problems, arXiv 1607.05816: the marginal
is asked for by r times a divergence alone; r = oo is the step of Sinkhorn.
"""

from refold import Scalar, Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "iterations"

i, j = axes("i j")
c, g, b = Tensor("c", i, j), Tensor("g", j), Tensor("b", j)
t, r = Scalar("t", positive=True), Scalar("r", positive=True)
SPEC = pipeline(f=(-r * t / (r + t) * fold.logsumexp((g[j] - c[i, j]) / t + b[j], over=j))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
