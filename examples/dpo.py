"""Direct preference optimisation: loss = -log sigmoid(beta (sum (won - won_ref) - sum (lost - lost_ref))).

Rafailov et al., Direct Preference Optimization: Your Language Model is Secretly a Reward Model, arXiv 2305.18290, from
log-probabilities of the tokens of two answers; the logarithm is taken of what neither overflows nor becomes 0.
"""

from refold import Scalar, Tensor, absolute, axes, exp, fold, log, pipeline, relu
from refold.examples import show

GROUP = "losses"

b, t = axes("b t")
won, won_ref = Tensor("won", b, t), Tensor("won_ref", b, t)
lost, lost_ref = Tensor("lost", b, t), Tensor("lost_ref", b, t)
beta = Scalar("beta", positive=True)
gain = fold.sum(won[b, t] - won_ref[b, t], over=t) - fold.sum(lost[b, t] - lost_ref[b, t], over=t)
z = beta * gain
SPEC = pipeline(loss=(relu(-z) + log(1 + exp(-absolute(z))))[b])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
