"""Formulas taken apart: what is remembered of a term is what Z3 says of it, and of no other one."""

from typing import Any

import pytest
import z3 as own

from refold.verify.smt import formulas as z3
from refold.verify.smt.formula import Texts
from refold.verify.smt.monomials import linear


def terms() -> list[Any]:
    x, y = z3.Ints("x y")
    p = z3.Bool("p")
    return [x, z3.IntVal(7), x + y * 3, z3.If(p, x, -y), z3.And(p, x * y >= 2), z3.Not(x == y), (x + 1) % (y + 1)]


@pytest.mark.parametrize("n", range(7))
def test_a_term_is_taken_apart_as_z3_does(n: int) -> None:
    with z3.own_context():
        left = [terms()[n]]
        while left:
            term = left.pop()
            args = [term.arg(k) for k in range(term.num_args())]
            for _ in range(2):  # asked, and remembered
                assert z3.kind(term) == term.decl().kind()
                assert [own.eq(a, b) for a, b in zip(z3.children(term), args, strict=True)] == [True] * len(args)
            left += args


def test_terms_built_alike_have_one_number_and_others_another() -> None:
    with z3.own_context():
        x, y = z3.Ints("x y")
        assert z3.key(x + y) == z3.key(x + y) == z3.key(z3.Not(x + y >= 0).arg(0).arg(0))
        kept = [*terms(), y + x]
        assert len({z3.key(t) for t in kept}) == len(kept)
        with z3.own_context():
            elsewhere = z3.Int("x")
            assert z3.key(elsewhere) != z3.key(x)


def test_a_term_that_is_gone_leaves_nothing_to_one_in_its_place() -> None:
    with z3.own_context():
        text = Texts()
        for n in range(2000):
            formula = z3.Int(f"v{n}") + n >= 0
            assert [str(v) for v in z3.variables(formula)] == [f"v{n}"]
            assert text(formula) == f"v{n} + {n} >= 0"
            del formula


def test_products_have_the_same_names_together_and_alone() -> None:
    with z3.own_context():
        x, y, z = z3.Ints("x y z")
        shared = x * (y + z)
        formulas = [shared >= 0, z3.Implies(shared + x == y, shared * 2 < z), x >= y]
        together = [*map(str, linear(formulas, []))]
        alone = [str(linear([f], [])[0]) for f in formulas]
        assert together[: len(formulas)] == alone and alone[-1] == "x >= y"
