"""The files of Python that bundles hold beside their kernels, as they stand here; none of them imports refold.

`refold_runtime.py` is long and stays one file: a bundle has one beside its kernels, which is loaded by its content, and
what a reader of a bundle finds is then a file of the repository, line by line, and not what some joiner made of
several.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

FILE = "refold_runtime.py"
GRADIENTS = "refold_autograd.py"


@cache
def text() -> str:
    """The runtime that every kernel file loads."""
    return Path(__file__).with_name(FILE).read_text(encoding="utf-8")


@cache
def gradients() -> str:
    """What kernel files with gradients load beside it."""
    return Path(__file__).with_name(GRADIENTS).read_text(encoding="utf-8")


@cache
def template() -> str:
    """The text of the test of a bundle, with the constants of one."""
    return Path(__file__).with_name("template.py").read_text(encoding="utf-8")


def content(source: str) -> str:
    """What a kernel file calls a file beside it of this text, so that it takes no other."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def beside(file: str, source: str) -> str:
    """The expression by which a kernel file loads what stands beside it with this text."""
    return f'load_beside("{file}", "{content(source)}")'


@cache
def gradient_template() -> str:
    """What the test of a bundle with gradients has beside."""
    return Path(__file__).with_name("gradient_template.py").read_text(encoding="utf-8").partition("# BEGIN\n")[2]


def module_name(file: str, source: str) -> str:
    """What that is called while the kernel file runs."""
    return f"{Path(file).stem}_{content(source)}"


def loading(imports: str) -> str:
    """What a kernel file begins with: all that it imports, and `rt`, the runtime beside it."""
    source = Path(__file__).with_name("loader.py").read_text(encoding="utf-8")
    before, function = source.split("\n\n\n")
    _, standard = before.split('"""\n\n')
    plain = sorted([*standard.splitlines(), "import math"], key=lambda line: (line.startswith("from"), line))
    return "\n".join([*plain, "", imports, "", function, "", f"rt = {beside(FILE, text())}"])


def joined(imports: str) -> str:
    """The same of a kernel file that holds its runtime: `rt` is what stands above it."""
    _, body = text().split('"""\n\n', 1)
    before, after = "from typing import Any\n\nimport torch\n", "from types import SimpleNamespace\n"
    assert body.count(before) == 1
    body = body.replace(before, after + before)
    return "\n".join([body, imports, "# The runtime above, as other bundles have it in a file of its own.",
                      "rt = SimpleNamespace(**globals())"])  # fmt: skip


@cache
def names() -> frozenset[str]:
    """What the runtime defines, and imports."""
    return frozenset(
        name
        for node in ast.walk(ast.parse(text()))
        for name in (
            [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else [(a.asname or a.name).partition(".")[0] for a in node.names]
            if isinstance(node, ast.Import | ast.ImportFrom) else []
        )
    )  # fmt: skip


@cache
def helpers() -> dict[str, str]:
    """The text of every function that kernels may call, by its name."""
    found = {}
    for node in ast.parse(text()).body:
        if isinstance(node, ast.FunctionDef) and [ast.unparse(d) for d in node.decorator_list] == ["triton.jit"]:
            lines = text().splitlines()[node.decorator_list[0].lineno - 1 : node.end_lineno]
            found[node.name] = "\n".join(lines) + "\n"
    return found
