"""Log-sum-exp of every row, without a max as written: y = log sum exp(x)."""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "softmax"

i, j = axes("i j")
x = Tensor("x", i, j)
SPEC = pipeline(y=fold.logsumexp(x[i, j], over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
