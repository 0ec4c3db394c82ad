"""What a solver has to be told of quotients, extremes and products, as terms: their definitions and lemmas.

A product of symbols is an integer like any other to it. All that it knows of these are instances of one lemma, that a
product of what is not negative is not, for those differences that the question compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from refold.schedule import integers
from refold.schedule.conditions import both, either, negate, nonnegative, zero
from refold.schedule.dtypes import INDEX
from refold.schedule.integers import Product, add, multiply, products, scale, subtract, value_of, whole
from refold.schedule.terms import Term, below, make
from refold.verify.kernel.multiples import cofactor, common, without

ONE = whole(1)
# A candidate for what a quotient is compared with has so many parts at most, and comes from so many quotients.
PARTS, DEPTH = 8, 4


def implies(condition: Term, *claims: Term) -> Term:
    """As it stands: nobody compares these, so that they need no normal form."""
    left = [negate(c) for c in (condition.args if condition.op == "and" else (condition,))]
    return make("or", "bool", (*left, claims[0] if len(claims) == 1 else make("and", "bool", claims)))


def at_most(a: Term, b: Term) -> Term:
    return nonnegative(subtract(b, a))


def less(a: Term, b: Term) -> Term:
    return nonnegative(subtract(subtract(b, a), ONE))


def same(a: Term, b: Term) -> Term:
    return zero(subtract(a, b))


def positive(a: Term) -> Term:
    return less(whole(0), a)


def of_product(a: Term, b: Term) -> Term:
    """What is not negative, times what is not, is not."""
    sides = negate(nonnegative(a)), negate(nonnegative(b))
    return make("or", "bool", (*sides, nonnegative(multiply(a, b))))


def polynomials(terms: Iterable[Term]) -> list[Term]:
    """What is compared with 0 in conditions."""
    return [t.args[0] for t in below(*terms) if t.op in (">=0", "==0")]


@dataclass(frozen=True, slots=True)
class Known:
    """What lemmas were made of, each once: it hangs on these terms alone, and many conditions call for the same."""

    meanings: dict[Term, tuple[Term, ...]] = field(default_factory=dict)
    instances: dict[tuple[Term, Term], Term] = field(default_factory=dict)
    signs: dict[Term, tuple[tuple[Term, Term], ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Lemmas:
    """The facts that some conditions call for; `twins` are the atoms of a second lane for those of the first.

    `known` are those that other conditions have called for.
    """

    twins: Mapping[Term, Term]
    known: Known
    facts: dict[Term, None] = field(default_factory=dict)
    defined: set[Term] = field(default_factory=set)
    quotients: dict[Term, tuple[Term, Term]] = field(default_factory=dict)

    def gather(self, conditions: list[Term]) -> list[Term]:
        """Definitions of all that occurs in the conditions, and the lemma for what they compare."""
        self.define(conditions)
        asked = dict.fromkeys(polynomials(conditions))
        guards = [subtract(b, ONE) for _, b in self.quotients.values()]
        ends = [a for g in guards for t in below(g) if t.op == "least" for a in t.args]
        for p in (*asked, *guards, *(subtract(a, ONE) for a in ends)):
            self.compare(p, 0)
        for p in asked:
            self.share(p)
            self.order(p)
        for end in (a for t in below(*conditions) if t.op in ("least", "greatest") for a in t.args):
            self.share(end)
        self.pairs()
        self.congruent()
        return [*self.facts]

    def add(self, *facts: Term) -> None:
        self.facts |= dict.fromkeys(facts)
        self.define(facts)

    # --- definitions ---------------------------------------------------------------------------------------------

    def define(self, terms: Iterable[Term]) -> None:
        for t in [*below(*terms)]:
            if t.sort == "int" and t not in self.defined:
                self.defined.add(t)
                if t not in self.known.meanings:
                    self.known.meanings[t] = tuple(self.meaning(t))
                if t.op == "//" and value_of(t.args[1]) is None:
                    self.quotients[t] = t.args[0], t.args[1]
                self.add(*self.known.meanings[t])

    def meaning(self, t: Term) -> Iterator[Term]:
        """What is so of an operation on integers."""
        match t.op:
            case "//":
                yield from self.quotient(t, *t.args)
            case "%":
                a, b = t.args
                q = integers.quotient(a, b)
                yield implies(positive(b), same(a, add(multiply(q, b), t)))
                yield implies(both(positive(b), nonnegative(a)), nonnegative(t), less(t, b))
                yield implies(both(positive(b), negate(nonnegative(a))), at_most(t, whole(0)), less(scale(b, -1), t))
            case "least" | "greatest":
                yield from (at_most(t, a) if t.op == "least" else at_most(a, t) for a in t.args)
                yield either(*(same(t, a) for a in t.args))
            case "select":
                condition, then, other = t.args
                yield implies(condition, same(t, then))
                yield implies(negate(condition), same(t, other))
            case "narrow" if t.data in ("int32", INDEX):
                (n,) = t.args
                yield implies(both(at_most(whole(-(2**31)), n), less(n, whole(2**31))), same(t, n))
            case "abs":
                (n,) = t.args
                yield implies(nonnegative(n), same(t, n))
                yield implies(negate(nonnegative(n)), same(t, scale(n, -1)))
            case "iteration":
                yield nonnegative(t)

    def quotient(self, q: Term, a: Term, b: Term) -> Iterator[Term]:
        """Rounded toward zero; nothing is known of a divisor that is not positive."""
        multiple = multiply(q, b)
        yield implies(
            both(positive(b), nonnegative(a)), nonnegative(q), at_most(multiple, a), less(a, add(multiple, b))
        )
        yield implies(both(positive(b), negate(nonnegative(a))),
                      at_most(q, whole(0)), at_most(a, multiple), less(multiple, add(a, b)))  # fmt: skip

    # --- the lemma -----------------------------------------------------------------------------------------------

    def times(self, difference: Term, factor: Term) -> None:
        """What is not negative, times what is not, is not."""
        key = difference, factor
        if value_of(difference) is not None or value_of(factor) is not None:
            return
        if key not in self.known.instances:
            self.known.instances[key] = of_product(difference, factor)
        self.add(self.known.instances[key])

    def between(self, x: Term, y: Term, factor: Term) -> None:
        """The order of two integers is that of their products with a positive one."""
        d = subtract(x, y)
        for difference in (d, subtract(d, ONE), scale(d, -1), subtract(scale(d, -1), ONE)):
            self.times(difference, factor)

    def compare(self, p: Term, depth: int) -> None:
        """A quotient that is compared with something is so times its divisor: `q <= x` iff `a < (x + 1) b`."""
        for q, (a, b) in [*self.quotients.items()]:
            beside = dict.fromkeys(without(m, (q,)) or () for m in products(p) if q in m)
            for factor in beside:
                here = cofactor(p, factor)
                sign = products(here).get((q,), 0)
                rest = subtract(here, scale(q, sign))
                if sign in (1, -1) and len(products(rest)) <= PARTS and q not in {*below(rest)}:
                    other = scale(rest, -sign)
                    self.between(q, other, b)
                    if depth < DEPTH:
                        below_ = subtract(multiply(add(other, ONE), b), add(a, ONE))
                        self.compare(below_ if sign < 0 else subtract(a, multiply(other, b)), depth + 1)

    def share(self, p: Term) -> None:
        """A quotient's multiple is compared with what else has a factor of the divisor: that factor cancels."""
        for q, (_, b) in [*self.quotients.items()]:
            if len(products(b)) != 1:
                continue
            ((divisor, _),) = products(b).items()
            for factor in dict.fromkeys(common(divisor, m) for m in products(p)):
                if factor:
                    rest = integers.polynomial({without(divisor, factor) or (): 1})
                    other = cofactor(p, factor)
                    if len(products(other)) <= PARTS and q not in {*below(other)}:
                        for x in (other, scale(other, -1)):
                            self.between(multiply(q, rest), x, integers.polynomial({factor: 1}))

    def order(self, p: Term) -> None:
        """The sign of what stands beside a factor is that of their product; digits are equal, or one or more apart."""
        if p not in self.known.signs:
            self.known.signs[p] = tuple(signs(p))
        for difference, atom in self.known.signs[p]:
            self.times(difference, atom)

    def pairs(self) -> None:
        """Two quotients by the same divisor."""
        seen = [*self.quotients.items()]
        for n, (q, (a, b)) in enumerate(seen):
            for other, (above, divisor) in seen[:n]:
                if b is divisor:
                    self.between(q, other, b)
                    self.order(subtract(a, above))

    def congruent(self) -> None:
        """Products of equals are equal: of an atom and its twin, of an extreme and the one of its parts which it is."""
        for product in self.monomials():
            twin = tuple(self.twins.get(a, a) for a in product)
            if twin != product:
                equal = [same(a, b) for a, b in zip(product, twin, strict=True)]
                self.add(implies(both(*equal), same(_whole(product), _whole(twin))))
            for atom in dict.fromkeys(product):
                if atom.op in ("least", "greatest"):
                    rest = _whole(without(product, (atom,)) or ())
                    self.add(*(implies(same(atom, a), same(_whole(product), multiply(a, rest))) for a in atom.args))
                    for a in atom.args:
                        self.times(subtract(a, atom) if atom.op == "least" else subtract(atom, a), rest)

    def monomials(self) -> list[Product]:
        """Every product of several atoms."""
        found = (m for t in below(*self.facts) if t.op == "polynomial" for m in products(t) if len(m) > 1)
        return [*dict.fromkeys(found)]


def signs(p: Term) -> Iterator[tuple[Term, Term]]:
    """What is multiplied in a polynomial: a difference, or it and one less or more, and the atom beside it."""
    for atom in {a for m in products(p) for a in m if a.op in ("symbol", "least", "//")}:
        difference = cofactor(p, (atom,))
        for d in (difference, subtract(difference, ONE), subtract(scale(difference, -1), ONE)):
            yield d, atom
        yield from signs(difference)


def _whole(product: Product) -> Term:
    return integers.polynomial({product: 1})
