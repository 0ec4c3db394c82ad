"""A step of slot attention: w = softmax of q k' / sqrt(d) over slots, plus eps; then sum w v / sum w over inputs.

Locatello et al., Object-Centric Learning with Slot Attention, arXiv 2006.15055: slots compete for inputs.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

n, s, d = axes("n s d")
k, v, q = Tensor("k", n, d), Tensor("v", n, d), Tensor("q", s, d)
eps = Scalar("eps", positive=True)
score = fold.sum(k[n, d] * q[s, d], over=d) / sqrt(d.size)
p = exp(score - fold.max(score, over=s))
w = p / fold.sum(p, over=s) + eps
SPEC = pipeline(updates=(fold.sum(w * v[n, d], over=n) / fold.sum(w, over=n))[s, d])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
