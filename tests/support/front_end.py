"""Emitted kernels as Triton's front end reads them: which arguments it is told of, and what it makes of the texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from refold.algebra import Plan, derive
from refold.emit import runtime
from refold.emit.compiler import DTYPES
from refold.emit.targets import DType, Index, _job
from refold.emit.triton import module_lines
from refold.schedule.capture import Captured, Wanted, capture
from refold.schedule.checks import problems
from refold.schedule.compare import Divergence, compare
from refold.schedule.execute import execute
from refold.schedule.lower.kernels import Kernels, kernels
from refold.schedule.reader import read

# As small as the front end takes them; rows and keys apart, so that no axis is taken for another.
BLOCKS = {"BLOCK_M": 2, "BLOCK_N": 4}
INNER = 2
Form = tuple[DType, Index]
# Data of 16 bits is read by tensor descriptors and dense, of 32 by pointers, with any strides: once with a lane beyond
# the end of every inner axis, for the masks, and once with none, since one lane alone is at 0 whatever its stride.
FORMS: tuple[Form, ...] = (("float32", "int32"), ("float32", "int64"), ("bfloat16", "int64"))
HEADER = "import triton\nimport triton.language as tl\n\n\n"


def text_of(made: Kernels) -> str:
    """All that Triton compiles of an emitted file and its runtime."""
    return "\n\n".join([*(runtime.helpers()[h] for h in made.helpers), module_lines(made.module)])


@cache
def made_of(example: str) -> Kernels:
    plan = derive(import_module(f"refold.examples.{example}").SPEC)
    assert isinstance(plan, Plan)
    return kernels(plan, example)


def arguments(made: Kernels, dtype: DType, index: Index) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Of every kernel, the types of its arguments and its compile-time constants."""
    found = {}
    for function in (made.rolling, made.parts, made.finish):
        job = _job(made, function, dtype, INNER, BLOCKS, "cuda:90", 2, index)
        types, constants = job["types"], dict(job["constants"])
        # Of data that is read by pointers, no stride is known.
        open_ = {n for n in made.strides.values() if n in constants} if dtype == "float32" else set()
        types |= dict.fromkeys(open_, DTYPES[index])
        constants = {n: v for n, v in constants.items() if n not in open_}
        if dtype == "float32":
            inner = INNER - 1 if index == "int32" else INNER
            constants |= {n: inner for n in constants if n.startswith("SIZE_")}
        found[function.name] = types, constants
    return found


def captured(jobs: Iterable[tuple[Kernels, str, DType, Index]]) -> list[dict[str, Captured]]:
    """Of every job, a plan's kernels with their text, dtype and index, what the front end makes of each kernel."""
    wanted, rows = [], []
    with TemporaryDirectory(prefix="refold-") as folder:
        for n, (made, text, dtype, index) in enumerate(jobs):
            path = Path(folder) / f"job_{n}.py"
            path.write_text(HEADER + text)
            told = arguments(made, dtype, index)
            rows.append([*told])
            wanted += [Wanted(str(path), name, types, constants) for name, (types, constants) in told.items()]
        results = iter(capture(wanted))
    return [{name: next(results) for name in row} for row in rows]


def divergences(
    made: Kernels, texts: Mapping[str, Captured], dtype: DType, index: Index
) -> dict[str, Divergence | None]:
    """Of every kernel, where its text and its module part."""
    told, found = arguments(made, dtype, index), {}
    functions = {f.name: f for f in made.module}
    for function in (made.rolling, made.parts, made.finish):
        kernel = read(texts[function.name].text)
        assert problems([kernel.kernel, *kernel.functions.values()]) == []
        text = execute(kernel.kernel, kernel.types, {}, kernel.functions)
        module = execute(function, *told[function.name], functions)
        assert text.stores and text.loops
        found[function.name] = compare(text, module)
    return found
