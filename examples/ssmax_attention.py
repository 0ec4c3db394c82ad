"""Scalable-softmax: softmax over j <= i of scale log(i + 1) q k', sharper where a row sees more keys.

Nakanishi, Scalable-Softmax Is Superior for Attention, arXiv 2501.19399.
"""

from refold import Scalar, Tensor, axes, exp, fold, log, oo, pipeline, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
scale = Scalar("scale")
s = where(j <= i, scale * log(i + 1) * fold.sum(q[i, d] * k[j, d], over=d), -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
