"""Log-softmax of every row: y = x - m - log sum exp(x - m), with m = max x."""

from refold import Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "softmax"

i, j = axes("i j")
x = Tensor("x", i, j)
z = x[i, j] - fold.max(x[i, j], over=j)
SPEC = pipeline(y=(z - log(fold.sum(exp(z), over=j)))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
