"""Text with its precedence: how tightly a piece binds decides its parentheses, here and nowhere else.

Every printer of expressions makes its text by these operators: kernels, launcher, eager reference, masks and mods.
"""

from __future__ import annotations

from dataclasses import dataclass

from refold.spec import Index

# Python's own levels, the loosest first. A quotient binds as a product does, but is no right operand of one:
# c * (i // c) is not c * i // c. A text that begins with a sign binds as a sum.
CHOICE, OR, AND, COMPARISON, BITS_OR, BITS_XOR, BITS_AND, SUM, QUOTIENT, PRODUCT, SIGN, ATOM = range(12)
# Of every operator: what its left operand has to bind as, what each of the others has to, and what the text binds as.
INFIX: dict[str, tuple[int, int, int]] = {
    "or": (OR, OR, OR),
    "and": (AND, AND, AND),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), (BITS_OR, BITS_OR, COMPARISON)),
    "|": (BITS_OR, BITS_OR, BITS_OR),
    "^": (BITS_XOR, BITS_XOR, BITS_XOR),
    "&": (BITS_AND, BITS_AND, BITS_AND),
    "+": (SUM, QUOTIENT, SUM),
    "-": (SUM, QUOTIENT, SUM),
    "*": (QUOTIENT, SIGN, PRODUCT),
    **dict.fromkeys(("/", "//", "%"), (QUOTIENT, SIGN, QUOTIENT)),
    "**": (ATOM, ATOM, SIGN),
}


@dataclass(frozen=True, slots=True)
class Val:
    """A piece of text, the axes of its tile in canonical order, and how tightly it binds."""

    text: str
    axes: tuple[Index, ...] = ()
    binds: int = ATOM

    def at(self, level: int) -> str:
        """The text as an operand that has to bind as tightly as `level`."""
        return self.text if self.binds >= level else f"({self.text})"

    def indexed(self, subscript: str, axes: tuple[Index, ...]) -> Val:
        return Val(f"{self.at(ATOM)}[{subscript}]", axes)

    def method(self, call: str) -> Val:
        return Val(f"{self.at(ATOM)}.{call}", self.axes)


def infix(sign: str, *values: Val, axes: tuple[Index, ...] = ()) -> Val:
    """The operands joined from the left; one alone stays as it is."""
    first, *others = values
    if not others:
        return first
    left, right, level = INFIX[sign]
    # An operand that keeps its own looser operators in view hands their level on.
    binds = min(level, first.binds) if first.binds >= left else level
    return Val(f" {sign} ".join([first.at(left), *(v.at(right) for v in others)]), axes, binds)


def negative(val: Val) -> Val:
    return Val(f"-{val.at(PRODUCT)}", val.axes, SUM)


def inverted(val: Val) -> Val:
    return Val(f"~{val.at(ATOM)}", val.axes, SIGN)


def number(value: float) -> Val:
    """A literal of Python; finite."""
    return Val(repr(value), (), SUM if repr(value).startswith("-") else ATOM)


def call(form: str, *values: Val, axes: tuple[Index, ...] = ()) -> Val:
    """A form that sets its arguments between parentheses or commas of its own."""
    return Val(form.format(*(v.text for v in values)), axes)


def choice(then: Val, cond: Val, other: Val, axes: tuple[Index, ...] = ()) -> Val:
    return Val(f"{then.at(OR)} if {cond.at(OR)} else {other.at(CHOICE)}", axes, CHOICE)
