"""Power mean of positive numbers: y = (mean x^p)^(1/p); generalised mean pooling where p is learned.

Radenović, Tolias and Chum, Fine-tuning CNN Image Retrieval with No Human Annotation, arXiv 1711.02512.
"""

from refold import Scalar, Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j, positive=True)
p = Scalar("p", positive=True)
SPEC = pipeline(y=((fold.sum(x[i, j] ** p, over=j) / j.size) ** (1 / p))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
