"""docs/architecture.md shows what the code prints: each block is printed here and compared with the page."""

from __future__ import annotations

import pprint
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from refold import derive
from refold.algebra import Plan
from refold.algebra.monoid import Operation, monoid
from refold.algebra.program import program, split
from refold.emit.triton import function_text
from refold.examples.attention import SPEC
from refold.schedule import ir
from refold.schedule.execute import execute
from refold.schedule.lower.kernels import Kernels, kernels
from refold.schedule.show import listing
from refold.schedule.terms import Term
from refold.schedule.tiles import terms
from refold.spec.mathematics import text

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
BLOCK = re.compile(r"(<!-- printed: (\w+) -->\n```\w+\n)(.*?)(```)", re.DOTALL)
TYPES = {"k_ptr": "*fp32", "q_ptr": "*fp32", "v_ptr": "*fp32", "o_ptr": "*fp32", "scale_2": "fp32"}
CONSTANTS = {"INDEX": "tl.int32", "OPERAND": "tl.float32", "DESC": False, "BLOCK_M": 2, "BLOCK_N": 2, "BLOCK_d": 2,
             "BLOCK_e": 2, "SIZE_d": 2, "SIZE_e": 2}  # fmt: skip


def test_the_page_shows_what_is_printed(request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = printed()
    assert {m[2] for m in BLOCK.finditer(page)} == {*blocks}
    new = BLOCK.sub(lambda m: m[1] + blocks[m[2]].rstrip() + "\n" + m[4], page)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(new, encoding="utf-8")
    assert page == new, "read the difference; if it is right: pytest --update-golden"


def printed() -> dict[str, str]:
    """Every block of the page, by its name."""
    plan = derive(SPEC)
    assert isinstance(plan, Plan)
    laws, made = monoid(plan), kernels(plan, "attention")
    step = next(f for f in made.functions if f.name == "_step")
    once = program(plan)
    unit = ", ".join(f"{s} = {text(u)}" for s, u in laws.units().items())
    assert laws.combine is not None
    lines = ["unit", f"  {unit}", "update", *written(laws.update), "combine", *written(laws.combine)]
    lines += ["project", *(f"  {f.name} = {text(f.expr)}" for f in laws.project)]
    scores = next(s for s in step.body if isinstance(s, ir.Let) and s.target.text == "dot")
    return {
        "spec": str(SPEC),
        "plan": str(plan).partition("Conditions")[0],
        "monoid": "\n".join(lines),
        "program": "\n\n".join(str(p) for p in (once, split(once, plan.axis))),
        "node": pprint.pformat(scores, width=118),
        "step": function_text(step),
        "term": "\n".join(listing(sum_of_weights(made))),
    }


def written(operation: Operation) -> Iterator[str]:
    for let in operation.lets:
        yield f"  {let.symbol} ← {text(let.expr)}"


def sum_of_weights(made: Kernels) -> Term:
    """What the loop over mask-free tiles makes of `l` in the first lane."""
    types = TYPES | {p.text: "i32" for p in made.rolling.parameters if p.text not in TYPES and p.text not in CONSTANTS}
    outcome = execute(made.rolling, types, CONSTANTS, {f.name: f for f in made.functions})
    carried = next(c for c in outcome.loops[0].carried if c.name == "l")
    return terms(carried.then)[0]
