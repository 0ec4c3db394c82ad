"""ScaleNorm: y = g x / max(|x|, eps), with one learned length g.

Nguyen and Salazar, Transformers without Tears, arXiv 1910.05895.
"""

from refold import Scalar, Tensor, axes, fold, maximum, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x = Tensor("x", i, j)
g, eps = Scalar("g"), Scalar("eps", positive=True)
SPEC = pipeline(y=(g * x[i, j] / maximum(sqrt(fold.sum(x[i, j] ** 2, over=j)), eps))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
