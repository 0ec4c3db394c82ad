"""Cross-entropy with integer targets: loss = log sum_c exp(x_c) - x_target, and 0 where the target is -100."""

from refold import Tensor, axes, fold, pipeline, where
from refold.examples import show

GROUP = "losses"

IGNORE = -100

i, c = axes("i c")
x = Tensor("x", i, c)
target = Tensor("target", i, dtype="int64")
nll = fold.logsumexp(x[i, c], over=c) - x[i, target[i]]
SPEC = pipeline(loss=where(target[i] != IGNORE, nll, 0)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
