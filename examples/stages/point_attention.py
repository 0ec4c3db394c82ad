"""Invariant point attention: s = q . k / sqrt(n) + b - w sum_p |T q_p - T k_p|^2, over scalars, pairs and points.

Points are in the frame of all, three numbers each along one axis; their distance is multiplied out, and all three
streams of values are summed in one pass. Jumper et al., Highly accurate protein structure prediction with AlphaFold,
Nature 596, 2021, supplement, algorithm 22.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

h, i, j, d, p, e, c, x = axes("h i j d p e c x")
q, k, b = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("b", h, i, j)
q_points, k_points, w = Tensor("q_points", h, i, p), Tensor("k_points", h, j, p), Tensor("w", h)
v, pairs, points = Tensor("v", h, j, e), Tensor("pairs", i, j, c), Tensor("points", h, j, x)
distance = fold.sum((q_points[h, i, p] - k_points[h, j, p]) ** 2, over=p)
s = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size) + b[h, i, j] - w[h] * distance
weight = exp(s - fold.max(s, over=j))
total = fold.sum(weight, over=j)
SPEC = pipeline(
    o=(fold.sum(weight * v[h, j, e], over=j) / total)[h, i, e],
    o_pairs=(fold.sum(weight * pairs[i, j, c], over=j) / total)[h, i, c],
    o_points=(fold.sum(weight * points[h, j, x], over=j) / total)[h, i, x],
)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
