"""The correction law: functions phi and a matrix T with `phi(r', c) = T(r, r') phi(r, c)`, by an anchored basis."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import sympy as sp
from sympy.polys.matrices import DomainMatrix

from refold.algebra.independence import rank
from refold.algebra.rewrite import denominators
from refold.algebra.signs import apart

Symbols = tuple[sp.Symbol, ...]


@dataclass(frozen=True, slots=True)
class Law:
    """`phi(r', c) = matrix * phi(r, c)`: `basis` is phi over fresh anchors, `matrix` is over stale and fresh ones."""

    basis: tuple[sp.Expr, ...]
    matrix: sp.ImmutableDenseMatrix


def mixed(g: sp.Expr, anchors: Symbols, varying: Symbols) -> Iterator[sp.Expr]:
    """The factors of `g`, written out, that hold an anchor and what varies: those which do not separate."""
    expanded = sp.expand(sp.expand_trig(g), power_exp=True, power_base=True, log=False)
    factors = (f for term in sp.Add.make_args(expanded) for f in sp.Mul.make_args(term))
    yield from dict.fromkeys(f for f in factors if f.has(*anchors) and f.has(*varying))


def separate(g: sp.Expr, anchors: Symbols, varying: Symbols) -> dict[sp.Expr, sp.Expr] | None:
    """`g(r, c) -> {b_k(c): a_k(r)}` with `g = sum_k a_k(r) b_k(c)`; None where some term does not separate."""

    def is_pure(factor: sp.Expr) -> bool:
        return not (factor.has(*varying) and factor.has(*anchors))

    if anchors:
        g = g.replace(lambda e: isinstance(e, sp.Abs | sp.Max | sp.Min), lambda e: apart(e, is_pure))
    expanded = sp.expand(sp.expand_trig(g), power_exp=True, power_base=True, log=False)
    parts: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(expanded):
        still, moving = term.as_independent(*varying, as_Add=False)
        if anchors and moving.has(*anchors):
            return None
        parts[moving] = parts.get(moving, sp.S.Zero) + still
    return _joined({moving: still for moving, still in parts.items() if still != 0}, anchors)


def _joined(parts: dict[sp.Expr, sp.Expr], anchors: Symbols) -> dict[sp.Expr, sp.Expr]:
    """`a b_1 + 2 a b_2 -> a (b_1 + 2 b_2)`: the fewest functions of c, with coefficients that are independent.

    A coefficient is a row of the constants before its terms in the anchors, and the rows depend on each other as the
    coefficients do, if the terms are independent.
    """
    rows = [_terms(still, anchors) for still in parts.values()]
    terms = list(dict.fromkeys(t for row in rows for t in row))
    table = sp.Matrix([[row.get(t, sp.S.Zero) for row in rows] for t in terms])
    reduced, pivots = DomainMatrix.from_Matrix(table).to_field().rref()
    shares, functions = reduced.to_Matrix(), list(parts)
    return {
        sp.Add(functions[p], *(shares[n, k] * f for k, f in enumerate(functions) if k not in pivots)): parts[
            functions[p]
        ]
        for n, p in enumerate(pivots)
    }


def _terms(expr: sp.Expr, symbols: Symbols) -> dict[sp.Expr, sp.Expr]:
    """`{term in the symbols: its constant}` of an expanded sum."""
    found: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(expr):
        constant, rest = term.as_independent(*symbols, as_Add=False)
        found[rest] = found.get(rest, sp.S.Zero) + constant
    return found


def solve(
    g: sp.Expr, anchors: Symbols, stale: Symbols, varying: Symbols, nonzero: Collection[sp.Symbol] = ()
) -> Law | None:
    """A law of `g` that has a value wherever `g` has one, with few functions, or None where none was found.

    `anchors` are the fresh symbols in `g`, `stale` their counterparts; `nonzero` are those of both that are never 0.
    Where `g` is 0 for some anchors, a law with the least number of functions divides by 0. A polynomial has one more
    law, with no divisor.
    """
    if not anchors:
        return Law((g,), sp.ImmutableDenseMatrix([[1]]))
    parts = separate(g, anchors, varying)
    if parts is None:
        return None
    laws = _laws(g, anchors, stale, varying, parts)
    return next((law for law in laws if has_value(law.matrix, g, anchors, stale, nonzero)), None)


def has_value(
    entries: Iterable[sp.Expr], g: sp.Expr, anchors: Symbols, stale: Symbols, nonzero: Collection[sp.Symbol]
) -> bool:
    """Whether what is made of anchors divides by nothing that may be 0, other than what `g` divides by itself."""
    harmless = _factors(denominators(g))
    harmless |= {d.xreplace(dict(zip(anchors, stale, strict=True))) for d in harmless} | {*nonzero}
    divisors = _factors(d for entry in entries for d in denominators(entry))
    return all(d in harmless or not d.has(*anchors, *stale) for d in divisors)


def _factors(divisors: Iterable[sp.Expr]) -> set[sp.Expr]:
    """The factors of divisors that may be 0."""
    return {part for d in divisors for part in sp.Mul.make_args(d) if not isinstance(part, sp.exp)}


def _laws(
    g: sp.Expr, anchors: Symbols, stale: Symbols, varying: Symbols, parts: dict[sp.Expr, sp.Expr]
) -> Iterator[Law]:
    """The laws that are known, the best ones first."""
    if len(parts) == 1:
        yield Law((g,), sp.ImmutableDenseMatrix([[_ratio(next(iter(parts.values())), anchors, stale)]]))
    else:
        yield from _anchored(g, anchors, stale, varying, tuple(parts))
    if all(still.is_polynomial(*anchors) for still in parts.values()):
        yield _taylor(g, anchors, stale, parts)


def _anchored(
    g: sp.Expr, anchors: Symbols, stale: Symbols, varying: Symbols, functions: tuple[sp.Expr, ...]
) -> Iterator[Law]:
    """`T = Phi(r') Phi(r)^-1`, Phi the coefficients of an anchored basis over the separated functions of c."""
    for order in ("widest", "deepest"):
        basis = _anchored_basis(g, anchors, varying, functions, order)
        if len(basis) < len(functions):
            # What is separated is not independent, as with a maximum and a minimum of one anchor.
            return
        rows = [_coefficients(phi, anchors, varying, functions) for phi in basis]
        phi = sp.Matrix(rows)
        old = phi.xreplace(dict(zip(anchors, stale, strict=True)))
        matrix = (phi * old.inv(method="ADJ")).applyfunc(_tidy)
        yield Law(tuple(basis), sp.ImmutableDenseMatrix(matrix))


def _taylor(g: sp.Expr, anchors: Symbols, stale: Symbols, parts: dict[sp.Expr, sp.Expr]) -> Law:
    """`phi_a(r') = sum_b (r' - r)^b / b! phi_(a+b)(r)`, `phi_a` the a-th derivative of a polynomial in its anchors."""
    degrees = [max(sp.degree(still, anchor) for still in parts.values()) for anchor in anchors]
    orders = sorted(product(*(range(d + 1) for d in degrees)), key=lambda a: (sum(a), a))
    whole = sp.Add(*(still * moving for moving, still in parts.items()))
    derivatives = {a: sp.diff(whole, *zip(anchors, a, strict=True)) for a in orders}
    # Each up to a number, which T takes; `g` as it is.
    shapes = {a: sp.factor(sp.expand(d)).as_coeff_Mul() for a, d in derivatives.items() if sp.expand(d) != 0}
    shapes[orders[0]] = (sp.S.One, g)

    def entry(a: tuple[int, ...], b: tuple[int, ...]) -> sp.Expr:
        steps = [m - n for n, m in zip(a, b, strict=True)]
        if min(steps) < 0:
            return sp.S.Zero
        shifts = zip(anchors, stale, steps, strict=True)
        return shapes[b][0] / shapes[a][0] * sp.Mul(*((new - old) ** k / sp.factorial(k) for new, old, k in shifts))

    matrix = sp.ImmutableDenseMatrix([[entry(a, b) for b in shapes] for a in shapes])
    return Law(tuple(phi for _, phi in shapes.values()), matrix)


def _ratio(coefficient: sp.Expr, anchors: Symbols, stale: Symbols) -> sp.Expr:
    old = coefficient.xreplace(dict(zip(anchors, stale, strict=True)))
    ratio = sp.powsimp(coefficient / old)
    return (
        ratio if isinstance(ratio, sp.exp) else sp.factor(ratio, deep=False) if ratio.is_rational_function() else ratio
    )


def _anchored_basis(
    g: sp.Expr, anchors: Symbols, varying: Symbols, functions: tuple[sp.Expr, ...], order: str
) -> list[sp.Expr]:
    """`g` and its derivatives: all first ones before the second ones, or, "deepest", those of one before the next."""
    basis = [g]
    queue = [(g, anchor) for anchor in anchors]
    while queue and len(basis) < len(functions):
        phi, anchor = queue.pop(0)
        candidate = _simplest(sp.diff(phi, anchor), basis)
        if candidate != 0 and _rank([*basis, candidate], anchors, varying, functions) > len(basis):
            basis.append(candidate)
            further = [(candidate, anchor) for anchor in anchors]
            queue = further + queue if order == "deepest" else queue + further
    return basis


def _simplest(derivative: sp.Expr, basis: list[sp.Expr]) -> sp.Expr:
    """The derivative up to earlier basis functions and a numeric factor, in its shortest form."""
    best: sp.Expr | None = None
    options = [derivative] + [derivative + k * phi for phi in basis for k in (1, -1)]
    for option in options:
        form = sp.factor(sp.powsimp(sp.expand(option)))
        form = sp.powsimp(form.as_coeff_Mul()[1], deep=True) if form != 0 else form
        if form == 0:
            continue
        if form.could_extract_minus_sign():
            form = -form
        if best is None or form.count_ops() < best.count_ops():
            best = form
    return best if best is not None and sp.expand(derivative) != 0 else sp.S.Zero


def _coefficients(phi: sp.Expr, anchors: Symbols, varying: Symbols, functions: tuple[sp.Expr, ...]) -> list[sp.Expr]:
    """The coefficients of `phi` over the separated functions, by matching monomials in what varies."""
    wanted = [_monomials(f, varying) for f in functions]
    have = _monomials(phi, varying)
    row = []
    for n, monomials in enumerate(wanted):
        # A monomial of no other function: `separate` leaves each at least one.
        others = {key for m, other in enumerate(wanted) if m != n for key in other}
        key, scale = next((k, s) for k, s in monomials.items() if k not in others)
        row.append(sp.expand(have.get(key, sp.S.Zero) / scale))
    return row


def _monomials(expr: sp.Expr, varying: Symbols) -> dict[sp.Expr, sp.Expr]:
    return _terms(sp.expand(sp.expand_trig(expr), power_exp=True), varying)


def _rank(basis: list[sp.Expr], anchors: Symbols, varying: Symbols, functions: tuple[sp.Expr, ...]) -> int:
    """The rank of the coefficient rows at a random rational point: at most the generic rank, and almost surely it."""
    rng = random.Random(0)
    constants = {s for phi in basis for s in phi.free_symbols} - set(varying)
    point = {s: sp.Rational(rng.randint(1, 97), 13) for s in sorted(constants, key=str)}
    return rank([[c.xreplace(point) for c in _coefficients(phi, anchors, varying, functions)] for phi in basis])


def _tidy(entry: sp.Expr) -> sp.Expr:
    """An entry of T in its shortest form: differences of anchors, one exponential, angle differences."""
    if entry == 0:
        return entry
    if entry.has(sp.sin, sp.cos):
        return sp.simplify(sp.trigsimp(entry))
    # Deep, since exp(m) exp(-m') inside of a sum is no number where exp(m - m') is at most 1.
    return sp.powsimp(sp.factor(sp.powsimp(sp.expand(entry))), deep=True)


def express(target: sp.Expr, sources: list[sp.Expr], varying: Symbols) -> list[sp.Expr] | None:
    """Coefficients k free of c with `target(c) = sum_i k_i source_i(c)` for all c, or None.

    Used to drop an accumulator that others determine.
    """
    if not sources:
        return None
    wanted = _monomials(target, varying)
    given = [_monomials(function, varying) for function in sources]
    if not wanted.keys() <= {key for function in given for key in function}:
        return None
    unknowns = sp.symbols(f"k:{len(sources)}")
    equations = []
    for key in {k for m in [wanted, *given] for k in m}:
        terms = [u * m[key] for u, m in zip(unknowns, given, strict=True) if key in m]
        equations.append(wanted.get(key, sp.S.Zero) - sp.Add(*terms))
    solution = sp.solve(equations, unknowns, dict=True)
    # SymPy passes over equations without unknowns, so that each is checked against the solution it gave.
    if not solution or any(sp.simplify(equation.xreplace(solution[0])) != 0 for equation in equations):
        return None
    free = dict.fromkeys(unknowns, sp.S.Zero)
    return [sp.sympify(solution[0].get(u, sp.S.Zero)).xreplace(free) for u in unknowns]
