"""Softmax over both axes of a patch, as saliency maps and spatial attention have it."""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "softmax"

n, a, b = axes("n a b")
x = Tensor("x", n, a, b)
p = exp(x[n, a, b] - fold.max(x[n, a, b], over=(a, b)))
SPEC = pipeline(y=(p / fold.sum(p, over=(a, b)))[n, a, b])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
