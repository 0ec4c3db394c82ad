"""Focal loss: loss = (1 - p)^gamma (lse - x_target), p = exp(x_target - lse): easy rows weigh little.

Lin et al., Focal Loss for Dense Object Detection, arXiv 1708.02002.
"""

from refold import Scalar, Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
target = Tensor("target", i, dtype="int64")
gamma = Scalar("gamma", positive=True)
m = fold.max(x[i, c], over=c)
mass = fold.sum(exp(x[i, c] - m), over=c)
right = x[i, target[i]] - m
SPEC = pipeline(loss=((1 - exp(right) / mass) ** gamma * (log(mass) - right))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
