"""Functions as text: their parameters are the names that their lines leave free, in a fixed order."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from refold.emit.heads import HELPERS

_GLOBAL = {"tl", "triton", *dir(builtins), *HELPERS}
# Words of the kernels and of the launcher: a spec cannot have them for its own names.
_WORDS = """tl triton torch math out schedule splits block_m block_n num_warps num_stages pid tiles lead lead0 lead1
batch chunk part parts start group group_size groups in_group first_row last_row lo hi j0 i0 full_lo full_hi size
inputs args last back scale still ok reference live size_lead size_batch before beside place side
given device layout views outputs copied pads programs
options work works launches hopper"""
RESERVED = frozenset(_WORDS.split())
# Compile-time constants by name, beside blocks (`BLOCK_*`) and sizes held in registers (`SIZE_*`).
CONSTANTS = ("MASKED", "INDEX", "OPERAND", "STAGES", "OVERLAP", "BOX", "FAST", "ONE_TILE", "RAGGED", "EVICT")


@dataclass(slots=True)
class Names:
    """Hands out identifiers, each once; a function's are its own, apart from those it may be handed from outside."""

    taken: set[str] = field(default_factory=set)
    outer: Names | None = None
    inner: list[Names] = field(default_factory=list)

    def function(self) -> Names:
        """The names of a function that is written next."""
        self.inner.append(Names(set(), self))
        return self.inner[-1]

    def has(self, name: str) -> bool:
        return name in self.taken or (self.outer is not None and self.outer.has(name))

    def fresh(self, wish: str) -> str:
        """`wish`, or `wish_2`, ... where it is taken."""
        wish = re.sub(r"\W", "", wish) or "t"
        name, n = wish, 2
        while self.has(name) or any(i.has(name) for i in self.inner) or name in _GLOBAL or keyword.iskeyword(name):
            name, n = f"{wish}_{n}", n + 1
        self.taken.add(name)
        return name


def free_names(lines: Iterable[str]) -> set[str]:
    """The names that a body reads and that nothing in it, or outside of every kernel, defines before."""
    tree = ast.parse("\n".join(lines))
    bound: dict[str, int] = {}
    used: dict[str, int] = {}
    for n in ast.walk(tree):
        if isinstance(n, ast.Name):
            lines_of = bound if isinstance(n.ctx, ast.Store) else used
            lines_of[n.id] = min(n.lineno, lines_of.get(n.id, n.lineno))
    # A name whose first line gives it a value of itself (`q_ptr += ...`, `q_ptr = q_ptr + ...`) is read first.
    updated = {n.target.id for n in ast.walk(tree) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}
    own = {n for n in used if n in bound and used[n] <= bound[n]}
    return ({*used} - {*bound} | updated | own) - _GLOBAL


def read_names(line: str) -> set[str]:
    """The names that one line reads."""
    tree = ast.parse(line)
    updated = {n.target.id for n in ast.walk(tree) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)} | updated


def is_constant(name: str) -> bool:
    """Whether an argument is a compile-time constant: blocks, sizes held in registers, dtypes, flags."""
    return name.startswith(("BLOCK_", "SIZE_")) or name in CONSTANTS


def rank(name: str) -> tuple[int, str]:
    """The place of an argument: carried values, pointers, strides, sizes, constants."""
    if is_constant(name):
        return (4, name)
    return (1 if name.endswith("_ptr") else 3 if name.startswith("size_") else 2, name)


@dataclass(frozen=True, slots=True)
class Function:
    """A `@triton.jit` function: `first` parameters in the order given, then the free names of its body."""

    name: str
    first: tuple[str, ...]
    body: tuple[str, ...]
    functions: tuple[str, ...] = ()
    comment: str = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        later = free_names(self.body) - set(self.first) - set(self.functions)
        return (*self.first, *sorted(later, key=rank))

    def call(self, target: str = "", **values: str) -> list[str]:
        """The call by position, every argument by its own name unless `values` says otherwise."""
        head = f"{target} = {self.name}(" if target else f"{self.name}("
        return wrap(head, [values.get(p, p) for p in self.parameters], ")", 4)

    @property
    def text(self) -> str:
        marked = [f"{p}: tl.constexpr" if is_constant(p) else p for p in self.parameters]
        lines = ["@triton.jit", *wrap(f"def {self.name}(", marked, "):")]
        lines += [f"    # {self.comment}"] if self.comment else []
        return "\n".join([*lines, *(f"    {line}" if line else "" for line in self.body)]) + "\n"


def wrap(head: str, parts: list[str], tail: str, indent: int = 0) -> list[str]:
    """`head a, b, c tail` on one line if it fits below an indent, else the parts on lines of their own, filled."""
    single = f"{head}{', '.join(parts)}{tail}"
    if len(single) <= 106 - indent:
        return [single]
    lines, line = [head], "   "
    for part in parts:
        if len(line) + len(part) + 2 > 106 - indent:
            lines.append(line)
            line = "   "
        line += f" {part},"
    return [*lines, line, tail]


def block(header: str, lines: Iterable[str]) -> list[str]:
    """A statement with an indented body."""
    return [header, *(f"    {line}" for line in lines)]
