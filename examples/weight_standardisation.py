"""Weight standardisation: w^ = (w - mean w) / (sqrt(variance) + eps), over all inputs of an output channel.

Qiao et al., Micro-Batch Training with Batch-Channel Normalization and Weight Standardization, arXiv 1903.10520.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

o, c = axes("o c")
w = Tensor("w", o, c)
eps = Scalar("eps", positive=True)
z = w[o, c] - fold.sum(w[o, c], over=c) / c.size
SPEC = pipeline(y=(z / (sqrt(fold.sum(z**2, over=c) / c.size) + eps))[o, c])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
