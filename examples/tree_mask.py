"""Tree attention of speculative decoding: node i sees node j where j is an ancestor of it, or is itself.

By the times first[j] <= first[i] <= last[j] at which a walk enters and leaves the subtree of j.
Miao et al., SpecInfer, arXiv 2305.09781; Cai et al., Medusa, arXiv 2401.10774.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
enter = Tensor("enter", i, dtype="int32")
first, last = Tensor("first", j, dtype="int32"), Tensor("last", j, dtype="int32")
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where((first[j] <= enter[i]) & (enter[i] <= last[j]), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
