"""A proof or a disproof as text and as HTML: a line an obligation, and the input that shows a refutation."""

from __future__ import annotations

from html import escape
from typing import Any

SYMBOLS = {"proved": "✓", "refuted": "✗", "unknown": "?"}


def report_text(report: Any) -> str:
    """The obligations in columns, each with its verdict and time, then counterexamples and the count."""
    rows = [(SYMBOLS[r.verdict], r.name, r.claim, f"{r.verdict} {time_of(report, r)}") for r in report.results]
    widths = [max((len(row[c]) for row in rows), default=0) for c in range(4)]
    claims = min(widths[2], 60)
    lines = [f"{a} {b.ljust(widths[1])}  {c.ljust(claims)}  {d}".rstrip() for a, b, c, d in rows]
    for r in report.results:
        if r.verdict != "proved":
            lines += ["", *unproved_lines(r)]
    return "\n".join([*lines, "", summary(report)])


def is_kept(report: Any) -> bool:
    """Whether a report is a proof of another run; a claim's is none."""
    return bool(getattr(report, "kept", False))


def time_of(report: Any, result: Any) -> str:
    """How long an obligation took; nothing where it was proved in another run."""
    return "" if is_kept(report) else f"{result.seconds:.2f} s"


def unproved_lines(result: Any) -> list[str]:
    """What is known of an obligation that is not proved: the note, and the input that shows the difference."""
    lines = [f"{result.name}: {result.verdict}"]
    if result.note:
        lines.append(f"  {result.note}")
    if result.counterexample is not None:
        rows = example_rows(result.counterexample)
        width = max(len(label) for label, _ in rows)
        lines += [f"  {label.ljust(width)}  {value}" for label, value in rows]
    return lines


def example_rows(example: Any) -> list[tuple[str, str]]:
    """A counterexample as labelled lines: the input, how it was run, both outputs, and where the run went wrong."""
    rows = [("input", example.call), ("run", example.how), ("wanted", example.wanted), ("got", example.got)]
    parting = example.parting
    if parting is not None:
        rows += [("wrong", str(parting))]
        rows += [("before" if n == 0 else "", str(moment)) for n, moment in enumerate(parting.before)]
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
    return line


def report_html(report: Any) -> str:
    """The obligations as a table for notebooks."""
    rows = "".join(
        f"<tr><td>{SYMBOLS[r.verdict]}</td><td>{escape(r.name)}</td><td>{escape(r.claim)}</td>"
        f"<td>{r.verdict}</td><td>{time_of(report, r)}</td></tr>"
        for r in report.results
    )
    unproved = [line for r in report.results if r.verdict != "proved" for line in unproved_lines(r)]
    more = f"<pre>{escape(chr(10).join(unproved))}</pre>" if unproved else ""
    return f"<table>{rows}</table>{more}<p>{escape(summary(report))}</p>"
