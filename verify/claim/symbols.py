"""Calls the functions of a claimed form on symbols, and says of each mistake what it is and where."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp

from refold.errors import ClaimError, RefoldError
from refold.spec import Value
from refold.spec.value import unwrap
from refold.spec.walk import Walk

Function = Callable[..., Any]


class Symbols:
    """A state or an element as a function of a claim sees it: one attribute a component, to be read and not set."""

    def __init__(self, function: str, values: Mapping[str, sp.Expr], known: str) -> None:
        vars(self).update({name: Value(expr) for name, expr in values.items()}, _told=(function, known))

    def __getattr__(self, name: str) -> Any:
        function, known = vars(self)["_told"]
        raise ClaimError(f"{function} reads .{name}, which is in neither init nor element ({known}): name it there")

    def __setattr__(self, name: str, value: Any) -> None:
        raise ClaimError(f"{vars(self)['_told'][0]} sets .{name} of a state: leave states as they are and "
                         "return a dict of the new one")  # fmt: skip


def state_of(function: str, law: Function, arguments: Sequence[Symbols], names: Sequence[str]) -> tuple[sp.Expr, ...]:
    """What a function gives for every component, as expressions. Raises a `ClaimError` that holds the place."""
    result = call(function, law, arguments)
    if len(names) == 1 and function == "finish" and not isinstance(result, Mapping):
        result = {names[0]: result}
    if not isinstance(result, Mapping) or set(result) != set(names):
        raise _placed(ClaimError(f"{function} gives {_shape(result)}: give a dict of {', '.join(names)}"), law)
    return expressions(function, result, names, law)


def expressions(
    function: str, values: Mapping[str, Any], names: Sequence[str], law: Function | None = None
) -> tuple[sp.Expr, ...]:
    """The expression of every component."""
    found = []
    for name in names:
        try:
            found.append(unwrap(values[name]))
        except RefoldError:
            what = f"{function} gives {name} = {values[name]!r}"
            advice = "give a number or an expression of the state and the element"
            raise _placed(ClaimError(f"{what}, a {type(values[name]).__name__}: {advice}"), law) from None
    return tuple(found)


def call(function: str, law: Any, arguments: Sequence[Symbols]) -> Any:
    """The result of a function on symbols."""
    if not callable(law):
        raise ClaimError(f"{function} is a {type(law).__name__}: give a function")
    try:
        inspect.signature(law).bind(*arguments)
    except TypeError:
        shape = {"step": "step(state, element)", "merge": "merge(left, right)"}.get(function, f"{function}(state)")
        takes = f"{function}{inspect.signature(law)}"
        raise _placed(ClaimError(f"{takes} does not take what it is given: write it as {shape}"), law) from None
    try:
        return law(*arguments)
    except ClaimError as error:
        raise _placed(error, law, error) from None
    except RefoldError as error:
        raise _placed(ClaimError(f"{function} fails: {error}"), law, error) from None
    except Exception as error:
        what = f"{function} fails: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        symbols = "its arguments are symbols, so use exp, log, sqrt, maximum, where of refold and no other library's"
        advice = symbols if isinstance(error, TypeError) else "correct that line"
        raise _placed(ClaimError(f"{what}: {advice}"), law, error) from None


def steady(function: str, law: Function, found: tuple[sp.Expr, ...], again: tuple[sp.Expr, ...]) -> None:
    """Refuses a function that gives another form when it is called once more."""
    if found != again:
        raise _placed(ClaimError(f"{function} gives another form each time it is called: let it depend on its "
                                 "arguments alone, without a state of its own or random numbers"), law)  # fmt: skip


def plain(
    function: str, law: Function, found: tuple[sp.Expr, ...], symbols: Sequence[Mapping[str, sp.Symbol]],
    names: Sequence[str],
) -> None:  # fmt: skip
    """Refuses a function that computes something else on numbers than on symbols, where it takes numbers at all."""
    for start in (0.75, 1.25):
        values = {s: start + n / 8 for n, s in enumerate(s for group in symbols for s in group.values())}
        numbers = [SimpleNamespace(**{n: values[s] for n, s in group.items()}) for group in symbols]
        try:
            given = law(*numbers)
            given = given if isinstance(given, Mapping) else {names[0]: given}
            pairs = [(n, _number(e, values), _number(unwrap(given[n]), {})) for n, e in zip(names, found, strict=True)]
        except Exception:  # it need not take numbers, and may read what is no argument
            return
        for name, wanted, value in pairs:
            if abs(wanted - value) > 1e-6 * (1 + abs(wanted)):  # False for NaN
                raise _placed(ClaimError(f"{function} gives {name} = {value:.6g} on numbers and {wanted:.6g} on "
                                         "symbols: compute the same whatever its arguments are, without isinstance"),
                              law)  # fmt: skip


def _number(expr: sp.Expr, values: Mapping[Any, float]) -> float:
    with np.errstate(all="ignore"):
        return float(Walk(dict(values), {}, {})(sp.sympify(expr)))


def _shape(result: Any) -> str:
    if isinstance(result, Mapping):
        return ", ".join(map(str, result)) or "an empty dict"
    return "nothing (is a return missing?)" if result is None else f"a {type(result).__name__}"


def _placed(error: ClaimError, law: Function | None, cause: BaseException | None = None) -> ClaimError:
    """An error with the place of the line that fails, else of the function."""
    code = getattr(law, "__code__", None)
    if code is not None:
        frames = traceback.walk_tb(cause.__traceback__ if cause is not None else None)
        lines = [line for frame, line in frames if frame.f_code.co_filename == code.co_filename]
        error.place = (code.co_filename, lines[-1] if lines else code.co_firstlineno)
    return error
