"""Performer without a mask: o = phi(q) (phi(k)' v) / (phi(q) sum phi(k)), phi given by features of q and k.

Choromanski et al., Rethinking Attention with Performers, arXiv 2009.14794.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "attention"

i, j, r, e = axes("i j r e")
fq, fk, v = Tensor("fq", i, r, positive=True), Tensor("fk", j, r, positive=True), Tensor("v", j, e)
a = fold.sum(fq[i, r] * fk[j, r], over=r)
SPEC = pipeline(o=(fold.sum(a * v[j, e], over=j) / fold.sum(a, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
