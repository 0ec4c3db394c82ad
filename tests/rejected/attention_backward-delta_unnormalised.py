"""The gradient of the queries subtracts the unfinished sum of P dP, not yet divided by l."""

from refold import Tensor, axes, claim, exp, finite_or, fold, log, maximum, oo, pipeline

i, j, f = axes("i j f")
s, dp, k = Tensor("s", i, j), Tensor("dp", i, j), Tensor("k", j, f)
w = exp(s[i, j] - fold.max(s[i, j], over=j))
p = w / fold.sum(w, over=j)
delta = fold.sum(p * dp[i, j], over=j)
SPEC = pipeline(dq=fold.sum(p * (dp[i, j] - delta) * k[j, f], over=j)[i, f])


def step(a, c):
    m = maximum(a.m, c.s)
    old, w = exp(a.m - m), exp(c.s - m)
    return {
        "m": m,
        "l": a.l * old + w,
        "delta": a.delta * old + w * c.dp,
        "dk": a.dk * old + w * c.dp * c.k,
        "k": a.k * old + w * c.k,
    }


CLAIM = claim(
    SPEC,
    element={"s": s[i, j], "dp": dp[i, j], "k": k[j, f]},
    init={"m": -oo, "l": 0, "delta": 0, "dk": 0, "k": 0},
    step=step,
    finish=lambda a: (a.dk - a.delta * a.k) * exp(-finite_or(log(a.l), 0)),
)
EXPECTED = ("finish dq", "at the end", "one element at a time")
