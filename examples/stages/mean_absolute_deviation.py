"""Mean absolute deviation around the mean: y = mean |x - mean x|.

Two stages: |x - mean| does not separate into functions of the mean and of the element (Gorard, 2005).
"""

from refold import Tensor, absolute, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
mean = fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(y=(fold.sum(absolute(x[i, j] - mean), over=j) / j.size)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
