"""DoRA's norm of every adapted row, factored: |W + s B A|^2 = |W|^2 + 2 s <W, B A> + s^2 <B, B (A A')>, by row.

Liu et al., DoRA: Weight-decomposed low-rank adaptation, arXiv 2402.09353. The matrix A A' is read by r and t, two
letters for one axis of A. Where a tile's part of B A may be held, `dora_norm` is one pass, and takes no differences.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

o, i, r, t = axes("o i r t")
w, a, b = Tensor("w", o, i), Tensor("a", r, i), Tensor("b", o, r)
s = Scalar("s")
base = fold.sum(w[o, i] ** 2, over=i)
cross = fold.sum(b[o, r] * fold.sum(w[o, i] * a[r, i], over=i), over=r)
gram = fold.sum(a[r, i] * a[t, i], over=i)
square = fold.sum(b[o, r] * fold.sum(b[o, t] * gram, over=t), over=r)
SPEC = pipeline(norm=sqrt(base + 2 * s * cross + s**2 * square)[o])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
