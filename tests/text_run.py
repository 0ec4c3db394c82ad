"""Runs printed integer expressions in Triton's interpreter; a program of its own, as Triton asks for it but once.

Reads a JSON object on standard input: the text of a file of kernels, and a list of calls, each the name of a kernel and
its arguments. Prints what each stores.
"""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path


def main() -> None:
    import torch

    given = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.py"
        path.write_text(given["text"])
        spec = importlib.util.spec_from_file_location("kernels", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = []
        for name, arguments in given["calls"]:
            out = torch.zeros(1, dtype=torch.int64)
            getattr(module, name)[(1,)](out, **arguments)
            found.append(out.item())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
