"""Calls the function of one emitted file on small inputs, in Triton's interpreter; run as a program of its own.

Reads a JSON request on standard input and prints one JSON line. It imports nothing of refold, since TRITON_INTERPRET
decides when triton is first imported, and a process may have imported it without.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any


def main() -> None:
    """One request: a file, its function, tensors, words, and the options of every call; the outputs of every call."""
    request = json.load(sys.stdin)
    import torch

    found = importlib.util.spec_from_file_location("emitted", request["file"])
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    tensors = [torch.tensor(values, dtype=getattr(torch, dtype)).reshape(shape)
               for values, shape, dtype in request["tensors"]]  # fmt: skip
    call = getattr(module, request["name"])
    answers = {"eager": outputs(module, module.reference(*tensors, **request["words"], **request["lengths"]))}
    for name, options in request["calls"].items():
        answers[name] = outputs(module, call(*tensors, **request["words"], **request["lengths"], **options))
    print(json.dumps(answers))


def outputs(module: Any, result: Any) -> dict[str, Any]:
    """The elements of every output, row after row."""
    named = result if isinstance(result, dict) else {next(iter(module.TABLES.outputs)): result}
    return {name: tensor.double().flatten().tolist() for name, tensor in named.items()}


if __name__ == "__main__":
    main()
