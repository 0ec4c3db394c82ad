"""Sliding-window attention: row i sees its own key and the window - 1 keys before it.

Beltagy, Peters and Cohan, Longformer, arXiv 2004.05150; causal as in Mistral 7B, arXiv 2310.06825.
"""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
window = Scalar("window", integer=True, positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where((j <= i) & (i - j < window), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
