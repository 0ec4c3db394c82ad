"""Sees softmax attention in a plan, whatever it is called: its q, k and v, its scale, its mask, its score function."""

from __future__ import annotations

import sympy as sp

from refold.algebra import Plan
from refold.algebra.roles import Roles, expand_elements
from refold.emit.host import host
from refold.measure.case import Attention
from refold.measure.mods import NoMod, text
from refold.schedule.lower.host import is_host
from refold.spec import Fold, Index, Read, Size, Where

SCORE = sp.Dummy("score")
OTHER = "it is no softmax attention"


def attention_of(plan: Plan, roles: Roles) -> Attention | str:
    """The pipeline in the words of FlexAttention, or why it cannot be said in them."""
    parts = _softmax(plan)
    if isinstance(parts, str):
        return parts
    logits, values = parts
    logits, conditions = _unmasked(logits)
    dots = {n for n in sp.preorder_traversal(logits) if isinstance(n, Fold)}
    if len(dots) != 1:
        return "its scores are no function of one product of q and k"
    (dot,) = dots
    factors = dot.body.args if isinstance(dot.body, sp.Mul) else ()
    if dot.kind != "sum" or len(factors) != 2 or not all(isinstance(f, Read) for f in factors):
        return "its scores are no function of one product of q and k"
    key, query = sorted(factors, key=lambda f: not f.has(roles.fold))
    if query.has(roles.fold) or query.tensor in (key.tensor, values.tensor) or key.tensor == values.tensor:
        return "it has no q, k and v of three tensors"
    return _described(plan, roles, dot, logits, conditions, (query, key, values))


def _described(
    plan: Plan, roles: Roles, dot: Fold, logits: sp.Expr, conditions: list[sp.Basic], reads: tuple[Read, Read, Read]
) -> Attention | str:
    query, key, values = reads
    (output,) = plan.finish
    j, d, i = roles.fold, dot.axis, roles.rows
    columns = [a for a in output.axes if a in values.indices and a not in query.indices]
    rows = i if i in query.indices and roles.group is None and i not in key.free_symbols else None
    batch = tuple(a for a in output.axes if a not in (rows, *columns))
    if len(columns) != 1 or len(batch) > 2 or set(query.indices) != {d, *batch, *([rows] if rows else [])}:
        return "its tensors are not laid out as [batch, heads, length, dim]"
    shared = tuple(_shared(key, a) for a in batch)
    plain = {j, d, columns[0], *(a for a in batch if a in key.indices)}
    grouped = all(index in plain or _groups(key, index, batch) for index in (*key.indices, *values.indices))
    if not grouped or shared != tuple(_shared(values, a) for a in batch) or _mapped(query):
        return "k and v are read at heads that are no groups of those of q"
    names: dict[sp.Basic, str] = {j: "kv_idx", SCORE: "score"}
    names |= dict(zip(batch, ("b_idx", "h_idx")[2 - len(batch) :], strict=True))
    if rows is not None:
        names[rows] = "q_idx"
    mask = sp.And(*conditions)
    try:
        scale, score = _scaled(logits.xreplace({dot: SCORE}), d)
        mask_text = "" if mask is sp.true else text(mask, names)
        score_text = "" if score == SCORE else text(score, names)
    except NoMod as error:
        return f"its scores cannot be said as a mod: it {error}"
    causal = rows is not None and mask.xreplace({Size(rows.name): Size(j.name)}) == sp.Le(j, rows)
    return Attention(
        query.name, key.name, values.name, tuple(a.name for a in batch), shared, rows.name if rows else "", j.name,
        d.name, columns[0].name, host(scale), mask_text, score_text, causal,
    )  # fmt: skip


def _softmax(plan: Plan) -> tuple[sp.Expr, Read] | str:
    """The logits and the values of `sum exp(s - max s) v / sum exp(s - max s)`."""
    # A length that a score reads is counted along the way: at the end it is the length.
    counts = [a.symbol for a in plan.accumulators if a.reducer == "count" and a.element == 1]
    length = {a.fresh: Size(plan.axis.name) for a in plan.anchors if a.expr in counts}
    sums = [a for a in plan.accumulators if a.symbol not in counts and a.reducer == "sum"]
    maxima = [a for a in plan.accumulators if a.reducer == "max"]
    anchors = [a for a in plan.anchors if a.expr not in counts]
    if len(plan.accumulators) != 3 + len(counts) or (len(sums), len(maxima), len(anchors)) != (2, 1, 1):
        return OTHER
    logits = expand_elements(plan, maxima[0].element)
    weight = sp.exp(logits - anchors[0].fresh)
    total = [a for a in sums if expand_elements(plan, a.element) == weight]
    mixed = [a for a in sums if a not in total]
    if len(total) != 1 or len(plan.finish) != 1 or anchors[0].expr != maxima[0].symbol:
        return OTHER
    values = expand_elements(plan, mixed[0].element).xreplace({weight: sp.S.One})
    if plan.finish[0].expr != mixed[0].symbol / total[0].symbol or not isinstance(values, Read):
        return OTHER
    return logits.xreplace(length), values


def _unmasked(logits: sp.Expr) -> tuple[sp.Expr, list[sp.Basic]]:
    """What is left of `s where p, else -oo`, and every such p."""
    conditions: list[sp.Basic] = []
    while isinstance(logits, Where) and -sp.oo in logits.args[1:]:
        cond, then, other = logits.args
        conditions.append(cond if other == -sp.oo else sp.Not(cond))
        logits = then if other == -sp.oo else other
    return logits, conditions


def _scaled(logits: sp.Expr, d: Index) -> tuple[sp.Expr, sp.Expr]:
    """(scale, score): the logits as a function of `score`, the scaled product; that of SDPA where it is not linear."""
    flat = sp.expand(logits)
    slope = flat.coeff(SCORE, 1)
    rest = sp.expand(flat - slope * SCORE)
    if slope != 0 and not rest.has(SCORE) and is_host(slope):
        # As written, a sum over positions such as slope * (i - j) stays in integers until it is multiplied.
        written = logits - slope * SCORE
        return slope, SCORE + (written if not written.has(SCORE) else rest)
    root = sp.sqrt(Size(d.name))
    return 1 / root, logits.xreplace({SCORE: SCORE * root})


def _shared(read: Read, axis: Index) -> str:
    """The axis of a tensor that is read at `axis` or at its group; "" where it is not read there."""
    for own, index in zip(read.tensor.axes, read.indices, strict=True):
        if axis in index.free_symbols:
            return str(own.name)
    return ""


def _groups(read: Read, index: sp.Expr, batch: tuple[Index, ...]) -> bool:
    """Whether an index is that of the key head of a query head: h // (|h| // |g|), or h // (|h| / |g|)."""
    for axis in batch:
        own = _shared(read, axis)
        if own and axis in index.free_symbols:
            ratio = Size(axis.name) / Size(own)
            return bool(index in (sp.floor(axis / sp.floor(ratio)), sp.floor(axis / ratio)))
    return False


def _mapped(read: Read) -> bool:
    return not all(isinstance(index, Index) for index in read.indices)
