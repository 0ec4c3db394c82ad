"""Block-causal attention, as block diffusion has it: row i sees all keys of its own block and of those before.

Arriola et al., Block Diffusion, arXiv 2503.09573, section 3.2.
"""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
block = Scalar("block", integer=True, positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where(j // block <= i // block, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
