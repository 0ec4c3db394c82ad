"""What else there is to say of a verified plan: guards, what overflows, how it rounds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def sections(report: Any) -> tuple[RenderableType, ...]:
    """Guards, overflows and rounding as short tables, of each stage; nothing for a claim, which has no plan."""
    stages = getattr(report, "reports", ())
    if stages:
        titles = (Text(f"Stage {n}", style="bold") for n in range(1, len(stages) + 1))
        return tuple(part for title, stage in zip(titles, stages, strict=True) for part in (title, *sections(stage)))
    found = data(report)
    parts: list[RenderableType] = []
    if found.get("guards"):
        table = _grid()
        for g in found["guards"]:
            table.add_row(Text(g["what"]), Text(f"{g['instead']} unless {g['condition']}"))
            for state in g["fails"]:
                table.add_row("", Text(f"{state['state']}: without it {state['without']}", style="dim"))
        parts += [Group(Text("Guards, and the states that need them", style="bold"), table), ""]
    if found.get("overflow"):
        table = _grid()
        for o in found["overflow"]:
            here, there = ("the fused form", "as written") if o["ours"] else ("as written", "the fused form")
            table.add_row(
                Text(o["dtype"]),
                Text(
                    f"inputs near {o['scale']:g}: {here} {o['expression']} reaches {o['value']:.1e}; "
                    f"{there} nothing exceeds {o['other']:.1e}"
                ),
            )
        parts += [Group(Text("Overflow on one side alone (by running)", style="bold"), table), ""]
    if found.get("rounding"):
        from refold.verify.rounding.bounds import HOLDS

        table = _grid()
        for output, dtypes, formula, how in _alike(found["rounding"]):
            table.add_row(Text(f"output {output}"), Text(f"{dtypes}: {how}{formula}"))
        table.add_row("", Text(HOLDS, style="dim"))
        parts += [Group(Text("Rounding, in the order that is emitted", style="bold"), table), ""]
    return tuple(parts)


def data(report: Any) -> dict[str, Any]:
    """The same for JSON: `guards`, `overflow` and `rounding`."""
    plan = getattr(report, "plan", None)
    if plan is None:
        return {}
    from refold.verify.laws.guards import guards
    from refold.verify.rounding.bounds import bounds
    from refold.verify.rounding.kinds import KINDS
    from refold.verify.rounding.overflow import compare

    return {
        "guards": [
            {"what": g.what, "condition": g.condition, "instead": g.instead,
             "fails": [{"state": state, "without": without} for state, without in g.fails]}
            for g in guards(plan)
        ],
        "overflow": [
            {"dtype": o.dtype, "scale": o.scale, "ours": o.ours, "expression": o.expr, "value": o.value,
             "other": o.other}
            for o in compare(plan)
        ],
        "rounding": [
            {"output": b.output, "dtype": b.dtype, "formula": b.formula,
             "sources": [{"source": s, "count": KINDS[s].count or "1", "unit": KINDS[s].unit} for s in b.sources]}
            for b in bounds(plan)
        ],
    }  # fmt: skip


def _alike(rounding: list[dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """Every output with the dtypes that share a bound, the bound, and the words before it."""
    for (output, formula), same in groupby(rounding, key=lambda r: (r["output"], r["formula"])):
        found = list(same)
        how = "off by at most " if found[0]["sources"] else ""
        yield output, ", ".join(r["dtype"] for r in found), formula, how


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    return table
