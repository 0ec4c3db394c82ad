"""Both maps of differential attention are divided by the sum of the first."""

from refold import Scalar, Tensor, axes, claim, exp, fold, maximum, oo, pipeline

i, j, e = axes("i j e")
s1, s2, v = Tensor("s1", i, j), Tensor("s2", i, j), Tensor("v", j, e)
share = Scalar("share")
p1 = exp(s1[i, j] - fold.max(s1[i, j], over=j))
p2 = exp(s2[i, j] - fold.max(s2[i, j], over=j))
o1 = fold.sum(p1 * v[j, e], over=j) / fold.sum(p1, over=j)
o2 = fold.sum(p2 * v[j, e], over=j) / fold.sum(p2, over=j)
SPEC = pipeline(o=(o1 - share * o2)[i, e])


def step(a, c):
    m, n = maximum(a.m, c.s), maximum(a.n, c.t)
    return {
        "m": m,
        "l": a.l * exp(a.m - m) + exp(c.s - m),
        "o": a.o * exp(a.m - m) + exp(c.s - m) * c.v,
        "n": n,
        "u": a.u * exp(a.n - n) + exp(c.t - n) * c.v,
    }


CLAIM = claim(
    SPEC,
    element={"s": s1[i, j], "t": s2[i, j], "v": v[j, e]},
    init={"m": -oo, "l": 0, "o": 0, "n": -oo, "u": 0},
    step=step,
    finish=lambda a: (a.o - share * a.u) / a.l,
)
EXPECTED = ("finish o", "at the end", "one element at a time")
