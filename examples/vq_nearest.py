"""The nearest entry of a codebook, and the entry itself: at = argmin_j |z - e_j|^2, y = e[at].

The quantiser of a VQ-VAE: van den Oord et al., Neural discrete representation learning, arXiv 1711.00937. Of entries
that are equally near the first is taken. Distances are held in no memory, and one row of the codebook is read again.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "selection"

i, j, d, e = axes("i j d e")
z = Tensor("z", i, d)
codebook = Tensor("codebook", j, d)
at = fold.argmin(fold.sum((z[i, d] - codebook[j, d]) ** 2, over=d), over=j)
SPEC = pipeline(code=at[i], y=codebook[at, e][i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
