"""Pearson's correlation of two rows, written by raw moments and carried by centred ones:

r = (E[x y] - E[x] E[y]) / sqrt((E[x^2] - E[x]^2) (E[y^2] - E[y]^2)).

Schubert and Gertz, Numerically stable parallel computation of (co-)variance, SSDBM 2018.
"""

from refold import Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x, y = Tensor("x", i, j)[i, j], Tensor("y", i, j)[i, j]
mx, my, mxx, myy, mxy = (fold.sum(value, over=j) / j.size for value in (x, y, x**2, y**2, x * y))
SPEC = pipeline(r=((mxy - mx * my) / sqrt((mxx - mx**2) * (myy - my**2)))[i], centred=True)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
