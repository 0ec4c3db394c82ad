"""What refold answers, for people: sections of mathematics and a table of verdicts, coloured on terminals."""

from __future__ import annotations

import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from refold.report.loading import Loaded

STYLES = {"proved": "green", "refuted": "bold red", "unknown": "yellow"}


def put(*parts: RenderableType, wide: bool = False) -> None:
    """Prints to stdout: coloured and as wide as the terminal; plain and 80 columns (or COLUMNS) in a pipe.

    `wide` is for lists, whose lines a pipe gets whole.
    """
    console = Console(highlight=False)
    write(_lines(console, parts, wide=wide))


def plain(*parts: RenderableType) -> str:
    """What `put` prints into a pipe."""
    return _lines(Console(highlight=False, file=io.StringIO(), force_terminal=False, no_color=True), parts, wide=False)


def _lines(console: Console, parts: tuple[RenderableType, ...], *, wide: bool) -> str:
    if wide and not console.is_terminal:
        console.width = 1000
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    lines = capture.get().split("\n")
    return "\n".join(line.rstrip() for line in lines) if not console.is_terminal else "\n".join(lines)


def write(text: str) -> None:
    """Writes a finished answer to stdout at once, so that a closed pipe is noticed here."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """A line that moves while something runs, where stdout and stderr are a terminal; nothing elsewhere."""
    if not (sys.stderr.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        yield lambda _: None
        return
    console = Console(stderr=True, highlight=False)
    with console.status(Text(title), spinner="dots") as status:
        yield lambda what: status.update(Text.assemble(title, " ", (what, "dim")))


def heading(loaded: Loaded) -> Text:
    return Text.assemble((loaded.name, "bold"), "   ", (f"{loaded.place}:{loaded.line}", "dim"))


def sections(parts: Sequence[Any]) -> Group:
    """Sections of `refold.algebra.display`, each a title over aligned lines."""
    return Group(*(part for section in parts for part in (Text(), _section(section))))


def _section(section: Any) -> Group:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(overflow="fold")
    for line in section.lines:
        note = f"   {line.note}" if line.note else ""
        gap = "" if line.formula[:1] in ("=", "←") else " "
        grid.add_row(Text(f"  {line.label}{gap}"), Text.assemble(line.formula, (note, "dim italic")))
    return Group(Text(section.title, style="bold"), grid)


def derivation(loaded: Loaded, outcome: Any) -> Group:
    """A plan or a refusal, and one line that says which."""
    from refold.algebra import Refusal, Staged
    from refold.algebra.display import plan_sections, refusal_sections, stage_sections

    if isinstance(outcome, Staged):
        last = Text.assemble(
            ("✓ derived", "green"), f"   {len(outcome.plans)} {'stages' if len(outcome.plans) > 1 else 'stage'}"
        )
        return Group(heading(loaded), sections(stage_sections(outcome)), Text(), last)
    if isinstance(outcome, Refusal):
        last = Text.assemble(("✗ refused", "bold red"), f"   {outcome.kind}")
        return Group(heading(loaded), sections(refusal_sections(outcome)), Text(), last)
    count = len(outcome.accumulators)
    rank = max((a.rank for a in outcome.accumulators), default=0)
    carried = f"{count} accumulator{'s' if count != 1 else ''}"
    last = Text.assemble(("✓ derived", "green"), f"   class {outcome.kind}, rank {rank}, {carried}")
    return Group(heading(loaded), sections((*plan_sections(outcome), *forms(outcome))), Text(), last)


def forms(plan: Any) -> tuple[Any, ...]:
    """The bounds of both forms of what has a centred one, and how to ask for it."""
    from refold.algebra.sections import Line, Section
    from refold.verify.rounding.forms import ABOUT, LENGTH, both_forms

    found = both_forms(plan)
    if not found:
        return ()
    names = {False: "raw moments", True: "centred"}
    lines = [
        Line(names[form.centred], " and ".join(f"{bound:.1e}" for bound in form.bounds),
             "this form" if form.centred == plan.spec.centred else "pipeline(..., centred=True) asks for it"
             if form.centred else "as written")
        for form in found
    ]  # fmt: skip
    data = f"{LENGTH} positions, data of deviation 1 about {' and '.join(map(str, ABOUT))}"
    return (Section(f"Bound on float32 rounding in both forms ({data})", tuple(lines)),)


def explanation(loaded: Loaded, chapters: Sequence[Any]) -> Group:
    """Chapters of sentences, each sentence a paragraph that begins at a margin."""
    rows: list[RenderableType] = [heading(loaded)]
    for chapter in chapters:
        rows += [Text(), Text(chapter.title, style="bold")]
        rows += [Padding(Text(sentence), (0, 0, 0, 2)) for sentence in chapter.sentences]
    return Group(*rows)


def groups(report: Any) -> Group:
    """What was proved, in groups, what shows each refutation, and the verdict."""
    from refold.verify.display import SYMBOLS
    from refold.verify.groups import groups as groups_of

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for g in groups_of(report.results):
        table.add_row(Text(SYMBOLS[g.verdict], style=STYLES[g.verdict]), Text(g.name), Text(g.count), Text(g.says))
    return Group(table, unproved(report))


def obligations(report: Any) -> Group:
    """The verdicts as a table, what shows each refutation, and the count."""
    from refold.verify.display import SYMBOLS, time_of

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", style="cyan", ratio=1)
    table.add_column(overflow="fold", ratio=3)
    table.add_column(no_wrap=True, justify="right", style="dim")
    for r in report.results:
        told = Text(f"{SYMBOLS[r.verdict]} {r.verdict}", style=STYLES[r.verdict])
        table.add_row(told, Text(r.name), Text(r.claim), Text(time_of(report, r)))
    return Group(Text("Obligations", style="bold"), table, unproved(report))


def unproved(report: Any) -> Group:
    """What is known of each obligation that is not proved, and the count of those that are."""
    from refold.verify.display import SYMBOLS, own_conditions, summary

    said: list[RenderableType] = [Text(f"note: {note}", style="dim") for note in own_conditions(report)]
    parts = [part for r in report.results if r.verdict != "proved" for part in (Text(), counterexample(r, report))]
    verdict = Text(f"{SYMBOLS[report.verdict]} {report.verdict}", style=STYLES[report.verdict])
    last = Text.assemble(verdict, f"   {summary(report)}")
    return Group(*([Text(), *said] if said else []), *parts, Text(), last)


def counterexample(result: Any, report: Any) -> Group:
    """The obligation that fails, the smallest input that shows it, what was wanted and what came, and what to do."""
    from refold.verify.display import unproved_rows

    title = Text.assemble((f"{result.name} is {result.verdict}", STYLES[result.verdict]), f"   {result.claim}")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(overflow="fold")
    styles = {"wanted": "green", "got": "bold red", "wrong": "bold red"}
    for label, value in unproved_rows(result, report):
        grid.add_row(Text(f"  {label}"), Text(value, style=styles.get(label, "")))
    return Group(title, grid)


def files(paths: Sequence[Any], note: str) -> Group:
    """The files of a bundle, those of one query each as their folder and how many they are; whether its kernel ran."""
    queries = Counter(path.parent for path in paths if path.suffix == ".smt2")
    rows = [Text(f"  {path}") for path in paths if path.suffix != ".smt2"]
    rows += [Text(f"  {folder}/  {n} queries in SMT-LIB") for folder, n in queries.items()]
    return Group(Text("Bundle", style="bold"), *rows, Text(f"  {note}", style="dim"))


def tests_line(tests: Any) -> Group:
    """How the emitted tests ended, with pytest's words where they failed; None where they did not run."""
    if tests is None:
        return Group(Text.assemble(("- tests", "dim"), "   not run"))
    if tests.passed:
        return Group(Text.assemble(("✓ tests", "green"), f"   {tests.summary}"))
    return Group(Text(tests.output), Text(), Text.assemble(("✗ tests", "bold red"), f"   {tests.summary}"))
