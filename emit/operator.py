"""Prints the torch operator of a kernel file: what torch.compile and torch.export see in the place of a call."""

from __future__ import annotations

from refold.algebra import Plan
from refold.emit.source import block
from refold.spec import Spec


def call_lines(plan: Plan, arguments: list[str]) -> list[str]:
    """What the launcher does while it is traced; else the operator would cost a call some microseconds."""
    call = f"_OPERATOR({', '.join(arguments)})"
    one = len(plan.spec.outputs) == 1
    return block(
        "if torch.compiler.is_compiling() and out is None:",
        [f"return {call}" if one else f"return dict(zip(TABLES.outputs, {call}))"],
    )


def operator_words(spec: Spec, lengths: list[str]) -> dict[str, str]:
    """What a call takes by name, with its kind to torch; `lengths` are the axes that it takes."""
    return {p.name: "int" if p.is_integer else "float" for p in spec.params} | dict.fromkeys(lengths, "SymInt")


def as_tuple(names: list[str]) -> str:
    """Names as the text of a tuple."""
    return f"({', '.join(names)}{',' * (len(names) == 1)})"
