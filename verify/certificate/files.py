"""Writes files whole or not at all: whoever reads them, now or after we were killed, sees the old or the new ones."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a text, the same bytes everywhere, through a file beside it that then takes its place.

    Raises `OSError` as a plain write does, and leaves nothing behind then.
    """
    write_together({path: text})


def write_together(texts: Mapping[Path, str]) -> None:
    """Writes texts so that none takes its place before all of them are written; makes the folders that they need.

    Raises `OSError` as a plain write does, and leaves nothing behind then.
    """
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}") for path in texts}
    made: list[Path] = []
    try:
        for path, text in texts.items():
            missing = [folder for folder in path.parents if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            made += missing
            parts[path].write_text(text, encoding="utf-8", newline="")
        for path, part in parts.items():
            os.replace(part, path)
        made = []
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
        for folder in sorted(made, reverse=True):
            with suppress(OSError):
                folder.rmdir()
