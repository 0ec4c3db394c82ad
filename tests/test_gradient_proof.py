"""The proof of gradients: all that is derived is proved, and no mutant of an identity or of a pipeline is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import sympy as sp

from refold import Gradient, Spec, gradient, verify
from refold.algebra.adjoint.terms import Term
from refold.spec import Fold, Read
from refold.verify.differentiated import part_of
from refold.verify.laws.gradients import gradients


@lru_cache
def derived(name: str) -> Gradient:
    spec: Spec = importlib.import_module(f"refold.examples.{name}").SPEC
    return gradient(spec)


def verdicts(found: Gradient) -> dict[str, str]:
    return {r.name: r.verdict for r in gradients(found)}


@pytest.mark.parametrize(
    "name",
    ["attention", "alibi", "attention_sink", "softcap", "gqa", "sigmoid_attention", "layer_norm", "rms_norm", "softmax",
     "cross_entropy", "soft_cross_entropy", "linear_cross_entropy", "stages.group_norm"],
)  # fmt: skip
def test_what_is_derived_is_proved(name: str) -> None:
    found = verdicts(derived(name))
    assert {*found.values()} == {"proved"}
    assert all(f"gradient: d{wrt}" in found for wrt in derived(name).wrt)


def test_the_claims_are_those_of_the_paper() -> None:
    claims = {r.name: r.claim for r in gradients(derived("attention"))}
    assert claims["gradient: dm 1"] == "found again: acc[i,e] = Σ_j p[i,j]·v[j,e]"
    assert claims["gradient: L"] == "exp(a - L) is what is summed, over l[i] > 0"


# --- pipelines --------------------------------------------------------------------------------------------------------

Change = Callable[[sp.Expr], sp.Expr]


def reads(expr: sp.Expr, name: str) -> list[Any]:
    return [r for r in expr.atoms(Read) if r.name == name]


def without(name: str, value: Any = 0) -> Change:
    """Another value for all that is read of a tensor."""
    return lambda expr: expr.xreplace(dict.fromkeys(reads(expr, name), sp.sympify(value)))


def for_another(name: str, other: str) -> Change:
    def change(expr: sp.Expr) -> sp.Expr:
        (there,) = {r.tensor for r in reads(expr, other)}
        return expr.xreplace({r: Read(there, *r.indices) for r in reads(expr, name)})

    return change


def scaled(power: Any) -> Change:
    """Another power of the square root of a length."""
    return lambda expr: expr.replace(
        lambda e: isinstance(e, sp.Pow) and e.exp == sp.Rational(-1, 2) and not e.has(Read), lambda e: e.base**power
    )


def outside_of_exponents(change: Change) -> Change:
    def visit(expr: Any) -> Any:
        kept = {e: sp.Dummy() for e in expr.atoms(sp.exp)}
        back = {d: e for e, d in kept.items()}
        return change(expr.xreplace(kept)).xreplace(back)

    return visit


def at_another(name: str) -> Change:
    """What is read outside of exponents at the query's position, read at the key's, or the reverse."""

    def change(expr: sp.Expr) -> sp.Expr:
        axes = {r.indices[0] for r in (*reads(expr, "q"), *reads(expr, "k"))}
        swapped = {}
        for read in reads(expr, name):
            (other,) = axes - {read.indices[0]}
            swapped[read] = Read(read.tensor, other, *read.indices[1:])
        return outside_of_exponents(lambda e: e.xreplace(swapped))(expr)

    return change


def unsummed(expr: sp.Expr) -> sp.Expr:
    """The body of the outermost sum: one position for all."""
    fold = next(n for n in sp.preorder_traversal(expr) if isinstance(n, Fold))
    return expr.xreplace({fold: fold.body})


def negated(expr: sp.Expr) -> sp.Expr:
    return -expr


MUTANTS: dict[str, tuple[str, str, Change]] = {
    "no delta": ("attention", "dq", without("delta")),
    "delta of the wrong sign": ("attention", "dk", lambda e: e.xreplace({r: -r for r in reads(e, "delta")})),
    "no scale": ("attention", "dq", outside_of_exponents(scaled(0))),
    "scale twice": ("attention", "dk", outside_of_exponents(scaled(-1))),
    "scale lost in the weight": ("attention", "dv", scaled(0)),
    "o for do": ("attention", "dv", for_another("do", "L")),
    "sum forgotten": ("attention", "dv", unsummed),
    "negated": ("attention", "dq", negated),
    "no shift by L": ("attention", "dv", without("L")),
    "twice L": ("attention", "dv", lambda e: e.xreplace({r: 2 * r for r in reads(e, "L")})),
    "group not summed": ("gqa", "dk", unsummed),
    "factor of tanh forgotten": ("softcap", "dq", outside_of_exponents(
        lambda e: e.xreplace(dict.fromkeys(e.atoms(sp.tanh), sp.S.Zero)))),
    "distance turned": ("alibi", "dslope", negated),
    "no mean": ("layer_norm", "dx", without("mean")),
    "r for r squared": ("layer_norm", "dx", lambda e: e.xreplace({p: p.base for p in e.atoms(sp.Pow)
                                                                  if isinstance(p.base, Read) and p.exp == 2})),
    "no weight": ("rms_norm", "dx", without("weight", 1)),
    "softmax without its sum": ("softmax", "dx", lambda e: e.xreplace(dict.fromkeys(e.atoms(Fold), sp.S.Zero))),
    "sum of p taken for 1": ("soft_cross_entropy", "dx", lambda e: e.xreplace(dict.fromkeys(e.atoms(Fold), sp.S.One))),
    "key of the query's position": ("attention", "dq", at_another("k")),
    "query of the key's position": ("attention", "dk", at_another("q")),
    "delta of the key's position": ("attention", "dk", at_another("delta")),
    "target forgotten": ("linear_cross_entropy", "dw", lambda e: e.replace(
        lambda n: type(n).__name__ == "Where", lambda n: sp.S.Zero)),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_no_mutant_of_a_pipeline_is_proved(name: str) -> None:
    example, output, change = MUTANTS[name]
    found = derived(example)
    changed = []
    for spec in found.pipelines:
        outputs = tuple(replace(o, expr=change(o.expr)) if o.name == output else o for o in spec.outputs)
        changed.append(replace(spec, outputs=outputs))
    assert [*found.pipelines] != changed
    wrong = verdicts(replace(found, pipelines=tuple(changed), steps=(), shifts=()))
    assert wrong[f"gradient: {output}"] == "unknown"
    assert {v for n, v in wrong.items() if n != f"gradient: {output}"} == {"proved"}


# --- identities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", ["attention", "attention_sink", "layer_norm", "causal_attention", "softmax"])
def test_no_mutant_of_an_identity_is_proved(example: str) -> None:
    found = derived(example)
    for n, step in enumerate(found.steps):
        alone = replace(found, pipelines=(), rows=())
        kept = next((t for t in step.after if t not in step.before), None)
        term = kept or step.before[0]
        twice = Term(2 * term.coefficient, term.product, term.bound)
        others = tuple(t for t in step.after if t != term)
        lost = replace(step, after=others) if kept else replace(step, after=(*step.after, twice))
        wrong = [replace(step, after=(*others, twice)), lost]
        for mutant in wrong:
            steps = (*found.steps[:n], mutant, *found.steps[n + 1 :])
            seen = verdicts(replace(alone, steps=[s for s in steps if s.name == step.name]))
            own = sum(s.name == step.name for s in found.steps[: n + 1])
            assert seen[f"gradient: d{step.name} {own}"] == "unknown", (step.rule, mutant.after)


def test_a_definition_has_to_be_one_of_the_forward_pass() -> None:
    found = derived("attention")
    step = found.steps[0]
    symbol, value = step.by
    wrong = replace(step, by=(symbol, 2 * value))
    assert verdicts(replace(found, steps=(wrong, *found.steps[1:])))[f"gradient: d{step.name} 1"] == "unknown"


def test_a_maximum_is_no_shift_if_something_is_left_of_its_gradient() -> None:
    found = derived("attention")
    steps = tuple(s for s in found.steps if s != found.steps[-1])
    assert verdicts(replace(found, steps=steps))["gradient"] == "unknown"


# --- the report -------------------------------------------------------------------------------------------------------


def test_a_gradient_is_proved_with_each_of_its_pipelines() -> None:
    report = verify(derived("softmax"))
    assert report.verdict == "proved" and [p.name for p in report.parts] == ["y", "dx"]
    assert {"gradient: dx", "finish dx (dx)", "finish y (y)"} <= {r.name for r in report.results}


def test_a_pipeline_without_a_plan_is_unknown() -> None:
    (spec,) = derived("softmax").pipelines
    (output,) = spec.outputs
    mapped = replace(output, expr=output.expr.xreplace(dict.fromkeys(output.expr.atoms(Fold), sp.S.One)))
    part = part_of(replace(spec, outputs=(mapped,)))
    assert part.report is None and [r.verdict for r in part.results] == ["unknown"]
    assert "the pipeline has no fold" in part.results[0].note
