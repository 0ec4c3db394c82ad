"""Global response normalisation: y = g n_c x + b + x, n_c = |x_c| / (mean_c |x_c| + eps), |x_c| over positions.

Woo et al., ConvNeXt V2, arXiv 2301.00808.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

n, p, c = axes("n p c")
x, g, b = Tensor("x", n, p, c), Tensor("g", c), Tensor("b", c)
eps = Scalar("eps", positive=True)
length = sqrt(fold.sum(x[n, p, c] ** 2, over=p))
mean = fold.sum(length, over=c) / c.size
SPEC = pipeline(y=(g[c] * x[n, p, c] * length / (mean + eps) + b[c] + x[n, p, c])[n, p, c])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
