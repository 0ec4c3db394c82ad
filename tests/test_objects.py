"""Evaluations in many digits and on letters give what the one in floats gives, and tell rounding from a mistake."""

from __future__ import annotations

import random
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest
import sympy as sp

import refold.examples
from refold import Spec, Tensor, axes, claim, fold, pipeline
from refold.algebra.derive import fold_axis
from refold.spec.evaluate import Inputs, evaluate_where_defined
from refold.verify.claim.run import subject_of
from refold.verify.refute.precise import precise, precise_outputs
from refold.verify.refute.replay import differs
from refold.verify.refute.samples import sample
from refold.verify.refute.symbolic import symbolic

SPECS = {
    name: module.SPEC
    for name in sorted(m.name for m in iter_modules(refold.examples.__path__))
    if hasattr(module := import_module(f"refold.examples.{name}"), "SPEC")
}


def inputs_of(spec: Spec, attempt: int) -> dict[str, Any]:
    return sample(spec, fold_axis(spec), 3, 2, attempt, random.Random(attempt))


@pytest.mark.parametrize("name", SPECS)
def test_many_digits_say_what_floats_say(name: str) -> None:
    for attempt in (0, 6, 9):
        inputs = inputs_of(SPECS[name], attempt)
        wanted = evaluate_where_defined(SPECS[name], inputs)
        got = precise_outputs(precise(Inputs.of(SPECS[name], inputs)))
        assert not differs(wanted, got) and not differs(got, wanted), (attempt, wanted, got)


@pytest.mark.parametrize("name", SPECS)
def test_letters_stand_for_numbers(name: str) -> None:
    spec = SPECS[name]
    inputs = inputs_of(spec, 8)
    given = Inputs.of(spec, inputs)
    numbers: dict[sp.Basic, sp.Expr] = {}
    letters = {}
    for tensor in (t for t in spec.tensors if not t.is_integer):
        letters[tensor] = np.empty(given.arrays[tensor].shape, dtype=object)
        for place, value in np.ndenumerate(given.arrays[tensor]):
            letter = letters[tensor][place] = sp.Symbol(f"{tensor.name}{list(place)}", real=True)
            numbers[letter] = sp.Rational(str(value))
    walk = symbolic(given, letters, {}).walk()
    got = {}
    for output in spec.outputs:
        exprs = np.asarray(walk(output.expr), dtype=object)
        values = np.frompyfunc(lambda e: _number(e.xreplace(numbers)), 1, 1)(exprs)
        got[output.name] = given.present(values.astype(np.float64), output.axes)
    assert not differs(evaluate_where_defined(spec, inputs), got)


def _number(expr: sp.Basic) -> float:
    return float("nan") if expr.has(sp.nan, sp.zoo) else float(sp.N(expr.doit()))


def test_what_rounds_off_is_no_mistake() -> None:
    i, j = axes("i j")
    x = Tensor("x", i, j)
    mean = fold.sum(x[i, j], over=j) / j.size
    form = {
        "element": {"x": x[i, j]},
        "init": {"n": 0, "s": 0, "q": 0},
        "step": lambda a, c: {"n": a.n + 1, "s": a.s + c.x, "q": a.q + c.x**2},
    }
    spec = pipeline(v=(fold.sum((x[i, j] - mean) ** 2, over=j) / j.size)[i])
    right = subject_of(claim(spec, **form, finish=lambda a: a.q / a.n - (a.s / a.n) ** 2))
    wrong = subject_of(claim(spec, **form, finish=lambda a: a.q / a.n - (a.s / a.n) ** 2 + 1))
    # The squares have 21 digits, and their difference is of the last of them.
    inputs = {"x": [[1e10, 1e10 + 1, 1e10 + 2]]}
    order = (0, 1, 2)
    assert right.is_wrong(inputs, order) and not right.certain(inputs, order)
    assert wrong.is_wrong(inputs, order) and wrong.certain(inputs, order)
