"""Terms of integers with positive factors taken out: multiples of a block are in the order of their factors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from refold.schedule import integers
from refold.schedule.conditions import both, either, nonnegative
from refold.schedule.integers import Product, products
from refold.schedule.rules import normal
from refold.schedule.terms import Term, rebuild


def simplified(terms: Iterable[Term], positive: Collection[Term]) -> list[Term]:
    """Terms that are the same where the symbols of `positive` are; none of them is compared times such a symbol."""
    known: dict[Term, Term] = {}
    return [rebuild(t, lambda old, args: _simple(normal(old, args), positive), known) for t in terms]


def cofactor(p: Term, factor: Product) -> Term:
    """What stands beside a product in a polynomial."""
    found: dict[Product, int] = {}
    for product, coefficient in products(p).items():
        rest = without(product, factor)
        if rest is not None:
            found[rest] = found.get(rest, 0) + coefficient
    return integers.polynomial(found)


def without(product: Product, factor: Product) -> Product | None:
    """A product with the atoms of another taken out; None where it lacks one."""
    rest = [*product]
    for atom in factor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def common(a: Product, b: Product) -> Product:
    """The atoms that two products share."""
    rest, shared = [*b], []
    for atom in a:
        if atom in rest:
            rest.remove(atom)
            shared.append(atom)
    return tuple(shared)


def divided(
    rests: list[tuple[Term, Term]], concerned: Callable[[Term], bool]
) -> Callable[[Term, tuple[Term, ...]], Term]:
    """Divides what is a multiple of the divisor and a rest, in the terms concerned.

    It notes the rest with its divisor: the rest has to be below it, and not negative.
    """

    def change(t: Term, args: tuple[Term, ...]) -> Term:
        if t.op in ("//", "%") and len(products(args[1])) == 1 and concerned(t):
            above, divisor = args
            ((factors, _),) = products(divisor).items()
            times = cofactor(above, factors)
            rest = integers.subtract(above, integers.multiply(times, divisor))
            if integers.value_of(times) != 0:
                rests.append((rest, divisor))
                return times if t.op == "//" else rest
        return normal(t, args)

    return change


def _divides(factor: Term, p: Term) -> bool:
    return all(factor in product for product in products(p))


def _simple(t: Term, positive: Collection[Term]) -> Term:
    match t.op:
        case "least" | "greatest" | "//":
            for block in positive:
                if all(_divides(block, a) for a in t.args):
                    parts = [cofactor(a, (block,)) for a in t.args]
                    if t.op == "//":
                        return _simple(integers.quotient(*parts), positive)
                    extreme = integers.least if t.op == "least" else integers.greatest
                    return integers.multiply(block, _simple(extreme(*parts), positive))
        case ">=0":
            return _compared(t.args[0], positive)
    return t


def _compared(p: Term, positive: Collection[Term]) -> Term:
    """`p >= 0`, by cases of the extremes in it."""
    constant = integers.whole(products(p).get((), 0))
    rest = integers.subtract(p, constant)
    if integers.value_of(constant) in (0, -1):
        for block in positive:
            if products(rest) and _divides(block, rest):
                # block * x >= 1 iff x >= 1.
                return _compared(integers.add(cofactor(rest, (block,)), constant), positive)
    for product, coefficient in products(p).items():
        if len(product) == 1 and product[0].op in ("least", "greatest") and coefficient in (1, -1):
            (extreme,) = product
            others = integers.subtract(p, integers.scale(extreme, coefficient))
            sides = [_compared(integers.add(others, integers.scale(a, coefficient)), positive) for a in extreme.args]
            return (both if (extreme.op == "least") == (coefficient == 1) else either)(*sides)
    return nonnegative(p)
