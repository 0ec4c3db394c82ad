"""Finds values of symbols at which a goal fails: a model of Z3, in which exponentials are those of their exponents.

To the encoder an exponential is a variable that is tied to its exponent by order alone. A model says values of both, so
that each symbol is set to a number in turn, and its exponential to that of the number, as long as a model remains.
What comes out is no refutation yet: a run shows it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import sympy as sp

from refold.verify.smt import formulas as z3
from refold.verify.smt.encode import Encoder
from refold.verify.smt.path import Undecided
from refold.verify.smt.query import Query
from refold.verify.smt.reals import Undefined
from refold.verify.smt.solver import check

# In units of the solver's own work: a model of so few symbols is found soon, or late.
EFFORT = 2_000_000
TIMEOUT_MS = 3_000
LARGEST = 300.0  # of an exponent, as a float64 has it
NEAR = 1e-12  # of an exponential beside the true one


def failing(query: Query, seconds: float) -> Iterator[dict[sp.Basic, float]]:
    """Values of the symbols of a query at which its hypotheses hold and a goal fails, one for each path that has some.

    After `seconds` of this thread's time no path is begun.
    """
    until = time.thread_time() + seconds
    with z3.own_context():
        for encoder, formulas in _open_paths(query, query.encoder, until):
            model = _model(formulas)
            if model is not None:
                yield _consistent(encoder, formulas, model)


def _open_paths(query: Query, encoder: Encoder, until: float) -> Iterator[tuple[Encoder, list[Any]]]:
    """The paths of a query, each with its premises and the negation of its goals."""
    try:
        goals = query.build(encoder)
    except Undecided as undecided:
        for holds in (True, False):
            condition = undecided.condition if holds else z3.Not(undecided.condition)
            if time.thread_time() < until and not _contradict([*_premises(encoder), condition]):
                yield from _open_paths(query, encoder.where(undecided.condition, holds=holds), until)
        return
    except Undefined:
        return
    yield encoder, [*_premises(encoder), z3.Not(z3.And(*goals))]


def _premises(encoder: Encoder) -> list[Any]:
    """What is known on a path, and what the exponentials of numbers are."""
    path = [condition if holds else z3.Not(condition) for condition, holds in encoder.path.decided.values()]
    powers = encoder.variables.powers.items()
    numbers = [f for expr, power in powers if expr.is_number for f in _exponential(power, float(expr))]
    return [*path, *encoder.premises, *numbers]


def _contradict(formulas: list[Any]) -> bool:
    return bool(check(formulas, TIMEOUT_MS, EFFORT)[0] == z3.unsat)


def _model(formulas: list[Any]) -> Any:
    outcome, solver = check(formulas, TIMEOUT_MS, EFFORT)
    return solver.model() if outcome == z3.sat else None


def _consistent(encoder: Encoder, formulas: list[Any], model: Any) -> dict[sp.Basic, float]:
    """The values of a model, each exponential that of its exponent as far as there is such a model."""
    # Symbols first: they say what an exponent that is made of them is.
    for expr in sorted((e for e in encoder.variables.powers if not e.is_number), key=lambda e: not e.is_Symbol):
        for wishes in _wishes(encoder, expr, model):
            fixed = [f for symbol, wish in wishes.items() for f in _fixed(encoder, symbol, wish)]
            found = _model([*formulas, *fixed])
            if found is not None:
                formulas, model = [*formulas, *fixed], found
                break
    return _values(encoder, model)


def _wishes(encoder: Encoder, expr: sp.Basic, model: Any) -> Iterator[dict[sp.Basic, float]]:
    """What an exponent may be by a model: the logarithm of its exponential, or what its symbols say it is."""
    values = _values(encoder, model)
    size = _float(model, encoder.variables.powers[expr])
    if expr.is_Symbol:
        choices = [math.log(size)] if size > 0 else []
        choices += [_float(model, encoder.variables.values[expr])] if expr in encoder.variables.values else []
        yield from ({expr: choice} for choice in choices)
    elif expr.free_symbols <= values.keys():
        here = {s: values[s] for s in expr.free_symbols}
        yield here | {expr: float(expr.xreplace({s: sp.Float(v) for s, v in here.items()}))}


def _fixed(encoder: Encoder, expr: sp.Basic, number: float) -> list[Any]:
    """That an expression is a number."""
    value, power = encoder.variables.values.get(expr), encoder.variables.powers.get(expr)
    return [
        *([] if value is None else [value == _exact(number)]),
        *([] if power is None else _exponential(power, number)),
    ]


def _exponential(power: Any, number: float) -> list[Any]:
    """That a variable is the exponential of a number, as near as floats say it."""
    if abs(number) > LARGEST:
        return []
    size = math.exp(number)
    return [power >= _exact(size * (1 - NEAR)), power <= _exact(size * (1 + NEAR))]


def _values(encoder: Encoder, model: Any) -> dict[sp.Basic, float]:
    """The values of symbols by a model: their own, or the logarithms of their exponentials."""
    logs = {s: math.log(e) for s, v in encoder.variables.powers.items() if s.is_Symbol and (e := _float(model, v)) > 0}
    return logs | {s: _float(model, v) for s, v in encoder.variables.values.items() if s.is_Symbol}


def _exact(number: float) -> Any:
    return z3.RealVal(str(Fraction(number)))


def _float(model: Any, variable: Any) -> float:
    value = model.eval(variable, model_completion=True)
    if z3.is_algebraic_value(value):
        value = value.approx(20)
    try:
        return float(value.as_fraction())
    except OverflowError:
        return math.copysign(math.inf, value.as_fraction())
