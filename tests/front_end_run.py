"""Runs the kernels of `front_end_kernels.py` in Triton's interpreter; run as a program of its own.

Reads a JSON object on standard input: by kernel its grid and its arguments, a tensor as a list of numbers with the name
of its dtype. Prints by kernel what its tensors hold afterwards.
"""

import json
import sys
from typing import Any


def main() -> None:
    import front_end_kernels
    import torch

    def tensor(values: list[float], dtype: str) -> torch.Tensor:
        return torch.tensor(values, dtype=getattr(torch, dtype))

    found: dict[str, dict[str, Any]] = {}
    for name, (grid, args) in json.load(sys.stdin).items():
        given = {
            k: torch.tensor(v[0], dtype=getattr(torch, v[1])) if isinstance(v, list) else v for k, v in args.items()
        }
        getattr(front_end_kernels, name)[(grid,)](**given)
        found[name] = {k: v.tolist() for k, v in given.items() if isinstance(v, torch.Tensor)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
