"""Pipelines that the tests of `emit` share, and a program that runs their kernels in Triton's interpreter.

`python emit_cases.py MODE [NAMES]` prints JSON. A process of its own, since TRITON_INTERPRET decides when triton is
first imported.
"""

import functools
import importlib.util
import itertools
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from refold.algebra import Plan, derive
from refold.emit import Kernel, emit
from refold.spec import (
    Scalar,
    Spec,
    Tensor,
    axes,
    exp,
    fold,
    log,
    maximum,
    oo,
    pipeline,
    sigmoid,
    sqrt,
    tanh,
    where,
)
from refold.verify import Proof, Result

i, j, d, e, h, g = axes("i j d e h g")
q, k, v, x = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e), Tensor("x", i, j)
c = Tensor("c", j)
eps, window, cap = (
    Scalar("eps", positive=True),
    Scalar("window", integer=True, positive=True),
    Scalar("cap", positive=True),
)
score = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
top = fold.max(x[i, j], over=j)
mass = fold.sum(exp(x[i, j] - top), over=j)
mean = fold.sum(x[i, j], over=j) / j.size
variance = fold.sum((x[i, j] - mean) ** 2, over=j) / j.size


def attention(s: Any, **options: Any) -> Spec:
    p = exp(s - fold.max(s, over=j))
    return pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], **options)


def grouped(*rows: Any) -> Spec:
    """Query heads that share key heads, with a row axis or without."""
    query = Tensor("q", h, *rows, d)
    keys, values, head = Tensor("k", g, j, d), Tensor("v", g, j, e), h // (h.size // g.size)
    s = fold.sum(query[(h, *rows, d)] * keys[head, j, d], over=d) / sqrt(d.size)
    p = exp(s - fold.max(s, over=j))
    total = fold.sum(p * values[head, j, e], over=j) / fold.sum(p, over=j)
    return pipeline(o=total[(h, *rows, e)])


def single_query() -> Spec:
    s = fold.sum(Tensor("q", d)[d] * k[j, d], over=d) / sqrt(d.size)
    p = exp(s - fold.max(s, over=j))
    return pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[e])


def documents() -> Spec:
    mine, theirs = Tensor("mine", i, dtype="int64"), Tensor("theirs", j, dtype="int32")
    return attention(where((mine[i] == theirs[j]) & (j <= i), score, -oo), empty=0)


def lengths() -> Spec:
    return attention(where(j < Tensor("n", i, dtype="int32")[i], score, -oo), empty=0)


def cross_entropy() -> Spec:
    t = Tensor("t", i, dtype="int64")
    loss = fold.logsumexp(x[i, j], over=j) - x[i, t[i]]
    return pipeline(loss=where(t[i] != Scalar("ignore", integer=True), loss, 0)[i])


def performer() -> Spec:
    c1, c2, c3, a = (Tensor(n, j) for n in ("c1", "c2", "c3", "a"))
    w = exp(c1[j] - fold.max(c1[j], over=j) - Scalar("b") * c2[j] * c3[j])
    return pipeline(o=fold.sum(a[j] * c3[j] * w / fold.sum(w, over=j), over=j))


def sink() -> Spec:
    z = Scalar("z")
    m = maximum(fold.max(score, over=j), z)
    p = exp(score - m)
    return pipeline(o=(fold.sum(p * v[j, e], over=j) / (fold.sum(p, over=j) + exp(z - m)))[i, e])


def affine() -> Spec:
    w, b = Tensor("w", j), Tensor("b", j)
    return pipeline(y=((x[i, j] - mean) / sqrt(variance + eps) * w[j] + b[j])[i, j])


def weights() -> Spec:
    p = exp(score - fold.max(score, over=j))
    return pipeline(p=(p / fold.sum(p, over=j))[i, j])


def total(body: Any) -> Any:
    return fold.sum(body, over=j)


def middle(power: int) -> Spec:
    """Moments about an anchor that is an expression of two accumulators."""
    return pipeline(y=fold.sum((x[i, j] - (top + fold.min(x[i, j], over=j)) / 2) ** power, over=j)[i])


def chunked(rows: Any, positions: Any) -> Spec:
    return attention(where(rows == positions, score, -oo), empty=0)


def strided_heads() -> Spec:
    """Query heads that share every other key head."""
    kv = Tensor("kv", g, j, d)
    s = fold.sum(Tensor("q", h, d)[h, d] * kv[2 * (h // 4), j, d], over=d)
    return pipeline(y=fold.logsumexp(s, over=j)[h])


def masked_table(s: Any) -> Spec:
    """Scores that vary with the row by their mask alone."""
    return pipeline(y=(Tensor("w", i)[i] * fold.logsumexp(where(j // 3 > i - 3, s, -oo), over=j))[i])


# Of positive data: what is not finite at 0, as which data is loaded beyond the end of an axis.
POSITIVE: dict[str, Callable[[], Spec]] = {
    "inner_kl": lambda: attention(fold.sum(q[i, d] * log(q[i, d] / k[j, d]), over=d)),
    "inner_quotient": lambda: attention(fold.sum(q[i, d] ** 2 / k[j, d], over=d) / d.size),
    "inner_row": lambda: pipeline(y=fold.sum(x[i, j] * fold.sum(k[j, d] * log(k[j, d]), over=d), over=j)[i]),
    "sum_of_logs": lambda: pipeline(y=fold.sum(exp(score - fold.max(score, over=j)) * log(v[j, e]), over=j)[i, e]),
    "weighted_logs": lambda: pipeline(y=fold.sum(exp(x[i, j] - top) * log(k[j, d]), over=j)[i, d]),
    "shifted_scores": lambda: pipeline(y=fold.logsumexp(x[i, j] - 1 / x[i, j], over=j)[i]),
}

CASES: dict[str, Callable[[], Spec]] = {
    "softmax": lambda: pipeline(y=(exp(x[i, j] - top) / mass)[i, j]),
    "log_softmax": lambda: pipeline(y=(x[i, j] - top - log(mass))[i, j]),
    "logsumexp": lambda: pipeline(y=fold.logsumexp(x[i, j], over=j)[i]),
    "rms_norm": lambda: pipeline(y=(x[i, j] / sqrt(fold.sum(x[i, j] ** 2, over=j) / j.size + eps))[i, j]),
    "layer_norm": affine,
    "entropy": lambda: pipeline(h=(log(mass) - fold.sum((x[i, j] - top) * exp(x[i, j] - top), over=j) / mass)[i]),
    "third_moment": lambda: pipeline(y=(fold.sum((x[i, j] - mean) ** 3, over=j) / j.size)[i]),
    "argmax": lambda: pipeline(y=fold.argmax(x[i, j], over=j)[i]),
    "cross_entropy": cross_entropy,
    "performer": performer,
    "attention": lambda: attention(score),
    "causal": lambda: attention(where(j <= i, score, -oo), empty=0),
    "causal_end": lambda: attention(where(j <= i + (j.size - i.size), score, -oo), empty=0),
    "window": lambda: attention(where((j <= i) & (j > i - window), score, -oo), empty=0),
    "alibi": lambda: attention(where(j <= i, score + Scalar("slope") * (j - i), -oo), empty=0),
    "softcap_causal": lambda: attention(where(j <= i, cap * tanh(score / cap), -oo), empty=0),
    "softcap": lambda: attention(cap * tanh(score / cap)),
    "sigmoid": lambda: pipeline(o=fold.sum(sigmoid(score) * v[j, e], over=j)[i, e]),
    "sink": sink,
    "documents": documents,
    "lengths": lengths,
    "grouped": lambda: grouped(i),
    "grouped_decode": lambda: grouped(),
    "decode": single_query,
    "weights": weights,
    "middle": lambda: middle(2),
    "middle_cubed": lambda: middle(3),
    "chunked": lambda: chunked(i // window, j // window),
    "block_causal": lambda: attention(where(j < window * (i // window) + window, score, -oo), empty=0),
    "since_block": lambda: attention(where(j >= i - i % window, score, -oo), empty=0),
    "band": lambda: attention(where(abs(i - j) <= window, score, -oo), empty=0),
    "alternating": lambda: pipeline(y=fold.max(x[i, j] * (3 - j % 2) - (i - j) % 3, over=j)[i]),
    "powers": lambda: pipeline(
        a=fold.sum(x[i, j] ** Scalar("power", integer=True), over=j)[i],
        b=fold.sum(x[i, j] ** 10, over=j)[i],
        c=fold.sum(abs(x[i, j]) ** (Scalar("slope") + Scalar("z")), over=j)[i],
    ),
    "decay": lambda: pipeline(y=fold.sum(x[i, j] * Scalar("rate") ** (abs(i - j) % 5), over=j)[i]),
    "guards_of_a_row_and_a_tile": lambda: pipeline(
        y=(total(c[j] * v[j, e]) / (total(c[j] ** 2) * total(v[j, e] ** 2)))[e], empty=0
    ),
    "scaled_square": lambda: pipeline(y=fold.max(2 * x[i, j] ** 2, over=j)[i]),
    "strided_heads": strided_heads,
    "rounded": lambda: pipeline(
        y=total(math.floor(x[i, j]) + 10 * math.ceil(x[i, j]))[i],
        z=math.floor(fold.max(math.floor(-2 * x[i, j] / c[j]), over=j) / 3)[i],
    ),
    "sum_of_dots": lambda: attention(Scalar("slope") * (score + fold.sum(q[i, d] * Tensor("k2", j, d)[j, d], over=d))),
    "weighted_positions": lambda: pipeline(y=fold.sum(c[j] * j, over=j)),
    "integers_alone": lambda: pipeline(y=fold.sum(Tensor("whole", i, j, dtype="int32")[i, j] * j, over=j)[i]),
    "tenth_power": lambda: pipeline(y=fold.sum((x[i, j] / 8) ** 10, over=j)[i]),
    "two_anchors": lambda: pipeline(y=total((x[i, j] - top) * (x[i, j] - fold.min(x[i, j], over=j)))[i]),
    "masked_total": lambda: pipeline(y=total(where(j <= i + window, x[i, j], -oo))[i]),
    "scores_on_both_sides": lambda: pipeline(y=fold.logsumexp(where(j <= i, score, score - 1), over=j)[i]),
    "masked_table": lambda: masked_table(c[4 * (j // 4)] + fold.sum(k[j, d], over=d)),
} | POSITIVE  # fmt: skip
SIZES = {"i": 33, "j": 37, "d": 24, "e": 7, "h": 6, "g": 3}
SCALARS: dict[str, float | int] = {
    "eps": 0.1,
    "window": 5,
    "cap": 2.0,
    "slope": 0.25,
    "b": 0.5,
    "z": 0.5,
    "ignore": -100,
    "power": 3,
    "rate": -0.75,
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "rolling": {"schedule": "rolling"},
    "split": {"schedule": "split", "splits": 2},
    "empty": {"schedule": "split", "splits": 7},
}


@cache
def plan_of(name: str) -> Plan:
    plan = derive(CASES[name]())
    assert isinstance(plan, Plan)
    return plan


@cache
def kernel_of(name: str) -> Kernel:
    return emitted(plan_of(name), f"k_{name}")


def emitted(plan: Plan, name: str) -> Kernel:
    """The kernel with a stand-in for the proof: what is emitted does not depend on it."""
    return emit(Proof(plan, (Result("stand-in", "", "proved", 0.0, ""),), ()), name)


def load(kernel: Kernel, folder: Path, name: str = "") -> ModuleType:
    """The module of a kernel file, in a file that may be called otherwise."""
    name = name or kernel.name
    path = folder / f"{name}.py"
    for file, text in kernel.code.items():
        (folder / file).write_text(text)
    path.write_text(kernel.source)
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def inputs_of(spec: Spec, size: dict[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Float32 tensors that grow along j, so that a later tile moves the anchors, and the scalars."""
    import torch

    g = torch.Generator().manual_seed(1)
    tensors = {}
    for t in spec.tensors:
        shape = [size[a.name] for a in t.axes]
        if t.is_integer:
            high = 3 if t.name in ("mine", "theirs") else size["j"]
            x = torch.randint(0, high, shape, generator=g, dtype=getattr(torch, t.dtype))
            if t.name == "t":
                x[1] = -100
        else:
            x = torch.randn(shape, generator=g)
            if t.axes[-1].name == "j":
                x = x * (1 + torch.arange(size["j"]) / 8)
        tensors[t.name] = x
    return tensors, {p.name: SCALARS[p.name] for p in spec.params}


def error(module: ModuleType, name: str, spec: Spec, size: dict[str, int], options: dict[str, Any],
          factor: float = 1.0) -> float:  # fmt: skip
    """The largest difference from the oracle, relative to the largest value; infinite where one side is no number."""
    import numpy as np

    tensors, scalars = inputs_of(spec, size)
    positive = name.removeprefix("k_") in POSITIVE
    tensors = {n: x * factor if x.is_floating_point() else x for n, x in tensors.items()}
    tensors = {n: x.abs() + 0.1 if positive and x.is_floating_point() else x for n, x in tensors.items()}
    want = spec(**{n: t.numpy() for n, t in tensors.items()}, **scalars)
    got = getattr(module, name)(*tensors.values(), **scalars, block_m=16, block_n=16, **options)
    if not isinstance(got, dict):
        got, want = {"": got}, {"": want}

    def worst(have: Any, exact: Any) -> float:
        finite = np.isfinite(exact)
        if not np.array_equal(have[~finite], exact[~finite], equal_nan=True) or not np.isfinite(have[finite]).all():
            return float("inf")
        have, exact = have[finite], exact[finite]
        return float(np.max(np.abs(have - exact), initial=0) / (1 + np.max(np.abs(exact), initial=0)))

    return max(worst(x.double().numpy(), want[n]) for n, x in got.items())


def run(folder: Path, *names: str) -> dict[str, dict[str, float]]:
    found = {}
    for name in names:
        module, spec = load(kernel_of(name), folder), plan_of(name).spec
        longer = SIZES | {"i": 40, "j": 18}
        found[name] = {f"{s}": error(module, f"k_{name}", spec, SIZES, o) for s, o in SCHEDULES.items()}
        found[name]["more rows than positions"] = error(module, f"k_{name}", spec, longer, {})
    return found


MUTANTS = (
    ("causal", "acc * alpha[:, None], input", "acc, input", "no rescale of the output"),
    ("causal", "l * alpha + tl.sum", "l + tl.sum", "no rescale of the sum"),
    ("causal", "acc_part * alpha_2[:, None]", "acc_part * alpha[:, None]", "the other part's scale"),
    ("causal", "j[None, :] <= i[:, None]", "j[None, :] < i[:, None]", "mask off by one"),
    ("causal", "first_row + 1)", "last_row + 1)", "masked tiles run as unmasked"),
    ("causal", "last_row + 1)", "last_row)", "the last position skipped"),
    ("attention", "in_j[None, :], dot, -float", "in_j[None, :], dot, 0 * float", "padding counts"),
    ("layer_norm", "* n + M2", "+ M2", "the shift of M2 without its weight"),
    ("layer_norm", "(mean_part - mean) * (n_part", "(mean_part - mean) * (n", "the other part's weight"),
    ("argmax", "tl.minimum(at, at_part)", "tl.maximum(at, at_part)", "the last of equals"),
    ("entropy", "l * alpha", "alpha", "a family member dropped"),
)


# What tensor descriptors can read, and layouts of which they read the first and the last.
BOXED = ("attention", "causal", "softcap", "grouped")
LAYOUTS = ("aligned", "ragged", "strided", "broadcast")


def mutants(folder: Path) -> dict[str, float]:
    """The worst error of every mutant; `argmax` is run on equal values."""
    found = {}
    for n, (name, old, new, what) in enumerate(MUTANTS):
        kernel = kernel_of(name)
        assert old in kernel.source, f"{name}: {old} is not in the source any more"
        mutant, spec = replace(kernel, source=kernel.source.replace(old, new)), plan_of(name).spec
        module = load(mutant, folder, f"mutant_{n}")
        sizes = SIZES | ({"j": 40} if name == "argmax" else {})
        if name == "argmax":
            import torch

            got = module.k_argmax(torch.ones(3, 40), schedule="split", splits=3, block_m=16, block_n=16)
            found[what] = float(got.abs().max())
            continue
        found[what] = max(error(module, f"k_{name}", spec, sizes, o) for o in SCHEDULES.values())
    return found


def skips(folder: Path) -> dict[str, bool]:
    """Whether rows of the second document are numbers where the keys of the first, in a tile of their own, are none."""
    import torch

    module = load(kernel_of("documents"), folder)
    mine, theirs = torch.arange(33) // 16, torch.arange(37, dtype=torch.int32) // 16
    K, V = torch.randn(37, 5), torch.randn(37, 7)
    K[:16], V[:16] = torch.nan, torch.nan
    given = {"q": torch.randn(33, 5), "k": K, "v": V, "mine": mine, "theirs": theirs}
    return {
        name: bool(module.k_documents(**given, **options, block_m=16, block_n=16)[16:].isfinite().all())
        for name, options in SCHEDULES.items()
    }


def descriptors(folder: Path) -> dict[str, list[bool]]:
    """Of each pipeline and layout: whether descriptors read it, and whether pointers then give the same bits."""
    import torch

    found = {}
    for name, layout in itertools.product(BOXED, LAYOUTS):
        module, spec = load(kernel_of(name), folder), plan_of(name).spec
        width = 5 if layout == "ragged" else 8
        tensors, scalars = inputs_of(spec, SIZES | {"d": width, "e": width})
        given = {n: x.half() for n, x in tensors.items()}
        if layout == "strided":
            given = {n: x.repeat_interleave(2, -1)[..., ::2] for n, x in given.items()}
        elif layout == "broadcast":
            given = {n: x.expand(3, *x.shape) for n, x in given.items()}
        described: list[bool] = []
        describable = module.rt.describable
        module.rt.describable = lambda t, ask=describable, all_=described: all_.append(ask(t)) or all_[-1]
        call = functools.partial(getattr(module, f"k_{name}"), *given.values(), **scalars, block_m=16, block_n=16)
        boxed = call()
        module.rt.describable = lambda t: False
        module._call.known.clear()
        found[f"{name}, {layout}"] = [all(described), torch.equal(boxed, call())]
        module.rt.describable = describable
    return found


def again(folder: Path) -> dict[str, Any]:
    """The errors of calls of one key on other data, the number of keys, and what is said after a call that fits."""
    import torch

    found: dict[str, Any] = {}
    for name in ("attention", "grouped_decode", "layer_norm", "argmax", "cross_entropy"):
        module, spec = load(kernel_of(name), folder), plan_of(name).spec
        worst = []
        for options in (*SCHEDULES.values(), *SCHEDULES.values()):
            factor = 1 - len(worst) / 8
            worst.append(error(module, f"k_{name}", spec, SIZES, options, factor))
        found[name] = {"error": max(worst), "keys": len(module._call.known)}
    module = load(kernel_of("attention"), folder)
    f, keys = module.k_attention, module._call.known
    Q, K, V = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5, 2)
    f(Q, K, V, splits=2)
    said = {}
    for what, call in {
        "a float that is equal": lambda: f(Q, K, V, splits=2.0),
        "no hash": lambda: f(Q, K, V, splits=[2]),
        "a gradient": lambda: f(Q.requires_grad_(), K, V, splits=2),
        "out": lambda: f(Q.detach(), K, V, splits=2, out=[1.0]),
    }.items():
        try:
            call()
            said[what] = "nothing raised"
        except (TypeError, ValueError) as mistake:
            said[what] = str(mistake)
    with torch.no_grad():
        f(Q, K, V, splits=2)
    found["said"], found["keys"] = said, len(keys)
    # Leading dimensions that no view makes two: copied at every call.
    wide = torch.randn(3, 2, 2, 5, 4).transpose(0, 1)
    for scale in (1.0, 2.0):
        wide *= scale
        same = torch.equal(f(Q.detach(), wide, V), f(Q.detach(), wide.contiguous(), V))
        found[f"copied, {scale}"] = same
    module._call.most = 3
    keys.clear()
    for n in range(1, 6):
        f(Q.detach(), torch.randn(n, 4), torch.randn(n, 2))
    found["bounded"] = len(keys)
    return found


LAST = 2**31 - 1
limit, window_of = Tensor("limit", i, dtype="int32"), Tensor("limit", i, dtype="int64")
# Masks whose integers leave 32 bits on the way, with the scalar and the data that make them.
FAR: dict[str, tuple[Any, Any, int, tuple[int, ...]]] = {
    "band": (j <= i + window, None, LAST, ()),
    "from below": (j > i - window, None, LAST, ()),
    "beyond 32 bits": ((j <= i + window) & (j + window > i), None, 2**40, ()),
    "one block": (i // window == j // window, None, LAST, ()),
    "block end": (j < window * (i // window) + window, None, LAST, ()),
    "remainder": (j >= i - i % window, None, 2**31 - 16, ()),
    "limit": (j <= limit[i], limit, 1, (LAST, LAST - 1, 3, -1, -LAST - 1)),
    "limit and window": (j <= limit[i] + window, limit, 7, (LAST, LAST - 7, 3, -2, -LAST - 1)),
    "before a limit": (j > limit[i] - window, limit, LAST, (LAST, 5, -1, -LAST - 1)),
    "twice a limit": (2 * limit[i] >= j, limit, 1, (LAST, 2**30, 5, -(2**30) - 1)),
    "wide limit": (j <= window_of[i] + 1, window_of, 1, (2**40, 2**31, 4, -(2**40))),
}


def far(folder: Path) -> dict[str, Any]:
    """The largest error under every mask of FAR and schedule; the integers chosen where a stride goes far."""
    import numpy as np
    import torch

    found: dict[str, Any] = {}
    for n, (what, (mask, tensor, wide, values)) in enumerate(FAR.items()):
        plan = derive(pipeline(y=fold.sum(where(mask, x[i, j], 0), over=j)[i]))
        assert isinstance(plan, Plan)
        module = load(emitted(plan, f"far_{n}"), folder)
        given = {"x": torch.rand(33, 37)}
        if tensor is not None:
            given["limit"] = torch.tensor(
                [values[r % len(values)] for r in range(33)], dtype=getattr(torch, tensor.symbol.dtype)
            )
        scalars = {p.name: wide for p in plan.spec.params}
        want = plan.spec(**{n: v.numpy() for n, v in given.items()}, **scalars)
        call = getattr(module, f"far_{n}")
        ordered = [given[t.name] for t in plan.spec.tensors]
        found[what] = max(
            float(np.abs(call(*ordered, **scalars, **o, block_m=16, block_n=16).double().numpy() - want).max())
            for o in SCHEDULES.values()
        )
    args: dict[str, Any] = {}
    for what, stride in (("a near stride", 2**20), ("a far stride", 2**28)):
        module.rt.strides(
            module.TABLES, args, {"x": torch.empty_strided((1, 1, 33, 37), (0, 0, stride, 1), device="meta")}
        )
        found[what] = str(args["INDEX"])
    return found


def traced(folder: Path) -> dict[str, bool]:
    """Whether a call inside of a function that torch.compile takes as one graph gives what it gives by itself."""
    import torch

    # Twice, as files of other content have operators of their own.
    plan = derive(pipeline(at=fold.argmax(x[i, j], over=j)[i], top=top[i]))
    assert isinstance(plan, Plan)
    both = emit(Proof(plan, (Result("stand-in", "", "proved", 0.0, ""),), ()), "k_both")
    kernels = {"k_attention": kernel_of("attention"), "k_again": kernel_of("attention"), "k_both": both}
    made = {name: load(kernel, folder, name) for name, kernel in kernels.items()}
    sys.modules.update(made)
    f, again, g = made["k_attention"].k_attention, made["k_again"].k_attention, made["k_both"].k_both
    whole = partial(torch.compile, fullgraph=True, backend="aot_eager", dynamic=True)
    one, two = whole(lambda q, k, v: f(2 * q, k, v) + again(q, k, v, splits=2)), whole(lambda x: g(x + 1))
    found = {}
    for n in (33, 40):
        q, k, v = torch.randn(n, 5), torch.randn(37, 5), torch.randn(37, 7)
        found[f"attention, {n}"] = torch.equal(one(q, k, v), f(2 * q, k, v) + f(q, k, v, splits=2))
        got, wanted = two(q), g(q + 1)
        found[f"two outputs, {n}"] = got.keys() == wanted.keys() and all(torch.equal(got[x], wanted[x]) for x in got)
    return found


def errors(folder: Path) -> dict[str, str]:
    """What the launchers say to inputs that do not fit."""
    import torch

    made = {n: load(kernel_of(n), folder) for n in ("attention", "grouped_decode", "layer_norm", "cross_entropy")}
    f = made["attention"].k_attention
    gqa, norm, loss = (getattr(made[n], f"k_{n}") for n in ("grouped_decode", "layer_norm", "cross_entropy"))
    (n,) = axes("n")
    plan = derive(pipeline(y=fold.logsumexp(x[i, 2 * n] + Tensor("b", n)[n], over=n)[i]))
    assert isinstance(plan, Plan)
    even = load(emitted(plan, "k_even"), folder).k_even
    Q, K, V, X = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5, 2), torch.randn(3, 5)

    def cut(parts: int, chunk: int) -> Any:
        """What the launcher does where its choice of parts is wrong."""
        chosen, made["attention"].rt.schedule = made["attention"].rt.schedule, lambda *_: (parts, chunk)
        try:
            return f(Q, torch.randn(17, 4), torch.randn(17, 2), block_n=16, splits=parts)
        finally:
            made["attention"].rt.schedule = chosen

    calls: dict[str, Callable[[], Any]] = {
        "no tensor": lambda: f([1.0], K, V),
        "rank": lambda: f(Q[0], K, V),
        "size": lambda: f(Q, K, V[:3]),
        "dtype": lambda: f(Q, K.half(), V),
        "kind": lambda: f(Q.double(), K.double(), V.double()),
        "lead": lambda: f(Q.expand(2, 3, 4), K.expand(3, 5, 4), V),
        "grad": lambda: f(Q.clone().requires_grad_(), K, V),
        "out": lambda: f(Q, K, V, out=torch.empty(3, 3)),
        "schedule": lambda: f(Q, K, V, schedule="fast"),
        "splits": lambda: f(Q, K, V, splits=0),
        "block": lambda: f(Q, K, V, block_n=24),
        "half a tile": lambda: cut(7, 24),
        "no tile": lambda: cut(8, 0),
        "too few parts": lambda: cut(1, 16),
        "inner": lambda: f(Q[:, :0], K[:, :0], V),
        "index": lambda: gqa(torch.randn(3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 2)),
        "last": lambda: even(X, X[0]),
        "positive": lambda: norm(X, X[0], X[0], eps=-1.0),
        "number": lambda: norm(X, X[0], X[0], eps="1"),
        "integer": lambda: loss(X, torch.zeros(3, dtype=torch.int64), ignore=0.5),
        "integers": lambda: loss(X, torch.zeros(3), ignore=0),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
            found[name] = "nothing raised"
        except (TypeError, ValueError) as mistake:
            found[name] = f"{type(mistake).__name__}: {mistake}"
    return found


MODES = {
    "run": run,
    "mutants": mutants,
    "errors": errors,
    "skips": skips,
    "descriptors": descriptors,
    "again": again,
    "traced": traced,
    "far": far,
}


def main() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(MODES[sys.argv[1]](Path(folder), *sys.argv[2:])))


if __name__ == "__main__":
    main()
