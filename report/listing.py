"""`refold list`: the examples by what one looks for, each with its class and rank as derived now."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.table import Table
from rich.text import Text

from refold.errors import RefoldError
from refold.report import pretty
from refold.report.loading import catalogue, load
from refold.report.refused import BY_NAME

# In the order in which they are shown; the file of an example says which of them is its own, as GROUP.
GROUPS = (
    "attention", "masks", "biases", "decoding", "softmax", "norms", "statistics", "losses", "selection", "iterations",
)  # fmt: skip
CLASSES = (
    "class F0: no value that is read is ever stale. F: a stale sum is corrected by one factor or one term (rank 1). "
    "R: by a matrix between several sums (its rank is their number). Of several stages each has its class; refused: "
    "no such form was found."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An example: its file, the group that it names, and what it computes, in a word."""

    path: Path
    group: str
    title: str

    @property
    def place(self) -> tuple[int, str, str]:
        """Where it stands in the list."""
        return GROUPS.index(self.group) if self.group in GROUPS else len(GROUPS), self.group, self.path.stem


def entries() -> list[Entry]:
    """Every example, in the order of the list."""
    return sorted(map(entry, catalogue()), key=lambda e: e.place)


def entry(path: Path) -> Entry:
    """What a file says of itself, read and not run: its GROUP, and the words before the formula of its title."""
    module = ast.parse(path.read_bytes())
    words = {
        target.id: node.value.value
        for node in module.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    line = (ast.get_docstring(module) or "").partition("\n")[0]
    return Entry(path, str(words.get("GROUP", "others")), line.partition(": ")[0].rstrip(".:"))


def show() -> int:
    """Prints the list, a group as soon as it is derived."""
    found = entries()
    with pretty.progress("deriving") as notify:
        for group, members in groupby(found, key=lambda e: e.group):
            pretty.put(Text(group, style="bold"), _table([row(e, notify) for e in members]), "")
    pretty.put(CLASSES, "")
    pretty.put("Not taken, by name ('refold derive NAME' says why, and what to do instead): " + ", ".join(BY_NAME))
    return 0


def row(entry: Entry, notify: Callable[[str], None]) -> tuple[str, str, str, str]:
    """The name of an example, the class and the rank of its plan, and its title."""
    from refold.algebra import Refusal, Staged, stages

    name = entry.path.stem
    notify(name)
    try:
        plan = stages(load(str(entry.path)).value)
    except RefoldError:
        return name, "?", "?", entry.title
    if isinstance(plan, Refusal):
        return name, "refused", "", entry.title
    plans = plan.plans if isinstance(plan, Staged) else (plan,)
    rank = max((a.rank for p in plans for a in p.accumulators), default=0)
    return name, " ".join(p.kind for p in plans), str(rank), entry.title


def _table(rows: list[tuple[str, str, str, str]]) -> Table:
    """Name, class, rank and title; a title that does not fit goes on below."""
    table = Table.grid(padding=(0, 2))
    for style in ("cyan", "", ""):
        table.add_column(no_wrap=True, style=style)
    table.add_column(overflow="fold")
    for name, *rest in rows:
        table.add_row(Text(f"  {name}"), *map(Text, rest))
    return table
