"""On a GPU: runs the tests of emitted bundles, several at a time (`bench/table.py` times them).

python bench/device.py FOLDER        FOLDER/<name>/ holds the bundle of <name>, as `refold emit` wrote it
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

WORKERS = 8


def tested(folder: Path) -> str:
    """One line: the bundle, whether its tests pass, and what failed first."""
    start = time.time()
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540)
    lines = done.stdout.strip().splitlines() or [done.stderr[-200:]]
    why = next((line for line in lines if line.startswith("E  ")), "")[:150]
    return f"{folder.name:32} rc={done.returncode} {time.time() - start:5.0f} s  {lines[-1]} {why}"


def main() -> None:
    """A line for each bundle, several at a time; the exit code is 1 where a test fails."""
    folder, failed = Path(sys.argv[1]), False
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    with ThreadPoolExecutor(WORKERS) as pool:
        for line in pool.map(tested, sorted(p for p in folder.iterdir() if p.is_dir())):
            print(line, flush=True)
            failed |= " rc=0 " not in line
    sys.exit(failed)


if __name__ == "__main__":
    main()
