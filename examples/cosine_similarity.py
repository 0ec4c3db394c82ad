"""Cosine similarity of two rows: y = x . y / max(|x| |y|, eps)."""

from refold import Scalar, Tensor, axes, fold, maximum, pipeline, sqrt
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x, z = Tensor("x", i, j), Tensor("z", i, j)
eps = Scalar("eps", positive=True)
norms = sqrt(fold.sum(x[i, j] ** 2, over=j)) * sqrt(fold.sum(z[i, j] ** 2, over=j))
SPEC = pipeline(y=(fold.sum(x[i, j] * z[i, j], over=j) / maximum(norms, eps))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
