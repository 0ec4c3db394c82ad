"""A plan or a refusal as sections of lines, as text and as LaTeX; the command line colours the sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import sympy as sp

from refold.algebra.fewest import fewest_sums
from refold.algebra.plan import Accumulator, Plan, Refusal, State, Step
from refold.algebra.reassociate import Reassociated, put_in
from refold.algebra.sections import Line, Section, point, sections_text
from refold.algebra.stages import Staged
from refold.algebra.worth import LONG, SHORT, long_axes
from refold.spec import Fold, Index, Size, Spec
from refold.spec.abbreviate import substitute
from refold.spec.mathematics import definition, latex, text

_SIGN = {"sum": "Σ", "count": "Σ", "prod": "Π"}
_INFIX = {"sum": "+", "count": "+", "prod": "·"}


# What each law of re-association says of its use.
LAWS: dict[str, str] = {
    "monotone": "a map that does not fall leaves the maximum",
    "distribute": "multiplied out, into products of two tiles: it cancels where both are near each other",
    "contract": "factors that do not vary with an axis leave its sum, and sums exchange",
}


def spec_section(spec: Spec, prefer: Mapping[sp.Expr, str] | None = None) -> Section:
    """The pipeline as written, its repeated parts under names."""
    lines = [Line(left, f"= {right}") for left, right in spec.lines(prefer)]
    lines += [Line("", promise) for promise in spec.promises()]
    if spec.empty is not sp.nan:
        lines.append(Line("", f"{text(spec.empty)} where a reduction ranges over nothing"))
    return Section("Pipeline", tuple(lines))


def plan_sections(plan: Plan) -> tuple[Section, ...]:
    """The pipeline, what varies, the steps of the derivation, the loop, the end, and the side conditions."""
    axis = plan.axis.name
    table, prefer = _names(plan)
    steps = tuple(_numbered(plan, table))
    elements = tuple(Line(str(e.symbol), f"= {definition(e.expr)}", _reach(e.infinite)) for e in plan.elements)
    found = [
        spec_section(plan.spec, prefer),
        Section(f"At each position of {axis}", elements),
        Section(f"Derivation ({_walks(plan)})", steps),
        *_fused(plan),
        Section("Conditions", tuple(_conditions(plan))),
        fewest_sums(plan, partial(short, plan)),
    ]  # fmt: skip
    return tuple(section for section in found if section.lines)


def stage_sections(staged: Staged) -> tuple[Section, ...]:
    """The pipeline, why it is cut and how, and the sections of every stage."""
    form = [] if staged.form is None else [form_section(staged.form)]
    lines = [Line("one pass", staged.why)] if staged.why else []
    lines += [Line("one axis", f"{f.axis} for {f.outer}, {f.inner}: position {f.outer}·|{f.inner}| + {f.inner}")
              for f in staged.flats]  # fmt: skip
    passed = [f"{o.name}[{','.join(a.name for a in o.axes)}]" if o.axes else o.name for o in staged.passed]
    lines += [Line("handed on", ", ".join(passed), staged.how)] if passed else []
    cut = [Section("Cut into stages" if passed else "Rewritten", tuple(lines))] if lines else []
    found = [spec_section(staged.spec), *form, *cut]
    for n, plan in enumerate(staged.plans, 1):
        first, *rest = plan_sections(plan)
        title = f"Stage {n}, over {plan.axis.name}: class {plan.kind}"
        found += [Section(title, first.lines), *rest]
    return tuple(found)


def form_section(form: Reassociated) -> Section:
    """The laws by which another form of a pipeline is computed, and what it saves."""
    lines, spec = [], form.before
    for n, use in enumerate(form.uses, 1):
        parts: dict[Any, Any] = {part.expr: part.symbol for part in spec.parts() if part.expr != use.before}
        before, after = (text(substitute(side, parts)) for side in (use.before, use.after))
        lines.append(Line(f"{n:2} {use.law}", f"{before} = {after}", LAWS[use.law]))
        spec = put_in(spec, use.before, use.after)
    if form.saved is None:
        return Section("Re-associated", tuple(lines))
    written, new = form.saved
    if written is None or new is None:
        last = Line("saves", "as written there is no kernel", "a stage would hold too many axes whole")
        return Section("Re-associated", (*lines, last))
    for word, x, y in (("work", written.work, new.work), ("bytes", written.bytes, new.bytes)):
        if x != y:
            lines.append(
                Line(word, " → ".join(text(sp.Add(*terms)) for terms in _differing(x, y)), "where they differ")
            )
    long = long_axes(form.before)
    lengths = f"where {', '.join(sorted(long))} are of length {LONG}, and other axes of length {SHORT}"
    lines.append(Line("saves", f"{1 - new.at(long) / written.at(long):.1%}", lengths))
    return Section("Re-associated", tuple(lines))


def _differing(one: sp.Expr, other: sp.Expr) -> tuple[set[sp.Expr], set[sp.Expr]]:
    """The terms that only one of two sums has."""
    left, right = ({*sp.Add.make_args(x)} for x in (one, other))
    return left - right, right - left


def _walks(plan: Plan) -> str:
    written, fused = passes(plan)
    return f"{written} {'passes' if written > 1 else 'pass'} over {plan.axis.name} as written, {fused} fused"


def _fused(plan: Plan) -> tuple[Section, Section]:
    """The loop, and what is made of its last state."""
    axis = plan.axis.name
    loop = tuple(Line(str(a.symbol), f"← {update_text(a, axis)}") for a in plan.accumulators)
    anchors = [Line(str(a.stale), f"= {plain(a.expr)}") for a in plan.anchors if str(a.expr) != str(a.stale)]
    return (
        Section(f"The loop over parts of {axis} (plain: before a part, primed: after it)", (*loop, *anchors)),
        Section("At the end", tuple(_finish(plan))),
    )


def update_text(a: Accumulator, axis: str) -> str:
    """What an accumulator becomes: what it was, corrected, joined by what is new."""
    if a.reducer == "argmax":
        return f"the position of {a.key}, the lowest of equals"
    element = plain(a.element)
    element = f"({element})" if a.element.is_Add else element
    if a.reducer in _INFIX:
        return f"{plain(a.correction)} {_INFIX[a.reducer]} {_SIGN[a.reducer]}_{axis} {element}"
    return f"{a.reducer}({plain(a.correction)}, {a.reducer}_{axis} {element})"


def passes(plan: Plan) -> tuple[int, int]:
    """How often the axis is walked as written (the longest chain of waiting folds) and fused."""

    def chain(expr: sp.Basic) -> int:
        inner = max((chain(arg) for arg in expr.args), default=0)
        return inner + (isinstance(expr, Fold) and expr.axis == plan.axis)

    again = int(any(plan.axis in o.axes for o in plan.spec.outputs))
    return max(chain(o.expr) for o in plan.spec.outputs) + again, 1 + again


def plan_text(plan: Plan) -> str:
    """The derivation as plain text."""
    return sections_text(plan_sections(plan))


def plan_brief(plan: Plan) -> str:
    """The loop and the end, without how they were derived: what fits a screen."""
    head = f"plan of class {plan.kind}: {_walks(plan)}; print(plan) shows the derivation"
    return f"{head}\n\n{sections_text(_fused(plan))}"


def plan_latex(plan: Plan) -> str:
    """The updates and the finish as an aligned block."""
    rows = [rf"{latex(a.symbol)} &\leftarrow {_update_latex(a, plan.axis)}" for a in plan.accumulators]
    rows += [rf"{latex(a.stale)} &= {latex(a.expr)}" for a in plan.anchors if str(a.expr) != str(a.stale)]
    rows += [rf"{f.name} &= {latex(f.expr)}" for f in plan.finish]
    return "$$\\begin{aligned}" + r"\\".join(rows) + "\\end{aligned}$$"


def _update_latex(a: Accumulator, axis: Index) -> str:
    if a.reducer in _INFIX:
        sign = r"\prod" if a.reducer == "prod" else r"\sum"
        element = latex(a.element)
        element = rf"\left({element}\right)" if a.element.is_Add else element
        joint = r" \cdot " if a.reducer == "prod" else " + "
        return rf"{latex(a.correction)}{joint}{sign}_{{{axis.name}}} {element}"
    word = rf"\operatorname{{{a.reducer}}}"
    return rf"{word}\left({latex(a.correction)}, {word}_{{{axis.name}}} {latex(a.element)}\right)"


def refusal_sections(refusal: Refusal) -> tuple[Section, ...]:
    """The pipeline, the reason, the matrix whose determinant is the evidence, the class, and what to do."""
    fold = plain(naming(refusal.spec)(refusal.fold, keep=refusal.fold))
    found = [
        spec_section(refusal.spec),
        Section("Refused", (
            Line("fold", fold), Line("body", f"g = {plain(refusal.body)}", "r: finished before the fold"),
            Line("reason", refusal.reason), Line("class", refusal.kind), Line("next", refusal.advice),
        )),
    ]  # fmt: skip
    proof = refusal.evidence
    if proof is not None:
        n = len(proof.rows)
        columns = ", ".join(point(p) for p in proof.columns)
        rows = zip(proof.rows, proof.added, _matrix(proof.matrix), strict=True)
        lines = [Line(f"{text(symbol)} = {text(value)}", "") for symbol, value in proof.constants]
        for anchors, added, row in rows:
            part = "r of these elements" if added is None else f"with {text(added)} added"
            lines.append(Line(f"r = {point(anchors)}", row, part))
        lines.append(Line("det", determinant_text(refusal), "not 0"))
        lines.append(Line("so", f"no {n - 1} accumulators can do: at least {n} are needed"))
        found.append(Section(f"Evidence: g at the elements c = {columns}, with r of these and more", tuple(lines)))
    return tuple(found)


def determinant_text(refusal: Refusal) -> str:
    """The determinant exactly where it is rational, else its rigorous enclosure."""
    assert refusal.evidence is not None
    low, high = refusal.evidence.enclosure
    if refusal.evidence.determinant.is_Rational:
        return f"= {low}"
    return f"≈ {low}" if low == high else f"in [{low}, {high}]"


def refusal_text(refusal: Refusal) -> str:
    """The refusal as plain text."""
    return sections_text(refusal_sections(refusal))


def naming(spec: Spec) -> Callable[..., Any]:
    """Writes the names that a pipeline is printed with for its parts; `keep` stays as it is, but for its own parts."""
    table = {part.expr: part.symbol for part in spec.parts()}
    return lambda expr, keep=None: substitute(expr, {e: s for e, s in table.items() if e != keep})


def short(plan: Plan, expr: sp.Basic) -> str:
    """An expression of the pipeline as one line, over the names that the derivation prints."""
    whole = _lengths(expr, plan.axis)
    return plain(substitute(whole, {e: s for e, s in _names(plan)[0].items() if e != whole}))


def _names(plan: Plan) -> tuple[dict[Any, Any], dict[sp.Expr, str]]:
    """What the derivation writes for parts of the pipeline, and the names the pipeline is printed with."""
    table: dict[Any, Any] = {}
    accumulated = [(s.before, s.after) for s in plan.steps if s.rule in ("accumulate", "argmax")]
    for fold, state in accumulated:
        if isinstance(state, State):
            table[_lengths(fold, plan.axis)] = state
    for step in plan.steps:
        if step.rule == "mean" and _lengths(step.after, plan.axis) in table:
            table[_lengths(step.before, plan.axis)] = table[_lengths(step.after, plan.axis)]
    elements = {e.expr: e.symbol for e in plan.elements if e.expr.args}
    prefer = {expr: str(symbol) for expr, symbol in (elements | table).items()}
    return elements | table, prefer


def _lengths(expr: Any, axis: Index) -> Any:
    """A count of every position is written as the length of the axis: the inverse of the rule `count`."""
    return expr.xreplace({Fold("count", sp.S.One, axis): Size(axis.name)})


def plain(expr: sp.Basic) -> str:
    counts = {f: Size(f.axis.name) for f in expr.atoms(Fold) if f.kind == "count" and f.body == 1}
    return definition(expr.xreplace(counts))


def _numbered(plan: Plan, table: dict[Any, Any]) -> Iterator[Line]:
    """The steps with their numbers, each a line, a law of a higher rank with the rows of its matrix below."""
    said = False
    for n, step in enumerate(plan.steps, 1):
        lines = _step(plan, step, table)
        note = lines[0].note
        if step.rule == "correct" and not said:
            anchors = [s for a in plan.accumulators if a.symbol == step.before for s in a.anchors]
            said, note = True, ", ".join(f"from the stale {s} to the fresh {s}′" for s in anchors)
        yield Line(f"{n:2} {step.rule}", lines[0].formula, note)
        yield from lines[1:]


def _step(plan: Plan, step: Step, table: dict[Any, Any]) -> list[Line]:
    """`before -> after` of one step over the names of the accumulators, and its note."""
    before_folds = step.before.atoms(Fold) if step.before is not None else set()
    after_folds = step.after.atoms(Fold) if step.after is not None else set()
    hidden = {_lengths(f, plan.axis) for f in after_folds - before_folds if f.kind == "sum"}

    def short(expr: sp.Basic | None) -> str:
        if expr is None:
            return ""
        whole = _lengths(expr, plan.axis)
        return plain(substitute(whole, {e: s for e, s in table.items() if e != whole and e not in hidden}))

    before, after = short(step.before), short(step.after)
    match step.rule:
        case "count":
            return [Line("", f"|{plan.axis.name}| is counted along", step.note)]
        case "law" if isinstance(step.after, sp.Tuple):
            basis = [short(phi) for phi in step.after]
            head = basis[0] if len(basis) == 1 else f"({', '.join(basis)})"
            families = [a.family for a in plan.accumulators if a.family is not None]
            matrices = [f.matrix for f in families if f.basis == tuple(step.after)]
            rows = _matrix(matrices[0]) if matrices and len(basis) > 1 else []
            below = [Line("", f"{'T =' if n == 0 else '   '} {row}") for n, row in enumerate(rows)]
            return [Line("", f"φ = {head}", f"rank {len(basis)}"), *below]
        case "correct":
            return [Line("", f"{before} → {after}")]
        case "accumulate" | "argmax":
            return [Line("", f"{after} = {before}", step.note)]
    return [Line("", f"{before} = {after}" if after else before, step.note)]


def _matrix(matrix: Any) -> list[str]:
    """The rows of a matrix, its columns aligned."""
    entries = [[point(x) for x in matrix.row(n)] for n in range(matrix.rows)]
    widths = [max(len(row[c]) for row in entries) for c in range(matrix.cols)]
    return ["[ " + "  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True)) + " ]" for row in entries]


def _reach(infinite: int) -> str:
    return {-1: "-∞ where masked", 1: "∞ where masked"}.get(infinite, "")


def _finish(plan: Plan) -> Iterator[Line]:
    for f in plan.finish:
        left = f"{f.name}[{','.join(a.name for a in f.axes)}]" if f.axes else f.name
        guard = f"where {text(f.guard)}, else {text(f.empty)}" if f.guard is not sp.true else ""
        yield Line(left, f"= {plain(f.expr)}", guard)


def _conditions(plan: Plan) -> Iterator[Line]:
    for c in plan.conditions:
        yield Line(text(c.claim), f"for {c.where}", "tested at run time" if c.guarded else "to be proved")
