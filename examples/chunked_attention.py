"""Causal attention within chunks of a fixed length: row i sees j <= i from the beginning of its own chunk on.

As the local layers of Llama 4 have it (Meta, The Llama 4 herd, 2025).
"""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
chunk = Scalar("chunk", integer=True, positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where((i // chunk * chunk <= j) & (j <= i), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
