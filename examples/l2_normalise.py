"""L2-normalise: y = x / max(|x|, eps).

torch.nn.functional.normalize; FaceNet (Schroff et al., arXiv 1503.03832) and most embeddings since.
"""

from refold import Scalar, Tensor, axes, fold, maximum, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x = Tensor("x", i, j)
eps = Scalar("eps", positive=True)
SPEC = pipeline(y=(x[i, j] / maximum(sqrt(fold.sum(x[i, j] ** 2, over=j)), eps))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
