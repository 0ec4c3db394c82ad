"""Compiles the kernels of one emitted file for targets that need not be present; run as a program of its own.

Reads a JSON request on standard input and prints one JSON list. It imports nothing of refold, so that a process
without TRITON_INTERPRET can run it whatever its parent does.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int32": "i32", "int64": "i64"}


def main() -> None:
    """One request: a file, and for each kernel and target its arguments' types, constants and options."""
    request = json.load(sys.stdin)
    import triton

    found = importlib.util.spec_from_file_location("emitted", request["file"])
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    print(json.dumps([_compile(triton, module, kernel, kernel["target"]) for kernel in request["kernels"]]))


def _compile(triton: Any, module: Any, kernel: dict[str, Any], target: str) -> dict[str, Any]:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    backend, _, arch = target.partition(":")
    chip = GPUTarget("cuda", int(arch), 32) if backend == "cuda" else GPUTarget("hip", arch, 64)
    function = getattr(module, kernel["name"])
    constants = {
        n: getattr(triton.language, v[3:]) if str(v).startswith("tl.") else v for n, v in kernel["constants"].items()
    }
    signature = {n: "constexpr" if n in constants else kernel["types"][n] for n in function.arg_names}
    aligned = {(k,): [["tt.divisibility", 16]] for k, n in enumerate(function.arg_names) if n in kernel["aligned"]}
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": kernel["num_warps"], "num_stages": kernel["num_stages"], "enable_fp_fusion": True}
    made = triton.compile(source, target=chip, options=options)
    registers, spills = _registers(made, backend)
    return {
        "kernel": kernel["name"],
        "target": target,
        "shared": made.metadata.shared,
        "registers": registers,
        "spills": spills,
    }


def _registers(made: Any, backend: str) -> tuple[int, int]:
    """Registers a thread, and bytes (cuda) or registers (hip) that spill; -1 where no tool tells."""
    if backend == "hip":
        text = made.asm["amdgcn"]
        count, spilled = re.search(r"\.vgpr_count:\s+(\d+)", text), re.search(r"\.vgpr_spill_count:\s+(\d+)", text)
        return (int(count[1]) if count else -1, int(spilled[1]) if spilled else -1)
    import triton.backends.nvidia as nvidia

    tool = Path(nvidia.__file__ or "").parent / "bin" / "cuobjdump"
    if not tool.exists():
        return (-1, -1)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        text = subprocess.run([str(tool), "-res-usage", file.name], capture_output=True, text=True).stdout
    count, spilled = re.search(r"REG:(\d+)", text), re.search(r"LOCAL:(\d+)", text)
    return (int(count[1]) if count else -1, int(spilled[1]) if spilled else -1)


if __name__ == "__main__":
    main()
