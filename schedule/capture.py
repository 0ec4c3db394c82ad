"""Triton's own reading of kernels: any `@triton.jit` function as the text of Triton's front end (TTIR), without a GPU.

`capture` runs this file as a program of its own, once for all kernels, as a process in which Triton interprets kernels
cannot compile them. The program imports nothing of refold. Triton 3.6 to 3.9.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

# What the text is made for. Before it is compiled, nothing of it differs between the targets.
TARGET = "cuda:90"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kernel of a file, the types of its arguments in Triton's spelling, and its compile-time constants.

    A constant that is a dtype is given as its name in the language: `"tl.float16"`.
    """

    file: str
    kernel: str
    types: dict[str, str]
    constants: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Captured:
    """The text of one kernel, and the names of the arguments that it has in the text, in their order there."""

    kernel: str
    text: str
    arguments: tuple[str, ...]


def capture(wanted: Iterable[Wanted], python: str = sys.executable) -> tuple[Captured, ...]:
    """Kernels as TTIR: calls inlined, constants folded, common subexpressions once.

    Raises `RuntimeError` with the words of Triton where its front end refuses one.
    """
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command, request = [python, "-W", "ignore", __file__], json.dumps([asdict(w) for w in wanted])
    done = subprocess.run(command, input=request, capture_output=True, text=True, env=env)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise RuntimeError(f"Triton's front end refuses a kernel: {last}")
    rows = json.loads(done.stdout.strip().splitlines()[-1])
    return tuple(Captured(row["kernel"], row["text"], tuple(row["arguments"])) for row in rows)


def main() -> None:
    """One request on standard input, one JSON list on standard output."""
    wanted = json.load(sys.stdin)
    modules = {file: _loaded(f"kernels_{n}", file) for n, file in enumerate(dict.fromkeys(w["file"] for w in wanted))}
    print(json.dumps([_row(getattr(modules[w["file"]], w["kernel"]), w) for w in wanted]))


def _loaded(name: str, file: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _row(function: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    import triton.language

    constants = {
        n: getattr(triton.language, v[3:]) if str(v).startswith("tl.") else v for n, v in wanted["constants"].items()
    }
    text = front_end(function, wanted["types"], constants)
    arguments = [n for n in function.arg_names if n not in constants]
    return {"kernel": wanted["kernel"], "text": text, "arguments": arguments}


def front_end(function: Any, types: dict[str, str], constants: dict[str, Any]) -> str:
    """The text of one function, in a process in which Triton compiles."""
    from triton._C.libtriton import ir, passes
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler.compiler import make_backend

    name, _, arch = TARGET.partition(":")
    target = GPUTarget(name, int(arch), 32)
    signature = {n: "constexpr" if n in constants else types[n] for n in function.arg_names}
    source = ASTSource(fn=function, signature=signature, constexprs=constants)
    backend = make_backend(target)
    options = backend.parse_options({"num_warps": 4})
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    # A dot of any size is legal: the tiles are as small as they can be.
    code = backend.get_codegen_implementation(options) | {"min_dot_size": lambda *_: (1, 1, 1)}
    module = source.make_ir(target, options, code, backend.get_module_map(), context)
    manager = ir.pass_manager(context)
    for clean in ("inliner", "canonicalizer", "cse", "symbol_dce"):
        getattr(passes.common, f"add_{clean}")(manager)
    try:
        manager.run(module, "clean")
    except TypeError:  # before 3.7 it takes no name
        manager.run(module)
    return str(module.str())


if __name__ == "__main__":
    main()
