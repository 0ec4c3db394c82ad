"""`refold explain`: in sentences, why a pipeline fuses or what stops it, which kernels it takes, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from refold.algebra import Plan, Refusal, Staged
from refold.algebra.cost import Cost, as_written, example_sizes, fused
from refold.algebra.cuts import swells
from refold.algebra.display import determinant_text, naming, passes, plain, short
from refold.algebra.plan import Accumulator
from refold.spec import Fold, Spec
from refold.spec.mathematics import text

JOINS = {
    "sum": "the sum of two parts is the sum of their sums",
    "count": "the count of two parts is the sum of their counts",
    "prod": "the product of two parts is the product of their products",
    "max": "the maximum of two parts is the larger of their maxima",
    "min": "the minimum of two parts is the smaller of their minima",
    "any": "it holds in two parts if it holds in one of them",
    "all": "it holds in two parts if it holds in both of them",
    "argmax": "of the positions in two parts, that of the larger value is kept, the lower one of equals",
}
BYTES = 2  # of a number in float16 or bfloat16


@dataclass(frozen=True, slots=True)
class Chapter:
    """A title over paragraphs, each a sentence or a few."""

    title: str
    sentences: tuple[str, ...]


def chapters(outcome: Plan | Staged | Refusal, spec: Spec) -> tuple[Chapter, ...]:
    """What there is to say of a plan, of stages, or of a refusal."""
    match outcome:
        case Plan():
            return (*_plan(outcome), Chapter("What it costs", _cost(outcome, spec)))
        case Staged():
            stages = [c for n, plan in enumerate(outcome.plans, 1) for c in _plan(plan, f"Stage {n}: ")]
            title = "Why it takes stages" if len(outcome.plans) > 1 else "What is rewritten first"
            return (Chapter(title, tuple(_cut(outcome))), *stages, Chapter("What it costs", _cost(outcome, spec)))
        case Refusal():
            return (Chapter("Why it does not fuse", tuple(_refusal(outcome))),)


def data(loaded: Any, outcome: Plan | Staged | Refusal) -> dict[str, Any]:
    """`explain --format json`: the sentences by their titles, and the cost as data."""
    said = {c.title: list(c.sentences) for c in chapters(outcome, outcome.spec)}
    refused = isinstance(outcome, Refusal)
    found = {"spec": loaded.given, "status": "refused" if refused else "derived", "sentences": said}
    return found if isinstance(outcome, Refusal) else found | {"cost": cost_data(outcome, outcome.spec)}


def _plan(plan: Plan, stage: str = "") -> tuple[Chapter, ...]:
    fuses = f"{stage}why it fuses" if stage else "Why it fuses"
    carried = f"{stage}what is carried" if stage else "What is carried, and by which kernels"
    return (
        Chapter(fuses, (_walks(plan), *_shifts(plan), *(_fold(plan, a) for a in plan.accumulators), *_ends(plan))),
        Chapter(carried, (_state(plan), _kernels(plan))),
    )


def _walks(plan: Plan) -> str:
    axis = plan.axis.name
    written, needed = passes(plan)
    if written == 1:
        return f"One walk over {axis} is enough as it is written: no fold waits for another."
    waits = written - (needed - 1)
    again = [f.name for f in plan.finish if plan.axis in f.axes]
    last = f" A last walk writes {_listed(again)}, which {_verb(again, 'varies', 'vary')} with {axis}." if again else ""
    if waits == 1:
        return f"No fold over {axis} waits for another: one walk is enough for all of them.{last}"
    return (
        f"As written, {axis} is walked {waits} times before there is a result, since a fold reads the finished value "
        "of another. One walk is enough if what was added with an unfinished value can be corrected when that value "
        f"changes.{last}"
    )


def _shifts(plan: Plan) -> list[str]:
    """What the derivation added: shifts that nobody wrote."""
    axis = plan.axis.name
    sums = [short(plan, s.before) for s in plan.steps if s.rule == "stabilise" and s.before is not None]
    said = f"{_listed(sums)} would overflow for large exponents: every exponent is taken against the maximum over "
    return [f"{said}{axis} of all of them, which is carried too and cancels at the end."] if sums else []


def _fold(plan: Plan, a: Accumulator) -> str:
    """Why one accumulator can be carried, and what becomes of it when what it reads changes."""
    name, what = str(a.symbol), _meaning(plan, a)
    head = f"{name} = {what}" if what else name
    anchors = [str(s) for s in a.anchors]
    if a.reducer == "argmax":
        return f"{head} stands beside {a.key}: {JOINS['argmax']}."
    if not anchors:
        return f"{head} reads no unfinished value: {JOINS[a.reducer]}."
    read = _listed(anchors)
    start = f"{head} reads {read}, which may still change. When {read} {_verb(anchors, 'becomes', 'become')} "
    start += f"{_listed([f'{s}′' for s in anchors])}, "
    factor, rest = a.correction.as_independent(a.symbol, as_Add=False)
    if a.family is not None and len(a.family.basis) > 1:
        return start + _matrix(plan, a)
    if a.correction == a.symbol:
        return f"{start}{name} stays as it is."
    if rest == a.symbol:
        stale = {plan.anchor(s).fresh: s for s in a.anchors}
        term = short(plan, a.element.xreplace(stale))
        return (
            f"{start}every term {term} is multiplied by the same {plain(factor)}, whatever the position: so is {name} "
            "(rank 1)."
        )
    return f"{start}{name} becomes {plain(a.correction)} (rank 1)."


def _matrix(plan: Plan, a: Accumulator) -> str:
    """The correction by a matrix: of how many sums, which of them others determine, and what that makes of this one."""
    assert a.family is not None
    rank, known = len(a.family.basis), [k for k, _ in a.family.dropped]
    basis = _listed([short(plan, phi) for phi in a.family.basis])
    said = f"a term is a combination of {rank} functions, {basis}, whose coefficients are the same at all positions: "
    said += f"a {rank} x {rank} matrix corrects their sums (rank {rank}). "
    if known:
        values = _listed([f"that of {short(plan, a.family.basis[k])} is {plain(a.family.values[k])}" for k in known])
        said += f"Not all of these sums are carried: {values}. "
    return f"{said}So {a.symbol} becomes {plain(a.correction)}."


def _ends(plan: Plan) -> list[str]:
    found = []
    for f in plan.finish:
        guard = f" where {text(f.guard)}, else {text(f.empty)}" if f.guard is not sp.true else ""
        found.append(f"At the end, {f.name} = {plain(f.expr)}{guard}.")
    return found


def _state(plan: Plan) -> str:
    one = [f"{a.symbol}, one number" + (f" for each {_listed([x.name for x in a.axes])}" if a.axes else "")
           for a in plan.accumulators]  # fmt: skip
    return f"Along {plan.axis.name} the loop carries {'; '.join(one)}."


def _kernels(plan: Plan) -> str:
    axis = plan.axis.name
    return (
        f"The same corrections join the states of two parts of {axis}, so that any cut of it gives the same: one "
        f"loop over tiles (the kernel `rolling`), or, where there are few rows, parts of {axis} side by side (`parts`) "
        "and a second kernel that joins their states (`finish`)."
    )


def _cut(staged: Staged) -> list[str]:
    found = [f"{f.outer} and {f.inner} are always folded together: they become one axis {f.axis} of "
             f"|{f.outer}|·|{f.inner}| positions." for f in staged.flats]  # fmt: skip
    if staged.why:
        found.append(f"No single pass was found: {staged.why}.")
    count = len(staged.plans)
    if count == 1:
        return [*found, "After that one pass computes it."]
    axes = [f"stage {n} walks {p.axis.name}" for n, p in enumerate(staged.plans, 1)]
    found.append(f"So it is cut into {count} stages: {_listed(axes)}.")
    if staged.passed:
        names = [f"{o.name}[{','.join(a.name for a in o.axes)}]" if o.axes else o.name for o in staged.passed]
        found.append(f"What is finished is handed on {staged.how}: {_listed(names)}.")
    if not any(map(swells, staged.passed)):
        found.append("What has more axes than the tensors that it is computed from, such as scores, is never handed "
                     "on: a stage that needs it computes it again.")  # fmt: skip
    return found


def _refusal(refusal: Refusal) -> list[str]:
    names = naming(refusal.spec)
    fold = plain(names(refusal.fold, keep=refusal.fold))
    meanings = [f"{symbol} is {plain(names(expr, keep=expr))}" for symbol, expr in refusal.meanings]
    found = [f"The fold {fold} reads values that another fold has to finish first. Its body is g = "
             f"{plain(refusal.body)}, where {_listed(meanings)}, and the rest is known at each position."]  # fmt: skip
    if refusal.mixed:
        terms, read = _listed([plain(m) for m in refusal.mixed]), _listed([str(s) for s, _ in refusal.meanings])
        found.append(
            f"What stops it is {terms}: it mixes {read} with what varies, and is no sum of products of a function of "
            "the one and a function of the other."
        )
    found.append(f"{refusal.reason[0].upper()}{refusal.reason[1:]}.")
    if refusal.evidence is not None:
        n, value = len(refusal.evidence.rows), determinant_text(refusal).removeprefix("= ")
        found.append(
            f"That no {n - 1} accumulators can do is shown by numbers: a {n} x {n} matrix of values of g, each of "
            f"which occurs, has the determinant {value}, not 0 ('refold derive' prints it)."
        )
    found.append(f"What to do: {refusal.advice}.")
    return found


def _cost(outcome: Plan | Staged, spec: Spec) -> tuple[str, ...]:
    sizes = example_sizes(outcome, spec)
    before, after = as_written(spec), fused(outcome)
    lengths: dict[int, list[str]] = {}
    for size, n in sizes.items():
        lengths.setdefault(n, []).append(text(size))
    at = ", ".join(f"{' = '.join(names)} = {n}" for n, names in lengths.items())
    return (
        f"Numbers moved, as written, a kernel for each line: {text(before.moved)}.",
        f"Numbers moved, fused: {text(after.moved)}.",
        f"Operations, as written: {text(before.operations)}.",
        f"Operations, fused: {text(after.operations)}.",
        f"At {at}, in 16 bits: {_sizes(before, sizes)} as written, {_sizes(after, sizes)} fused.",
    )


def cost_data(outcome: Plan | Staged, spec: Spec) -> dict[str, Any]:
    """The cost as polynomials and at the sizes of the example, for machines."""
    sizes = example_sizes(outcome, spec)

    def data(cost: Cost) -> dict[str, Any]:
        moved, operations = cost.at(sizes)
        return {"numbers": text(cost.moved), "operations": text(cost.operations),
                "example": {"bytes": BYTES * moved, "operations": operations}}  # fmt: skip

    return {"sizes": {size.name: n for size, n in sizes.items()}, "written": data(as_written(spec)),
            "fused": data(fused(outcome))}  # fmt: skip


def _sizes(cost: Cost, sizes: dict[Any, int]) -> str:
    moved, operations = cost.at(sizes)
    return f"{_scaled(BYTES * moved)}B moved and {_scaled(operations)} operations"


def _scaled(number: int) -> str:
    """A number to three digits, with the word of a power of a thousand."""
    value, words = float(number), ["", "k", "M", "G", "T", "P"]
    while value >= 999.5 and len(words) > 1:
        value, words = value / 1000, words[1:]
    return f"{value:.3g} {words[0]}"


def _meaning(plan: Plan, a: Accumulator) -> str:
    """The fold of the pipeline that an accumulator is, over the names that the derivation prints."""
    found = [s.before for s in plan.steps if s.rule in ("accumulate", "argmax") and s.after == a.symbol]
    return short(plan, found[0]) if found and isinstance(found[0], Fold) else ""


def _listed(words: list[str]) -> str:
    """`a, b and c`"""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "nothing"


def _verb(subjects: list[str], one: str, several: str) -> str:
    return one if len(subjects) == 1 else several
