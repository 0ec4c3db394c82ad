"""Min-max scaling: y = (x - min x) / (max x - min x + eps)."""

from refold import Scalar, Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x = Tensor("x", i, j)
eps = Scalar("eps", positive=True)
low, high = fold.min(x[i, j], over=j), fold.max(x[i, j], over=j)
SPEC = pipeline(y=((x[i, j] - low) / (high - low + eps))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
