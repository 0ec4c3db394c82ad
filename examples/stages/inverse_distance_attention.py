"""Attention by inverse distances: sum w v / sum w, w = 1 / (eps + |q - k|^2).

McCarter, Inverse distance weighting attention, arXiv 2310.18805. The distance is
multiplied out into a product of tiles.
"""

from refold import Scalar, Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
eps = Scalar("eps", positive=True)
w = 1 / (eps + fold.sum((q[i, d] - k[j, d]) ** 2, over=d))
SPEC = pipeline(o=(fold.sum(w * v[j, e], over=j) / fold.sum(w, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
