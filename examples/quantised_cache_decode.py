"""Decoding over a quantised cache: keys and values are codes times a scale and plus a zero point of each position.

Liu et al., KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache, arXiv 2402.02750.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "decoding"

j, d, e = axes("j d e")
q, k, v = Tensor("q", d), Tensor("k", j, d), Tensor("v", j, e)
k_scale, k_zero, v_scale, v_zero = (Tensor(name, j) for name in ("k_scale", "k_zero", "v_scale", "v_zero"))
s = fold.sum(q[d] * (k[j, d] * k_scale[j] + k_zero[j]), over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * (v[j, e] * v_scale[j] + v_zero[j]), over=j) / fold.sum(p, over=j))[e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
