"""A proof or a disproof as text and as HTML: a line a group, and the input that shows a refutation."""

from __future__ import annotations

from html import escape
from typing import Any

from refold.verify.advice import meanings, next_step
from refold.verify.groups import groups
from refold.verify.places import place_of

SYMBOLS = {"proved": "✓", "refuted": "✗", "unknown": "?"}


def report_text(report: Any) -> str:
    """What was proved, in groups, the counterexamples, and the verdict: a screen at most where all is proved."""
    rows = [(SYMBOLS[g.verdict], g.name, g.count, g.says) for g in groups(report.results)]
    names, counts = (max((len(row[c]) for row in rows), default=0) for c in (1, 2))
    lines = [f"{sign} {name.ljust(names)}  {count.rjust(counts)}  {says}" for sign, name, count, says in rows]
    if said := own_conditions(report):
        lines += ["", *(f"note: {note}" for note in said)]
    for r in report.results:
        if r.verdict != "proved":
            lines += ["", *unproved_lines(r, report)]
    return "\n".join([*lines, "", f"{SYMBOLS[report.verdict]} {report.verdict}   {summary(report)}"])


def is_kept(report: Any) -> bool:
    """Whether a report is a proof of another run; a claim's is none."""
    return bool(getattr(report, "kept", False))


def time_of(report: Any, result: Any) -> str:
    """How long an obligation took; nothing where it was proved in another run."""
    return "" if is_kept(report) else f"{result.seconds:.2f} s"


def own_conditions(report: Any) -> list[str]:
    """Where the pipeline as written has no value, or an exponent without a bound: no fault of the fused form."""
    own = (r for r in report.results if r.verdict == "proved" and r.name.startswith(("conditions ", "range ")))
    return list(dict.fromkeys(r.note for r in own if r.note))


def unproved_lines(result: Any, report: Any) -> list[str]:
    """What is known of an obligation that is not proved, and what to do, as labelled lines under its name."""
    rows = unproved_rows(result, report)
    width = max((len(label) for label, _ in rows), default=0)
    return [f"{result.name}: {result.verdict}", *(f"  {label.ljust(width)}  {value}" for label, value in rows)]


def unproved_rows(result: Any, report: Any) -> list[tuple[str, str]]:
    """The line it is about, the note, what accumulators stand for, the input that shows it, and what to do next."""
    plan = getattr(report, "plan", None)
    place = place_of(report, result)
    rows = [("at", str(place) if place is not None else ""), ("note", result.note)]
    rows += [("with", meanings(plan, result))] if plan is not None else []
    rows += example_rows(result.counterexample) if result.counterexample is not None else []
    rows += [("next", next_step(result, derived=not hasattr(report, "claim")))]
    # The rows of a run that go on have no label of their own; a row without a value says nothing.
    return [(label, value) for label, value in rows if value]


def example_rows(example: Any) -> list[tuple[str, str]]:
    """A counterexample as labelled lines: the input, how it was run, both outputs, and where the run went wrong."""
    rows = [("input", example.call), ("run", example.how), ("wanted", example.wanted), ("got", example.got)]
    divergence = example.divergence
    if divergence is not None:
        rows += [("wrong", str(divergence))]
        rows += [("before" if n == 0 else "", str(moment)) for n, moment in enumerate(divergence.before)]
    else:
        rows += [("trace" if n == 0 else "", str(moment)) for n, moment in enumerate(example.trace)]
    return rows


def summary(report: Any) -> str:
    """`7 of 7 obligations proved in 0.41 s`, or which are not."""
    proved = sum(r.verdict == "proved" for r in report.results)
    seconds = sum(r.seconds for r in report.results)
    took = "earlier, and rechecked now" if is_kept(report) else f"in {seconds:.2f} s"
    line = f"{proved} of {len(report.results)} obligations proved {took}"
    for verdict in ("refuted", "unknown"):
        names = [r.name for r in report.results if r.verdict == verdict]
        line += f"; {verdict}: {', '.join(names)}" if names else ""
    alone = [r.name for r in report.results if r.alone]
    return line + (f"; answered by one solver alone: {', '.join(dict.fromkeys(alone))}" if alone else "")


def report_html(report: Any) -> str:
    """What `report_text` says for notebooks, with every obligation in a table that unfolds."""
    rows = "".join(
        f"<tr><td>{SYMBOLS[r.verdict]}</td><td>{escape(r.name)}</td><td>{escape(r.claim)}</td>"
        f"<td>{r.verdict}</td><td>{time_of(report, r)}</td></tr>"
        for r in report.results
    )
    unproved = [line for r in report.results if r.verdict != "proved" for line in unproved_lines(r, report)]
    more = f"<pre>{escape(chr(10).join(unproved))}</pre>" if unproved else ""
    every = f"<details><summary>every obligation</summary><table>{rows}</table></details>"
    shown = "".join(
        f"<tr><td>{SYMBOLS[g.verdict]}</td><td>{g.name}</td><td>{g.count}</td><td>{escape(g.says)}</td></tr>"
        for g in groups(report.results)
    )
    return f"<table>{shown}</table>{more}<p>{report.verdict}: {escape(summary(report))}</p>{every}"
