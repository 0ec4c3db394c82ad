"""Running means as kernels write them, which round less than the correction law says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sympy as sp

from refold.algebra.monoid import Let, Monoid, New, Operation, Shared
from refold.algebra.plan import Accumulator, Plan
from refold.spec import Fold


def mean_of(plan: Plan, a: Accumulator) -> tuple[sp.Expr, sp.Symbol, sp.Expr, Accumulator] | None:
    """For `a <- a n/n' + sum(phi/n')`, n a count: phi, n', n and the accumulator of the count."""
    for stale in a.anchors:
        anchor = plan.anchor(stale)
        count = next((b for b in plan.accumulators if b.symbol == anchor.expr and b.reducer == "count"), None)
        if count is not None and a.reducer == "sum" and sp.expand(a.correction - a.symbol * stale / anchor.fresh) == 0:
            phi = a.element * anchor.fresh
            if anchor.fresh not in phi.free_symbols:
                return phi, anchor.fresh, stale, count
    return None


def stable_means(plan: Plan, form: Monoid) -> Monoid:
    """`a n/n' + sum(phi/n')` -> `a + sum(phi - a w)/n'`, and `(a n + b k)/n'` -> `a + (b - a) (k/n')`.

    Equal since n' = n + sum(w), where w is what an element adds to the count; no rounding of `a n/n'` at every tile.
    What a tile adds has a name of its own, since it is divided as it is; so have the two factors of a part.
    Obligations `refinement`: a kernel's step and merge are the update and the combine of the form before.
    """
    assert form.update is not None and form.combine is not None
    components = {New(str(c.symbol)): c for c in form.state}
    means = {New(str(a.symbol)): mean for a in plan.accumulators if (mean := mean_of(plan, a)) is not None}

    def tile(let: Let) -> tuple[Let, ...]:
        x, (phi, n, _, count) = components[let.symbol].symbol, means[let.symbol]
        added = Shared(f"{let.symbol} added")
        return Let(added, Fold("sum", phi - x * count.element, form.axis)), Let(let.symbol, x + added / n)

    def part(let: Let) -> tuple[Let, ...]:
        c, (_, n, _, count) = components[let.symbol], means[let.symbol]
        gap, share = Shared(f"{let.symbol} gap"), Shared(f"{let.symbol} share")
        weight = components[New(str(count.symbol))].right / n
        return Let(gap, c.right - c.symbol), Let(share, weight), Let(let.symbol, c.symbol + gap * share)

    def changed(operation: Operation, rule: Callable[[Let], tuple[Let, ...]]) -> Operation:
        lets = [new for let in operation.lets for new in (rule(let) if let.symbol in means else (let,))]
        return Operation(tuple(lets), operation.results)

    return replace(form, update=changed(form.update, tile), combine=changed(form.combine, part))
