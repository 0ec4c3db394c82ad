"""What the parts of a plan become: roles, base 2, dots, heads, names."""

import ast
import itertools
import math
import random

import pytest
import sympy as sp
from emit_cases import CASES, attention, d, i, j, k, kernel_of, plan_of, q

from refold.algebra import Plan, derive
from refold.algebra.base2 import exp2, in_base2
from refold.algebra.roles import assign
from refold.emit import heads
from refold.emit.heads import FORMS
from refold.emit.host import host
from refold.emit.launcher import module_text
from refold.emit.runtime import refold_runtime
from refold.emit.triton import function_text
from refold.schedule import ir
from refold.schedule.lower.kernels import kernels
from refold.schedule.lower.names import Names
from refold.schedule.lower.renaming import function_name
from refold.schedule.lower.words import constant, pointer
from refold.schedule.walk import contains, free_names, function, needed
from refold.spec import Scalar, Size, Tensor, axes, exp, fold, oo, pipeline, where
from refold.spec.pipeline import HEADS
from refold.spec.walk import FUNCTIONS

HOST = {"math": math, "_real": lambda f, *args: f(*args)}


def test_every_head_has_its_forms() -> None:
    assert {*FORMS} - {exp2} == {*FUNCTIONS} - {sp.floor, sp.Mod}
    assert {h.__name__ for h in HEADS} - {h.__name__ for h in FORMS} == set(heads.STRUCTURAL)


@pytest.mark.parametrize("head", [h for h in FORMS if h is not exp2], ids=lambda h: h.__name__)
def test_host_form_is_the_function(head: type[sp.Basic]) -> None:
    for x in (0.25, 1.5):
        assert math.isclose(eval(FORMS[head].host.format(x=x), HOST), float(FUNCTIONS[head](x)))


@pytest.mark.parametrize(
    ("name", "rows", "batch", "inner", "dots"),
    [
        ("softmax", "i", "", "", False),
        ("attention", "i", "", "de", True),
        ("sigmoid", "i", "", "de", True),
        ("grouped", "i", "h", "de", True),
        ("grouped_decode", "h", "", "de", True),
        ("decode", "", "", "de", False),
        ("performer", "", "", "", False),
    ],
)
def test_roles(name: str, rows: str, batch: str, inner: str, dots: bool) -> None:
    roles = assign(plan_of(name))
    assert roles.fold.name == "j"
    assert (roles.rows.name if roles.rows else "") == rows
    assert "".join(a.name for a in roles.batch) == batch
    assert "".join(a.name for a in roles.inner) == inner
    assert roles.contracts is dots


def test_heads_that_share_keys_are_rows() -> None:
    assert assign(plan_of("grouped_decode")).group == sp.floor(Size("h") / Size("g"))
    assert "group" in kernel_of("grouped_decode").source


@pytest.mark.parametrize("name", CASES)
def test_base_2_is_a_change_of_variables(name: str) -> None:
    """Numbers put into the elements and states of both plans give the same laws."""
    plan = plan_of(name)
    other = in_base2(plan)
    rng = random.Random(0)
    scaled = {e.symbol for e, f in zip(plan.elements, other.elements, strict=True) if e.expr != f.expr}
    scaled |= {a.symbol for a in plan.accumulators if a.element in scaled and a.reducer in ("max", "min")}
    for a in plan.anchors:
        if a.expr.free_symbols & scaled:
            scaled |= {a.stale, a.fresh}
    for a, b in zip(plan.accumulators, other.accumulators, strict=True):
        if a.symbol in scaled:
            continue
        for mine, theirs in ((a.element, b.element), (a.correction, b.correction)):
            values = {s: sp.Float(rng.uniform(0.5, 2)) for s in sorted(mine.free_symbols, key=str)}
            shifted = {s: x / sp.log(2) if s in scaled else x for s, x in values.items()}
            theirs = theirs.replace(exp2, lambda x: 2**x)
            assert abs(float(mine.subs(values)) - float(theirs.subs(shifted))) < 1e-9


def test_scores_are_in_base_2_and_data_is_not() -> None:
    assert "tl.exp2(dot * scale_2 - m_hat[:, None])" in kernel_of("attention").source
    assert "_exp(x - m_hat[:, None])" in kernel_of("softmax").source


def test_contractions_are_dots() -> None:
    step = function_text(next(f for f in kernels(plan_of("causal"), "f").functions if f.name == "_step"))
    assert step.count("tl.dot(") == 2
    assert "tl.dot(p.to(OPERAND), v.to(OPERAND), acc * alpha[:, None]" in step
    assert step.count("tl.where(in_j") == 1, "scores are masked once, and what follows from them not again"


def test_a_single_row_takes_no_dot() -> None:
    assert "tl.dot" not in kernel_of("decode").source


def test_mean_is_moved_without_rounding_it_at_every_tile() -> None:
    assert "mean_new = mean + tl.sum(c, 1) / n_hat" in kernel_of("layer_norm").source


def test_what_does_not_vary_leaves_the_loop() -> None:
    weighted = attention(fold.sum(q[i, d] * Tensor("w", d)[d] * k[j, d], over=d))
    plan = derive(weighted)
    assert isinstance(plan, Plan)
    made = kernels(plan, "f")
    loads = {s.target.text for s in made.rolling.body if isinstance(s, ir.Let) and contains(s.value, ir.Load)}
    assert loads & {"q", "w"}


def test_no_name_of_a_user_is_reserved() -> None:
    """Words of Python, of Triton and of the emitted file are renamed inside of it, and kept where it is called."""
    rows, chunk, size, column = axes("stage chunk size class")
    held, length, tl = Tensor("held", rows, size), Tensor("len", chunk, size), Tensor("tl", chunk, column)
    scale, reach = Scalar("scale"), Scalar("out", integer=True)
    s = where(
        chunk <= rows + reach, scale * fold.sum(held[rows, size] * length[chunk, size], over=size), -oo
    )  # fmt: skip
    p = exp(s - fold.max(s, over=chunk))
    spec = pipeline(torch=(fold.sum(p * tl[chunk, column], over=chunk) / fold.sum(p, over=chunk))[rows, column])
    plan = derive(spec)
    assert isinstance(plan, Plan)
    made = kernels(plan, "f")
    source = module_text(plan, "f", made, None)
    tree = ast.parse(source)
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "f")
    assert [a.arg for a in function.args.args] == ["held", "len", "tl"]
    assert [a.arg for a in function.args.kwonlyargs][:3] == ["out_1", "scale", "out"]
    shown = ast.get_docstring(function) or ""
    assert "held [..., stage, size]; len [..., chunk, size]; tl [..., chunk, class]" in shown
    plain = derive(pipeline(y=fold.sum(exp(Tensor("x", i, j)[i, j]), over=j)[i]))
    assert isinstance(plain, Plan)
    assert kernels(plain, "f").given is plain


@pytest.mark.parametrize("name", ["max", "sum", "len", "class", "recheck", "torch", "q"])
def test_a_kernel_is_not_called_by_what_is_taken(name: str) -> None:
    spec = pipeline(y=fold.sum(exp(Tensor("q", i, j)[i, j]), over=j)[i])
    assert function_name(name, spec) == f"{name}_kernel"
    assert function_name("attention", spec) == "attention"


def test_parameters_are_the_free_names() -> None:
    a, b, c, y = (ir.Name(n) for n in "abcy")
    x, width, q = pointer("x"), constant("SIZE_d"), pointer("q")
    body = [ir.Let(b, ir.Binary("+", a, c)), ir.Store(ir.Binary("+", x, b), width)]
    assert function("f", (a,), body).parameters == (a, x, c, width)
    moved = [ir.Let(q, ir.Binary("+", q, ir.Number(1))), ir.Let(y, q)]
    assert free_names(moved) == {"q_ptr": q}
    assert needed([ir.Let(a, c), ir.Let(b, a), ir.Let(c, a)], [ir.Let(y, b)]) == [ir.Let(a, c), ir.Let(b, a)]


def test_a_name_handed_in_is_no_local_one() -> None:
    names = Names({"x"})
    inner = names.function()
    assert inner.fresh("x") == "x_2"
    assert inner.fresh("p") == "p"
    assert names.fresh("p") == "p_2"
    assert names.function().fresh("lambda") == "lambda_2"


def test_host_arithmetic() -> None:
    size, d_ = {"d": 16, "h": 12, "g": 4}, Size("d")
    scope = {"size": size, "math": math, "_ratio": lambda a, b: a / b}
    assert math.isclose(eval(host(1 / (sp.sqrt(d_) * sp.log(2))), scope), 1 / (4 * math.log(2)))
    assert eval(host(sp.floor(Size("h") / Size("g"))), scope) == 3


def test_host_functions_are_those_of_torch_where_python_raises() -> None:
    import torch

    real = refold_runtime.real
    for name in ("exp", "exp2", "log", "sqrt"):
        for x in (-1e4, -1.0, 0.0, 0.5, 1e4, math.inf, -math.inf):
            torch.testing.assert_close(
                torch.tensor(float(real(getattr(math, name), x)), dtype=torch.float64),
                getattr(torch, name)(torch.tensor(x, dtype=torch.float64)), equal_nan=True,
            )  # fmt: skip
    for x, y in itertools.product((-10.0, -2.0, 0.0, 2.0, 1e300), (-3.0, -0.5, 0.0, 0.5, 3.0, 1001.0)):
        torch.testing.assert_close(
            torch.tensor(float(real(math.pow, x, y)), dtype=torch.float64),
            torch.tensor(x, dtype=torch.float64) ** y, equal_nan=True,
        )  # fmt: skip
