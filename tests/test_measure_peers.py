"""Who is seen to compute the same: attention as FlexAttention and SDPA have it, functions of libraries by value."""

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from refold import Scalar, Tensor, axes, derive, exp, fold, oo, pipeline, sqrt, tanh, where
from refold.measure import inputs as drawing
from refold.measure import peers, run
from refold.measure.build import case_of
from refold.measure.case import Case, read
from refold.report.loading import load

ROOT = Path(__file__).parents[1]
SPECS = {path.stem: str(path) for folder in ("examples", "bench/specs") for path in (ROOT / folder).glob("[!_]*.py")}
# What FlexAttention can say: the score is a function of the scaled product, of positions and of small tensors.
ATTENTION = {
    "alibi", "attention", "block_diffusion", "causal_attention", "causal_attention_bottom_right", "decode",
    "dilated_window", "document", "global_window", "gqa", "mask_tensor", "naive_attention", "prefix_lm", "softcap",
    "window_attention", "decode_alibi", "gqa_decode", "decode_softcap", "prefill_gqa", "prefill_softcap",
    "prefill_window",
}  # fmt: skip
# A sink beside the keys, or no softmax at all.
OTHER = {"attention_sink", "sigmoid_attention", "performer_g3", "softmax", "kl", "covariance", "entropy"}
LIBRARY = {
    "cross_entropy": "F.cross_entropy", "layer_norm": "F.layer_norm",
    "log_softmax": "F.log_softmax", "logsumexp": "torch.logsumexp", "rms_norm": "F.rms_norm", "softmax": "F.softmax",
}  # fmt: skip
SMALL = {"h": 4, "g": 2, "d": 8, "e": 6, "i": 20, "j": 20}


def spec_of(name: str) -> Any:
    return load(SPECS[name]).value


def small(spec: Any, name: str = "made") -> tuple[Case, Any]:
    """The case at sizes that a CPU has in no time, in float64, and what stands for the emitted module."""
    case = case_of(derive(spec), name)
    whole = {n: 5 if isinstance(v, int) else 0.75 for n, v in case.scalars.items()}
    case = replace(case, sizes={a: SMALL.get(a, 9) for a in case.sizes}, dtype="float64", lead=(), scalars=whole)
    tables = SimpleNamespace(
        inputs={t.name: tuple(a.name for a in t.axes) for t in spec.tensors},
        outputs={o.name: tuple(a.name for a in o.axes) for o in spec.outputs},
        dtypes={t.name: t.dtype for t in spec.tensors},
    )
    module = SimpleNamespace(
        TABLES=tables,
    )
    return case, module


def by_mods(case: Case, module: Any, given: dict[str, Any], size: dict[str, int]) -> dict[str, Any]:
    """Attention by its definition over the views and mods that FlexAttention is given."""
    a = case.attention
    assert a is not None
    q, k, v = peers.views(case, module, given)
    assert q.dim() == k.dim() == v.dim() == 4 and q.shape[1] % k.shape[1] == 0
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    s = q @ k.mT * peers.scale(case, size)
    b, h, i, j = (torch.arange(n) for n in s.shape)
    places = (b[:, None, None, None], h[:, None, None], i[:, None], j)
    if a.score:
        s = peers.mod(peers.SCORE, a.score, case, size, given)(s, *places)
    if a.mask:
        s = s.masked_fill(~peers.mod(peers.MASK, a.mask, case, size, given)(*places), -torch.inf)
    return peers.restored(case, module)(torch.softmax(s, -1).nan_to_num(0.0) @ v)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_attention_is_seen_in_these_and_in_no_other(name: str) -> None:
    case = case_of(derive(spec_of(name)), name)
    assert (case.attention is None) is bool(case.why)
    if name in ATTENTION | OTHER:
        assert (case.attention is not None) is (name in ATTENTION)
    assert [c.label for c in case.calls if not c.label.startswith("Liger")] == [
        LIBRARY[n] for n in LIBRARY if n == name
    ]


@pytest.mark.parametrize("name", sorted(ATTENTION))
def test_mods_compute_the_spec(name: str) -> None:
    spec = spec_of(name)
    case, module = small(spec, name)
    size = case.at(20)
    given = drawing.draw(case, module, size, "cpu")
    wanted = torch.tensor(spec(**{n: x.numpy() for n, x in given.items()}, **case.scalars))
    # Captured tensors are float32, as users of FlexAttention have them.
    torch.testing.assert_close(by_mods(case, module, given, size)["o"], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["prefill_window", "alibi", "document", "gqa_decode"])
def test_a_changed_mod_is_noticed(name: str) -> None:
    spec = spec_of(name)
    case, module = small(spec, name)
    a, size = case.attention, case.at(20)
    assert a is not None
    given = drawing.draw(case, module, size, "cpu")
    wanted = torch.tensor(spec(**{n: x.numpy() for n, x in given.items()}, **case.scalars))
    changed = replace(a, mask=a.mask.replace("<=", "<"), scale=f"2 * {a.scale}" if not a.mask else a.scale)
    other = by_mods(replace(case, attention=changed), module, given, size)["o"]
    assert (other - wanted).abs().max() > 1e-2


def test_flex_attention_takes_the_mods() -> None:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    spec = spec_of("prefill_softcap")
    case, module = small(spec)
    size, a = case.at(20), case.attention
    assert a is not None
    given = drawing.draw(case, module, size, "cpu")
    q, k, v = peers.views(case, module, given)
    mask = create_block_mask(peers.mod(peers.MASK, a.mask, case, size, given), None, None, 20, 20, device="cpu")
    score = peers.mod(peers.SCORE, a.score, case, size, given)
    scale = peers.scale(case, size)
    got = flex_attention(q, k, v, score_mod=score, block_mask=mask, scale=scale, enable_gqa=True)
    wanted = torch.tensor(spec(**{n: x.numpy() for n, x in given.items()}, **case.scalars))
    torch.testing.assert_close(peers.restored(case, module)(got)["o"], wanted)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("attention", 1.0),
        ("causal_attention", 210 / 400),
        ("window_attention", (210 - 120) / 400),
        ("alibi", 210 / 400),
        ("document", None),
    ],
)
def test_work_counts_what_the_mask_leaves(name: str, share: float | None) -> None:
    case, module = small(spec_of(name), name)
    size = case.at(20)
    given = drawing.draw(case, module, size, "cpu")
    if share is None:
        i = torch.arange(20)
        share = float(((i <= i[:, None]) & (given["key"] == given["row"][:, None])).float().mean())
        assert 0.05 < share < 0.4
    assert run.visible(case, size, given) == pytest.approx(share)


@pytest.mark.parametrize(
    ("name", "causal", "why"),
    [
        ("attention", False, ""),
        ("prefill_gqa", True, ""),
        ("decode", False, ""),
        ("causal_attention_bottom_right", True, ""),
        ("softcap", False, "has no score function"),
        ("alibi", True, "has no score function"),
        ("window_attention", False, "has no mask but the causal one without a tensor of its size"),
    ],
)
def test_sdpa(name: str, causal: bool, why: str) -> None:
    case, _ = small(spec_of(name), name)
    assert case.attention is not None
    assert (case.attention.causal, peers._beyond_sdpa(case.attention, case.at(20))) == (causal, why)
    if causal and not why:
        assert "equal lengths" in peers._beyond_sdpa(case.attention, case.at(20) | {"i": 19})


h, g, i, j, d, e, b = axes("h g i j d e b")
CAP = Scalar("cap", positive=True)


def attention_over(s: Any, v: Any, out: Any) -> Any:
    p = exp(s - fold.max(s, over=j))
    return pipeline(o=(fold.sum(p * v, over=j) / fold.sum(p, over=j))[out])


def test_layouts_and_several_batch_axes() -> None:
    q, k, v = Tensor("q", b, i, h, d), Tensor("k", b, j, h, d), Tensor("v", b, j, h, e)
    s = fold.sum(q[b, i, h, d] * k[b, j, h, d], over=d) * 3
    spec = attention_over(s, v[b, j, h, e], (b, i, h, e))
    case, module = small(spec)
    size = case.at(20)
    assert case.attention is not None and case.attention.batch == ("b", "h") and case.attention.scale == "3"
    given = drawing.draw(case, module, size, "cpu")
    wanted = torch.tensor(spec(**{n: x.numpy() for n, x in given.items()}))
    torch.testing.assert_close(by_mods(case, module, given, size)["o"], wanted)


def test_one_key_head_for_all() -> None:
    q, k, v = Tensor("q", h, i, d), Tensor("k", j, d), Tensor("v", j, e)
    s = fold.sum(q[h, i, d] * k[j, d], over=d) / sqrt(d.size) + (j - i) / 7
    spec = attention_over(where(j <= i + 3, s, -oo), v[j, e], (h, i, e))
    case, module = small(spec)
    size = case.at(20)
    assert case.attention is not None and case.attention.shared == ("",) and not case.attention.causal
    given = drawing.draw(case, module, size, "cpu")
    wanted = torch.tensor(spec(**{n: x.numpy() for n, x in given.items()}))
    torch.testing.assert_close(by_mods(case, module, given, size)["o"], wanted)


def other_groups() -> Any:
    q, k, v = Tensor("q", h, i, d), Tensor("k", g, j, d), Tensor("v", g, j, e)
    s = fold.sum(q[h, i, d] * k[h % g.size, j, d], over=d)
    return attention_over(s, v[h % g.size, j, e], (h, i, e))


def two_products() -> Any:
    q, k, v, w = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e), Tensor("w", i, d)
    s = fold.sum(q[i, d] * k[j, d], over=d) - tanh(fold.sum(w[i, d] * k[j, d], over=d))
    return attention_over(s, v[j, e], (i, e))


def a_gather_of_a_bias() -> Any:
    q, k, v, table = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e), Tensor("table", b)
    s = fold.sum(q[i, d] * k[j, d], over=d) + table[(i + j) % b.size]
    return attention_over(s, v[j, e], (i, e))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (other_groups, "k and v are read at heads that are no groups of those of q"),
        (two_products, "its scores are no function of one product of q and k"),
        (a_gather_of_a_bias, "its scores cannot be said as a mod: it reads table at computed positions"),
    ],
)
def test_what_is_no_attention_is_told(spec: Any, why: str) -> None:
    case = case_of(derive(spec()), "made")
    assert (case.attention, case.why) == (None, why)


def test_functions_are_found_however_the_spec_is_written() -> None:
    x, weight, eps = Tensor("rows", i, j), Tensor("gain", j), Scalar("tiny", positive=True)
    root = sqrt(fold.sum(x[i, j] * x[i, j], over=j) / j.size + eps)
    norm = pipeline(y=(x[i, j] * (weight[j] / root))[i, j])
    (call, liger) = case_of(derive(norm), "norm").calls
    assert call.text == "F.rms_norm(rows, rows.shape[-1:], gain, tiny)"
    assert (liger.label, liger.text) == (
        "Liger rms_norm",
        "liger.liger_rms_norm(rows, gain, tiny, 0.0, 'llama', False)",
    )
    naive = pipeline(y=(exp(x[i, j]) / fold.sum(exp(x[i, j]), over=j))[i, j])
    assert [c.label for c in case_of(derive(naive), "naive").calls] == ["F.softmax", "Liger softmax"]
    shifted = pipeline(y=(exp(x[i, j]) / (1 + fold.sum(exp(x[i, j]), over=j)))[i, j])
    assert case_of(derive(shifted), "shifted").calls == ()


def test_operators_of_the_table_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    operators = importlib.import_module("operators")
    monkeypatch.delitem(sys.modules, "operators")
    for operator in operators.OPERATORS:
        case = operator.case(case_of(derive(load(str(ROOT / operator.path)).value), operator.name))
        assert set(operator.scalars) == set(case.scalars)
        if operator.kind == "rows":
            assert (case.lengths, case.fill, case.dtype) == (operators.WIDTHS, "i", "bfloat16")
            assert any(not c.label.startswith("Liger") for c in case.calls)
            continue
        a = case.attention
        assert a is not None and bool(a.rows) is (operator.kind == "prefill") and bool(a.mask) is bool(operator.mask)
        heads = [case.sizes[x] for x in (*a.batch, *a.shared) if x] or [case.lead[-1]]
        assert (heads[0], heads[-1]) == (operator.heads[0], operator.heads[-1])
        assert case.sizes["d"] == case.sizes["e"] == operators.DIM
    prefill = {o.name: o.flops(16384) for o in operators.OPERATORS if o.kind == "prefill"}
    assert prefill["attention"] == 4 * 32 * 16384**2 * 129 == 2 * prefill["causal_attention"]
    assert prefill["prefill_window"] == 2 * 32 * 16384 * 4096 * 129


def test_a_part_is_taken_only_of_axes_that_are_nothing_but_read() -> None:
    q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
    s = fold.sum(q[h, i, d] * k[h, j, d], over=d)
    assert case_of(derive(attention_over(s, v[h, j, e], (h, i, e))), "plain").cut == ("h",)
    # A bias that knows its head, or how many there are, is another one where there is but one.
    assert case_of(derive(attention_over(s - (h + 1) * (i - j), v[h, j, e], (h, i, e))), "head").cut == ()
    assert case_of(derive(attention_over(s / h.size, v[h, j, e], (h, i, e))), "heads").cut == ()
    assert case_of(derive(spec_of("gqa")), "gqa").cut == ("h", "g")
    assert case_of(derive(other_groups()), "other").cut == ()


@pytest.mark.slow
def test_operators_of_the_table_are_proved_and_emitted(tmp_path: Path) -> None:
    env = os.environ | {"REFOLD_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, str(ROOT / "bench" / "table.py"), "emit", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    for line in done.stdout.splitlines():
        name = line.removesuffix(": proved and emitted")
        case = read(tmp_path / name / f"{name}.bench.json")
        assert (tmp_path / name / f"{name}.py").exists() and case.name == name
    assert done.stdout.count("proved and emitted") == 15
