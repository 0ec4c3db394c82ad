"""Global keys beside a causal window: row i sees the first `shared` keys it may see, and the last `window` ones.

Beltagy, Peters and Cohan, Longformer, arXiv 2004.05150, section 3.1; as attention sinks, Xiao et al., arXiv 2309.17453.
The tiles between the two are found to hold nothing before anything is loaded, and are not run.
"""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
shared, window = Scalar("shared", integer=True, positive=True), Scalar("window", integer=True, positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where((j <= i) & ((j < shared) | (i - j < window)), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
