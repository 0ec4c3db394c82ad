"""Cross-entropy with smoothed labels: loss = (1 - a) (lse - x_target) + a (lse - mean x).

Szegedy et al., Rethinking the Inception Architecture for Computer Vision, arXiv 1512.00567, section 7.
"""

from refold import Scalar, Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
target = Tensor("target", i, dtype="int64")
a = Scalar("a", positive=True)
lse = fold.logsumexp(x[i, c], over=c)
mean = fold.sum(x[i, c], over=c) / c.size
SPEC = pipeline(loss=((1 - a) * (lse - x[i, target[i]]) + a * (lse - mean))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
