"""Cosine attention: softmax(q^ k^' / tau) v, with q^ = q / |q| and k^ = k / |k|.

Henry et al., Query-Key Normalization for Transformers, arXiv 2010.04245; Liu et al., Swin Transformer V2, arXiv
2111.09883.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
tau = Scalar("tau", positive=True)
q_norm = sqrt(fold.sum(q[i, d] ** 2, over=d))
k_norm = sqrt(fold.sum(k[j, d] ** 2, over=d))
s = fold.sum(q[i, d] * k[j, d], over=d) / (q_norm * k_norm * tau)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
