"""Euclidean norm with a running scale: y = r sqrt(sum (x / r)^2), r = max |x|: no square overflows.

Blue, A Portable Fortran Program to Find the Euclidean Norm of a Vector, 1978; LAPACK's lassq.
"""

from refold import Tensor, absolute, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
r = fold.max(absolute(x[i, j]), over=j)
SPEC = pipeline(y=(r * sqrt(fold.sum((x[i, j] / r) ** 2, over=j)))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
