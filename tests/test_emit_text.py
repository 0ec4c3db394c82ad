"""Printed expressions have the value of the expression: in kernels, in the launcher and in mods, whatever the signs.

REFOLD_RANDOM_TEXTS=5000 tries that many of each kind.
"""

from __future__ import annotations

import itertools
import json
import math
import operator
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from c_semantics import run
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from refold.algebra.roles import Roles
from refold.emit.host import host
from refold.emit.runtime import helpers
from refold.emit.text import ATOM, INFIX, Val, choice, infix, inverted, negative
from refold.emit.triton import lines, piece
from refold.measure.mods import text as mod_text
from refold.schedule import ir
from refold.schedule.lower.forms import PLAIN
from refold.schedule.lower.host import Host
from refold.schedule.lower.names import Names
from refold.schedule.lower.scope import Scope
from refold.spec import Index, Param, Size, Where

COUNT = int(os.environ.get("REFOLD_RANDOM_TEXTS", "150"))
HOST = {"math": math, "_ratio": operator.truediv, "_real": lambda f, *args: f(*args)}
PROFILE = settings(max_examples=COUNT, derandomize=COUNT == 150)
I, J = Index("i"), Index("j")
WIDTH, LENGTH = Param("w", integer=True), Size("j")
U, Z = Param("u", real=True), Param("z", real=True)
KNOWN = {I: st.integers(0, 40), J: st.integers(0, 40), WIDTH: st.integers(-9, 9), LENGTH: st.integers(1, 41)}


def scope() -> Scope:
    roles = Roles(Index("k"), None, (I, J), (), None, False)
    made = Scope(PLAIN, roles, Host(Names({"i", "j", "w", "u", "z"})), {}, Names({"i", "j"}))
    made.whole |= {I: ir.Name("i"), J: ir.Name("j")}
    made.bound |= {I, J}
    return made


def combined(children: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    """Integer expressions of integer expressions, as the words of a spec make them."""
    divisors = st.sampled_from([sp.Integer(n) for n in (2, 3, 5, 7)] + [LENGTH])
    pairs = st.sampled_from([operator.add, operator.sub, operator.mul, sp.Max, sp.Min])
    wholes = st.sampled_from([lambda a, b: sp.floor(a / b), sp.Mod])
    compare = st.sampled_from([sp.Le, sp.Lt, sp.Eq, sp.Ne])
    return st.one_of(
        st.builds(lambda f, a, b: f(a, b), pairs, children, children),
        st.builds(lambda f, a, b: f(a, b), wholes, children, divisors),
        st.builds(lambda r, a, b, c: Where(r(a, b), a, c), compare, children, children, children),
    )


LEAVES = st.sampled_from([I, J, WIDTH, LENGTH, *(sp.Integer(n) for n in (-3, -1, 2, 4))])
WHOLE = st.recursive(LEAVES, combined, max_leaves=6)


def value_of(expr: sp.Basic, at: dict[Any, Any]) -> Any:
    """The value of an expression by SymPy's own arithmetic."""
    if isinstance(expr, Where):
        return value_of(expr.args[1 if value_of(expr.args[0], at) else 2], at)
    if expr.args:
        return expr.func(*(value_of(a, at) for a in expr.args))
    return at.get(expr, expr)


@PROFILE
@given(expr=WHOLE, data=st.data())
def test_an_integer_expression_is_printed_as_it_is(expr: sp.Expr, data: st.DataObject) -> None:
    at = {s: sp.Integer(data.draw(values)) for s, values in KNOWN.items()}
    wanted = int(value_of(expr, at))
    values = {"i": int(at[I]), "j": int(at[J]), "w": int(at[WIDTH]), "size_j": int(at[LENGTH])}
    kernel = scope()
    printed = piece(kernel.integer(expr))
    assert int(run(lines(kernel.lines.current), printed.text, **values)) == wanted, printed.text
    as_factor = infix("-", Val("0"), infix("*", Val("w"), printed))
    assert int(run(lines(kernel.lines.current), as_factor.text, **values)) == -int(at[WIDTH]) * wanted, as_factor.text
    python = {"i": int(at[I]), "j": int(at[J]), "w": int(at[WIDTH]), "size": {"j": int(at[LENGTH])}}
    for printed_text in (host(expr), None if expr.has(Where, sp.Max, sp.Min) else mod_text(expr, {I: "i", J: "j"})):
        if printed_text is not None:
            assert eval(printed_text, HOST, python) == wanted, printed_text


# Where parentheses count, of whatever sign; random expressions have them seldom.
NESTED = [
    (I + J) * WIDTH, (I - WIDTH) * (J - LENGTH), -(WIDTH * (I - J)), WIDTH - (I - J) * (WIDTH + 2),
    3 * sp.floor(WIDTH / 3), WIDTH * sp.floor((WIDTH - J) / LENGTH), sp.floor((I - 2 * J) * WIDTH / LENGTH),
    sp.Mod(WIDTH - I, LENGTH) * (J - 3), sp.Mod((WIDTH - I) * (J + 1), 5), sp.floor(sp.floor((WIDTH - I) / 2) / LENGTH),
    sp.Max(I - J, WIDTH) * (J - I), (I + J) ** 2 * WIDTH,
]  # fmt: skip
SMALL = {I: st.integers(0, 6), J: st.integers(0, 6), WIDTH: st.integers(-4, 4), LENGTH: st.integers(1, 7)}


@settings(max_examples=max(1, COUNT // 75 - 1), derandomize=COUNT == 150, phases=[Phase.generate])
@given(exprs=st.lists(WHOLE, min_size=20, max_size=30, unique_by=str), data=st.data())
def test_triton_gives_an_integer_expression_its_value(exprs: list[sp.Expr], data: st.DataObject) -> None:
    """Its interpreter has the compiler's meaning of `//` and `%`, which round toward zero."""
    texts = ["import triton\nimport triton.language as tl\n", *(helpers()[h] for h in ("_floordiv", "_position"))]
    calls, wanted = [], []
    for n, expr in enumerate([*NESTED, *exprs]):
        kernel = scope()
        printed = piece(kernel.integer(expr)).text
        body = [*lines(kernel.lines.current), f"tl.store(out_ptr, {printed})"]
        head = f"@triton.jit\ndef k{n}(out_ptr, i, j, w, size_j, INDEX: tl.constexpr = tl.int64):"
        texts.append("\n    ".join([head, *body]) + "\n")
        for _ in range(3):
            at = {s: sp.Integer(data.draw(values)) for s, values in SMALL.items()}
            calls.append((f"k{n}", {"i": int(at[I]), "j": int(at[J]), "w": int(at[WIDTH]), "size_j": int(at[LENGTH])}))
            wanted.append(int(value_of(expr, at)))
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("text_run.py"))]
    request = json.dumps({"text": "\n\n".join(texts), "calls": calls})
    env = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, input=request, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    wrong = [(*w, f) for *w, f in zip(calls, wanted, json.loads(done.stdout), strict=True) if w[1] != f]
    assert wrong == []
    assert any(w < 0 for w in wanted)


def floating(children: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    pairs = st.sampled_from([operator.add, operator.sub, operator.mul, sp.Max, sp.Min])
    exponents = st.sampled_from([sp.Integer(n) for n in (2, 3, 9, 10, 11, -1, -2)])
    return st.one_of(
        st.builds(lambda f, a, b: f(a, b), pairs, children, children),
        st.builds(lambda a, b: a / (1 + b**2), children, children),
        st.builds(operator.pow, children, exponents),
        st.builds(lambda a, n: sp.Abs(a) ** (n + sp.Rational(1, 2)), children, st.integers(0, 3)),
        st.builds(lambda a, b: sp.Abs(a) ** (Z + b), children, st.sampled_from([I - J, U, WIDTH])),
        st.builds(lambda a, b: a ** (WIDTH + b), children, st.sampled_from([I, J % 3, I - J])),
    )


REAL = st.recursive(st.sampled_from([U, Z, I - J, I * sp.floor(J / 3), sp.Integer(-2), I + U]), floating, max_leaves=5)


@PROFILE
@given(expr=REAL, data=st.data())
def test_a_real_expression_is_printed_as_it_is(expr: sp.Expr, data: st.DataObject) -> None:
    assume(expr.has(I, J))
    at: dict[Any, Any] = {s: sp.Integer(data.draw(st.integers(0, 6))) for s in (I, J)}
    at[WIDTH] = sp.Integer(data.draw(st.integers(-2, 4)))
    at |= {s: sp.Rational(data.draw(st.integers(-8, 8).filter(bool)), 4) for s in (U, Z)}
    try:
        wanted = complex(value_of(expr, at))
    except (TypeError, ValueError, OverflowError):
        assume(False)
    assume(math.isfinite(wanted.real) and wanted.imag == 0 and abs(wanted) < 1e12)
    kernel = scope()
    printed = piece(kernel.value(expr))
    values: dict[str, Any] = {s.name: int(at[s]) for s in (I, J, WIDTH)} | {s.name: float(at[s]) for s in (U, Z)}
    scalars = {n: float(eval(host(e), HOST, values)) for e, n in kernel.host.scalars.items()}
    try:
        result = run(lines(kernel.lines.current), printed.text, **values | scalars)
    except (OverflowError, ZeroDivisionError):
        assume(False)
    assert math.isclose(result, wanted.real, rel_tol=1e-6, abs_tol=1e-9), (kernel.lines.current, printed.text)


OPERATORS = [s for s in INFIX if s not in ("and", "or", "**")]
PAIRS = [p for p in itertools.product(OPERATORS, OPERATORS) if not ("/" in p and {"&", "|", "^"} & {*p})]


@pytest.mark.parametrize(("inner", "outer"), PAIRS)
def test_every_pair_of_operators_keeps_its_operands(inner: str, outer: str) -> None:
    """Python's own parser finds the operands that were joined."""
    a, b, c = Val("7"), Val("3"), Val("2")
    both = infix(inner, a, b)
    inner_value = eval(both.text)
    for left, right, text in (
        (inner_value, 2, infix(outer, both, c).text),
        (2, inner_value, infix(outer, c, both).text),
        (-inner_value, 2, infix(outer, negative(both), c).text),
        (2, -inner_value, infix(outer, c, negative(both)).text),
    ):
        if right == 0 and outer in ("/", "//", "%"):
            continue
        assert eval(text) == eval(f"left {outer} right", {"left": left, "right": right}), text


def test_a_choice_and_an_inversion_are_operands() -> None:
    one = choice(Val("1"), infix("<", Val("2"), Val("3")), Val("4"))
    assert infix("+", one, Val("1")).text == "(1 if 2 < 3 else 4) + 1"
    assert one.method("to(x)").text == "(1 if 2 < 3 else 4).to(x)"
    assert inverted(infix("&", Val("a"), Val("b"))).text == "~(a & b)"
    assert infix("&", infix("<", Val("a"), Val("b")), inverted(Val("c"))).text == "(a < b) & ~c"
    assert negative(Val("x")).at(ATOM) == "(-x)"
    assert infix("**", negative(Val("2")), negative(Val("1"))).text == "(-2) ** (-1)"
