"""Poly-1 cross-entropy: loss = nll + a (1 - p), p = exp(-nll).

Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions, arXiv 2204.12511.
"""

from refold import Scalar, Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
target = Tensor("target", i, dtype="int64")
a = Scalar("a")
m = fold.max(x[i, c], over=c)
mass = fold.sum(exp(x[i, c] - m), over=c)
right = x[i, target[i]] - m
SPEC = pipeline(loss=(log(mass) - right + a * (1 - exp(right) / mass))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
