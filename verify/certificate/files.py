"""Writes a file whole or not at all: whoever reads it, now or after we were killed, sees the old or the new one."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a text, the same bytes everywhere, through a file beside it that then takes its place.

    Raises `OSError` as a plain write does, and leaves nothing behind then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
