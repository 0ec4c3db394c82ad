"""What the components of a claimed state mean: expressions over a derived state, found by their equations."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from refold.algebra import Accumulator, Plan, State
from refold.algebra.monoid import monoid
from refold.algebra.names import Names
from refold.algebra.plan import counts
from refold.algebra.rewrite import walk
from refold.algebra.run import Runner
from refold.spec import Where
from refold.spec.evaluate import Inputs
from refold.verify.claim.claim import Claim
from refold.verify.claim.form import form_of
from refold.verify.claim.run import ClaimRunner
from refold.verify.refute.samples import sample

Relation = Mapping[State, sp.Expr]
Parts: TypeAlias = tuple[tuple[int, ...], int, tuple[int, ...]]
FEW = 25  # candidates a component, where those of two components are tried in pairs


def read_state(claim: Claim, plan: Plan) -> dict[State, sp.Expr]:
    """The relation of every component for which one is found.

    A component is first given the simplest expression for which its init, step and merge all hold on samples. What
    is left, where the claim is wrong somewhere, is read as `finish` needs it in order to give the outputs, with as
    few failing equations as possible. Samples are of states that hold something; the guess is proved later, or shown.
    """
    with np.errstate(all="ignore"):
        return _read(claim, plan)


def readable(claim: Claim, plan: Plan) -> tuple[Plan, dict[State, sp.Expr]]:
    """The plan by which a claim is read, and its relation: with a count of positions where only that gives one."""
    relation = read_state(claim, plan)
    if len(relation) == len(claim.left) or any(a.reducer == "count" for a in plan.accumulators):
        return plan, relation
    names = Names(plan.spec)
    names.taken |= {str(a.symbol) for a in plan.accumulators}
    count = State(names.take("n"))
    counting = replace(plan, accumulators=(*plan.accumulators, Accumulator(count, "count", sp.S.One, count, (), 1, ())))
    more = read_state(claim, counting)
    return (counting, more) if len(more) > len(relation) else (plan, relation)


def _read(claim: Claim, plan: Plan) -> dict[State, sp.Expr]:
    trials = list(_trials(claim, plan))
    candidates = list(_distinct(_candidates(plan), trials))
    known: dict[State, sp.Expr] = {}
    while True:
        ready = [s for s in claim.left if s not in known and _reads(claim, s) <= {*known, s}]
        found = {s: m for s in ready if (m := _healthy(s, candidates, known, trials)) is not None}
        if not found:
            break
        known |= found
    open_ = [s for s in claim.left if s not in known]
    choices = candidates if len(open_) == 1 else candidates[:FEW] if len(open_) == 2 else candidates[: len(open_) + 3]
    best: dict[State, sp.Expr] | None = None
    least = 0
    for guess in product(choices, repeat=len(open_)):
        relation = known | dict(zip(open_, guess, strict=True))
        if open_ and not all(t.finishes(relation) for t in trials):
            continue
        failing = sum(1 for s in open_ for _ in _failing(s, relation, trials))
        if best is None or failing < least:
            best, least = relation, failing
    if best is None:
        return known
    return {s: m for s, m in best.items() if s in known or _supported(claim, s, best, trials)}


def guarded(plan: Plan, relation: sp.Expr, init: sp.Expr, state: Mapping[State, sp.Expr]) -> sp.Expr:
    """A relation in a state: in the empty one it is what the claim starts from, where the expression is undefined."""
    value = relation.xreplace(dict(state))
    if isinstance(relation, State) or not (_divides(relation) or _at_unit(plan, relation).has(sp.nan, sp.zoo)):
        return value
    there = (c.xreplace(dict(state)) for c in counts(relation, plan.accumulators))
    return Where(sp.And(*something(plan, state), *there), value, init)


def _divides(relation: sp.Expr) -> bool:
    return any(isinstance(n, sp.log) or (isinstance(n, sp.Pow) and n.exp.is_negative) for n in walk(relation))


def _at_unit(plan: Plan, relation: sp.Expr) -> sp.Expr:
    return relation.xreplace({a.symbol: a.unit for a in plan.accumulators})


def something(plan: Plan, state: Mapping[State, sp.Expr]) -> tuple[sp.Basic, ...]:
    """That a state holds an element that is not masked."""
    return tuple(a.regular.xreplace(dict(state)) for a in plan.anchors if a.regular is not sp.true)


def _candidates(plan: Plan) -> list[sp.Expr]:
    """What a component of a state may be, simplest first: among it whatever anchors and outputs are made of."""
    symbols = [a.symbol for a in plan.accumulators]
    found: list[sp.Expr] = [sp.sympify(s) for s in symbols]
    wholes = [x.expr for x in plan.anchors] + [f.expr for f in plan.finish]
    parts = dict.fromkeys(n for e in wholes for n in walk(e) if isinstance(n, sp.Expr) and n.has(State))
    found += [p for p in parts if plan.axis not in p.free_symbols and not isinstance(p, State)]
    found += [sp.exp(s) for s in symbols] + [sp.log(s) for s in symbols] + [s**2 for s in symbols]
    for a, b in permutations(symbols, 2):
        found += [a / b, a + sp.log(b), a * sp.exp(b), a * b, a / b**2, sp.sqrt(a / b), a / (b - 1)]
    for a, b, c in permutations(symbols, 3):
        found += [a / b + c, a * sp.exp(b) / c, a + b * c, a + b * c**2, a / c + b**2]
    corrections = [c for a in plan.accumulators for c in _at_other_anchors(plan, a)]
    found += [c for c in corrections if not c.has(sp.nan, sp.zoo, sp.oo, -sp.oo)]
    return [*found, sp.S.Zero, sp.S.One]


def _at_other_anchors(plan: Plan, a: Accumulator) -> Iterator[sp.Expr]:
    """An accumulator as it would be at anchors that somebody else chose: at none, or at a part of each of its own.

    What an exponent is relative to is chosen apart from what stands outside of exponents.
    """
    own = {plan.anchor(s).fresh: plan.anchor(s).expr for s in a.anchors}
    choices = [
        dict.fromkeys([expr, sp.S.Zero, *(n for n in walk(expr) if n.has(State) and n != expr)])
        for expr in own.values()
    ]
    stale = {plan.anchor(s).stale: plan.anchor(s).expr for s in a.anchors}
    for inside, outside in product(product(*choices), repeat=2):
        there, beside = dict(zip(own, inside, strict=True)), dict(zip(own, outside, strict=True))
        exponents = {n: n.xreplace(there) for n in a.correction.atoms(sp.exp)}
        yield a.correction.xreplace(exponents).xreplace(beside).xreplace(stale)


class _Trial:
    """One sample: a derived empty state, of a part, of the part and an element, of another part, and of both."""

    def __init__(self, claim: Claim, plan: Plan, given: Inputs, parts: Parts) -> None:
        self.claim, self.given = claim, given
        self.mine, runner = ClaimRunner(form_of(claim), given), Runner(monoid(plan), given)
        part, position, other = parts
        x, y = runner.state(part), runner.state(other)
        self.states = {
            "nothing": runner.start(), "part": x, "stepped": runner.step(x, position),
            "other": y, "merged": runner.merge(x, y), "all": runner.state((*part, position, *other)),
        }  # fmt: skip
        self.walks = {name: given.walk(state) for name, state in self.states.items()}
        anchored = sp.And(*something(plan, {a.symbol: a.symbol for a in plan.accumulators}))
        self.regular = {name: np.asarray(walk(anchored)) for name, walk in self.walks.items() if name != "nothing"}
        self.here = self.mine.here(position)
        self.outputs = runner.finish(self.states["all"])

    def value(self, relation: sp.Expr, where: str) -> Any:
        return np.asarray(self.walks[where](relation), dtype=np.float64)

    def fails(self, symbol: State, relation: Relation) -> Iterator[str]:
        """The functions whose equation for a component does not hold; the relations it reads have to be there."""
        claim, n = self.claim, self.claim.left.index(symbol)
        known = {s: self.value(m, "part") for s, m in relation.items()}
        start, mine = self.value(relation[symbol], "nothing"), self.given.walk()(claim.init[n])
        # What is undefined of no element starts from wherever the claim says.
        if not _same(np.where(np.isnan(start), mine, start), mine):
            yield "init"
        walk = self.given.walk(known | self.here)
        if not _same(self.value(relation[symbol], "stepped"), walk(claim.step[n])):
            yield "step"
        if claim.merge is not None:
            others = {r: self.value(relation[s], "other") for s, r in zip(claim.left, claim.right, strict=True)
                      if s in relation}  # fmt: skip
            if not _same(self.value(relation[symbol], "merged"), self.given.walk(known | others)(claim.merge[n])):
                yield "merge"

    def finishes(self, relation: Relation) -> bool:
        """Whether finish gives the outputs."""
        ended = self.mine.finish({s: self.value(m, "all") for s, m in relation.items()})
        return all(_same(want, ended[name]) for name, want in self.outputs.items())


def _trials(claim: Claim, plan: Plan) -> Iterator[_Trial]:
    rng = random.Random(1)
    for attempt, parts in ((6, ((0, 1), 2, (3, 4))), (8, ((0,), 1, (2, 3, 4))), (7, ((0, 1, 2), 3, (4,)))):
        given = Inputs.of(claim.spec, sample(claim.spec, plan.axis, 5, 3, attempt, rng))
        yield _Trial(claim, plan, given, parts)


def _distinct(candidates: Sequence[sp.Expr], trials: Sequence[_Trial]) -> Iterator[sp.Expr]:
    """Candidates that differ on the samples from the simpler ones before them, and have a value in regular states."""
    seen = set()
    for candidate in candidates:
        values = [(t.value(candidate, where), t.regular[where]) for t in trials for where in t.regular]
        key = tuple(np.format_float_scientific(x, 9) for v, _ in values for x in v.flat)
        if key not in seen and not any(np.any(np.isnan(v) & regular) for v, regular in values):
            seen.add(key)
            yield candidate


def _healthy(symbol: State, candidates: Sequence[sp.Expr], known: Relation, trials: Sequence[_Trial]) -> sp.Expr | None:
    return next((c for c in candidates if not any(_failing(symbol, {**known, symbol: c}, trials))), None)


def _failing(symbol: State, relation: Relation, trials: Sequence[_Trial]) -> Iterator[str]:
    return (function for trial in trials for function in trial.fails(symbol, relation))


def _supported(claim: Claim, symbol: State, relation: Relation, trials: Sequence[_Trial]) -> bool:
    """Whether finish reads a component or one of its own laws holds: else nothing speaks for what was guessed.

    Nor does finish for a number: `t exp(-n)` needs n = 0 wherever t is right, whatever n is.
    """
    laws = {"step", "merge"} if claim.merge is not None else {"step"}
    needed = relation[symbol].has(State) and any(symbol in e.free_symbols for e in claim.finish)
    return needed or not laws <= set(_failing(symbol, relation, trials))


def _reads(claim: Claim, symbol: State) -> set[State]:
    """The components that a component's step and merge read."""
    n = claim.left.index(symbol)
    first = dict(zip(claim.right, claim.left, strict=True))
    exprs = (claim.step[n], *((claim.merge[n],) if claim.merge is not None else ()))
    return {first.get(s, s) for e in exprs for s in e.free_symbols if isinstance(s, State)}


def _same(wanted: Any, got: Any) -> bool:
    """Equal but for rounding wherever the wanted value is defined."""
    want, have = np.broadcast_arrays(np.asarray(wanted, dtype=np.float64), np.asarray(got, dtype=np.float64))
    known = ~np.isnan(want)
    return bool(np.allclose(want[known], have[known], rtol=1e-7, atol=1e-9))
