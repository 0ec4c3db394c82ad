"""Row reductions: a row that is one tile is loaded once and in wide loads, and the tiles that are chosen fit it."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from emit_cases import kernel_of

from refold.emit.runtime import refold_runtime as rt
from refold.verify.kernel.indexing import held_questions
from refold.verify.kernel.questions import IndexQuestion, answer
from refold.verify.smt import formulas as z3

WIDTHS = (1, 100, 1000, 1024, 1536, 5000, 8192, 12288, 16384, 32768, 50257, 128256, 262144)
# Compiled for a GPU that need not be here, in a process of its own: this one may interpret.
CODE = """
import importlib.util, json, sys
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
path, name, widths = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = importlib.util.spec_from_file_location(name, path)
module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
kernel = getattr(module, name + "_rolling")
loads, wide = {}, {}
for one in (True, False):
    constants = {"BLOCK_M": 1, "BLOCK_N": 1024, "INDEX": tl.int32, "ONE_TILE": one, "RAGGED": True, "x_j": 1, "y_j": 1}
    constants = {k: v for k, v in constants.items() if k in kernel.arg_names}
    types = {n: "constexpr" if n in constants else "*bf16" if n.endswith("_ptr") else "fp32" if n == "eps" else "i32"
             for n in kernel.arg_names}
    whole = [k for k, n in enumerate(kernel.arg_names) if types[n] not in ("fp32", "constexpr")]
    aligned = {(k,): [["tt.divisibility", 16]] for k in whole}
    source = ASTSource(fn=kernel, signature=types, constexprs=constants, attrs=aligned)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 1})
    loads[one] = made.asm["ttir"].count("tt.load")
    narrow = [x for x in made.asm["ptx"].splitlines() if "ld.global" in x and ".v4." not in x]
    wide[one] = not narrow
tiles = [[n, size, rows, *module.rt.row_blocks(module.TABLES, None, None, rows, n, 1, size, 132)]
         for n in widths for size in (2, 4) for rows in (1, 64, 4096)]
warps = [module.rt.row_warps(module.TABLES, m, b, n, size) for n, size, rows, m, b in tiles]
print(json.dumps({"loads": [loads[True], loads[False]], "wide": [wide[True], wide[False]], "tiles": tiles,
                  "warps": warps}))
"""


def compiled(name: str, folder: Path) -> dict[str, Any]:
    kernel_of(name).write(folder)
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, "-c", CODE, str(folder / f"k_{name}.py"), kernel_of(name).name]
    done = subprocess.run([*command, json.dumps(WIDTHS)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ["softmax", "rms_norm"])
def test_one_tile_is_loaded_once(name: str, tmp_path: Path) -> None:
    found = compiled(name, tmp_path)
    # Of a longer row: its tiles before the last, the last one, and again those before.
    assert found["loads"] == [1, 3]
    assert found["wide"] == [True, True]
    for (n, _, rows, block_m, block_n), warps in zip(found["tiles"], found["warps"], strict=True):
        assert block_n & (block_n - 1) == 0 and 16 <= block_n <= 32768
        assert 1 <= warps <= 32 and (warps == 1 or block_m * block_n >= 1024 * warps)
        assert -n % block_n <= n // 8 or block_n <= 1024
        if n in (1024, 8192, 16384):
            assert block_n == n
        if rows == 1 and n >= 50257:
            assert block_n <= 4096, "a few long rows are split"


@pytest.mark.parametrize("streams", [1, 2, 3, 5])
def test_the_warps_are_a_power_of_two_whatever_is_read_at_once(streams: int) -> None:
    tables = rt.Tables("rows", {}, {}, {}, rt.Limits(1, 1, 1, 1, 1), streams=streams)
    for n, size, rows in itertools.product(WIDTHS, (2, 4), (1, 64, 4096)):
        block_m, block_n = rt.row_blocks(tables, None, None, rows, n, 1, size, 132)
        warps = rt.row_warps(tables, block_m, block_n, n, size)
        assert 1 <= warps <= 32 and warps & (warps - 1) == 0


def test_few_rows_that_are_only_read_are_split_where_those_that_are_written_are_not() -> None:
    for rereads, rows, parts in ((False, 256, 8), (True, 256, 1), (False, 1024, 1), (False, 132, 2)):
        tables = rt.Tables("rows", {}, {}, {}, rt.Limits(1, 1, 1, 1, 1), streams=1, rereads=rereads)
        assert rt.schedule(tables, "auto", None, rows, 262144, 8192, 264)[0] == parts, rows


def moved(question: IndexQuestion, by: Any) -> IndexQuestion:
    """The same claim of a last tile that begins elsewhere."""
    last = z3.Int("last")
    hypotheses = tuple(z3.substitute(h, (last, last + by)) for h in question.hypotheses)
    return IndexQuestion(question.name, question.claim, hypotheses, question.goal)


@pytest.mark.parametrize("question", list(held_questions()), ids=lambda q: q.name)
def test_the_last_tile_is_where_it_has_to_be(question: IndexQuestion) -> None:
    assert answer(question).verdict == "proved"
    for by in (1, -1, z3.Int("BLOCK_N")):
        assert answer(moved(question, by)).verdict == "refuted"
