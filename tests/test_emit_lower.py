"""What the parts of a plan become: roles, base 2, dots, heads, names."""

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
from refold.emit.kernels import kernels
from refold.emit.source import Function, Names, free_names
from refold.errors import EmitError
from refold.spec import Size, Tensor, axes, exp, fold, pipeline
from refold.spec.evaluate import FUNCTIONS
from refold.spec.pipeline import HEADS


def test_every_head_has_its_forms() -> None:
    assert {*FORMS} - {exp2} == {*FUNCTIONS} - {sp.floor, sp.Mod}
    assert {h.__name__ for h in HEADS} - {h.__name__ for h in FORMS} == set(heads.STRUCTURAL)


@pytest.mark.parametrize("head", [h for h in FORMS if h is not exp2], ids=lambda h: h.__name__)
def test_host_form_is_the_function(head: type[sp.Basic]) -> None:
    for x in (0.25, 1.5):
        assert math.isclose(eval(FORMS[head].host.format(x=x), {"math": math}), float(FUNCTIONS[head](x)))


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
        for mine, theirs in ((a.element, b.element), (a.moved, b.moved)):
            values = {s: sp.Float(rng.uniform(0.5, 2)) for s in sorted(mine.free_symbols, key=str)}
            shifted = {s: x / sp.log(2) if s in scaled else x for s, x in values.items()}
            theirs = theirs.replace(exp2, lambda x: 2**x)
            assert abs(float(mine.subs(values)) - float(theirs.subs(shifted))) < 1e-9


def test_scores_are_in_base_2_and_data_is_not() -> None:
    assert "tl.exp2(dot * scale_2 - m_hat[:, None])" in kernel_of("attention").source
    assert "_exp(x - m_hat[:, None])" in kernel_of("softmax").source


def test_contractions_are_dots() -> None:
    step = next(f for f in kernels(plan_of("causal"), "f").functions if f.name == "_step").text
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
    assert any(line.startswith("q = tl.load") or line.startswith("w = tl.load") for line in made.rolling.body)


def test_three_axes_in_registers_are_refused() -> None:
    a, b = axes("a b")
    s = fold.sum(fold.sum(Tensor("x", i, a, b)[i, a, b] * Tensor("y", j, a, b)[j, a, b], over=a), over=b)
    plan = derive(attention(s))
    assert isinstance(plan, Plan)
    with pytest.raises(EmitError, match=r"axes a, b, e would all be held in registers: .* at most two"):
        kernels(plan, "f")


def test_names_of_the_kernel_are_refused() -> None:
    chunk = Tensor("chunk", i, j)
    plan = derive(pipeline(y=fold.sum(exp(chunk[i, j]), over=j)[i]))
    assert isinstance(plan, Plan)
    with pytest.raises(EmitError, match=r"chunk is a word of the emitted kernel: .* another name"):
        kernels(plan, "f")


def test_parameters_are_the_free_names() -> None:
    made = Function("f", ("a",), ("b = a + c", "tl.store(x_ptr + b, SIZE_d)"))
    assert made.parameters == ("a", "x_ptr", "c", "SIZE_d")
    assert free_names(["q_ptr += 1", "y = q_ptr"]) == {"q_ptr"}


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
