"""Cross-entropy with z-loss: loss = lse - x_target + z lse^2, with lse = log sum_c exp(x_c).

Chowdhery et al., PaLM: Scaling Language Modeling with Pathways, arXiv 2204.02311, section 5.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, where
from refold.examples import show

GROUP = "losses"

IGNORE = -100

i, c = axes("i c")
x = Tensor("x", i, c)
target = Tensor("target", i, dtype="int64")
z = Scalar("z", positive=True)
lse = fold.logsumexp(x[i, c], over=c)
SPEC = pipeline(loss=where(target[i] != IGNORE, lse - x[i, target[i]] + z * lse**2, 0)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
