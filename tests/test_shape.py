"""The shape of the code: no class is too long to be one idea, and no boolean argument is given by its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE = ("tests", "bench", "build", "examples")
FILES = [
    path for path in sorted(ROOT.rglob("*.py"))
    if not path.relative_to(ROOT).parts[0].startswith((".", *OUTSIDE))
]  # fmt: skip
LONGEST_CLASS = 200
# SymPy calls the first, a reading of Gluon's words the second, and Typer commands: by names, or in an order of theirs.
GIVEN = ("_print_Pow", "issue")
COMMANDS = ROOT / "cli.py"


def long_classes(source: str) -> list[str]:
    classes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ClassDef)]
    return [c.name for c in classes if (c.end_lineno or 0) - c.lineno + 1 > LONGEST_CLASS]


def functions(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Functions and methods, without those that stand in another one."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            yield part
        elif isinstance(part, ast.ClassDef):
            yield from functions(part)


def booleans_by_place(source: str) -> list[str]:
    """The truth values that may be given by place, but for the one that a function is about: its first argument."""
    found = []
    for function in functions(ast.parse(source)):
        args = [*function.args.posonlyargs, *function.args.args]
        defaults = dict(zip((a.arg for a in reversed(args)), reversed(function.args.defaults), strict=False))
        if args and args[0].arg in ("self", "cls"):
            args = args[1:]
        if function.name.startswith("__") or function.name in GIVEN:
            continue
        for a in args[1:]:
            default = defaults.get(a.arg)
            is_boolean = a.annotation is not None and ast.unparse(a.annotation).startswith("bool")
            if is_boolean or (isinstance(default, ast.Constant) and isinstance(default.value, bool)):
                found.append(f"{function.name}: {a.arg}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_class_is_one_idea(path: Path) -> None:
    assert long_classes(path.read_text()) == []


@pytest.mark.parametrize("path", [p for p in FILES if p != COMMANDS], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_boolean_has_its_name_where_it_is_given(path: Path) -> None:
    assert booleans_by_place(path.read_text()) == []


def test_what_is_looked_for_is_found() -> None:
    assert long_classes("class C:\n" + "    x = 1\n" * LONGEST_CLASS) == ["C"]
    assert long_classes("class C:\n" + "    x = 1\n" * (LONGEST_CLASS - 1)) == []
    assert booleans_by_place("def f(x: int, fast: bool) -> None: ...") == ["f: fast"]
    assert booleans_by_place("class C:\n    def f(self, x, fast=False): ...") == ["f: fast"]
    assert booleans_by_place("def f(fast: bool, *, safe: bool = True) -> None: ...") == []
    assert len(FILES) > 200
