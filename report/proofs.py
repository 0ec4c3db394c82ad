"""Looks at a proof file again: that it can be read, and that it records a proof of every obligation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def faults(path: Path) -> list[str]:
    """What is wrong with a proof file, a line each; nothing where it records what a proof has to.

    This reads what the file says of itself: its verdicts, its versions and its queries.
    """
    try:
        proof: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"{path.name}: cannot be read: {error}: write it again with 'refold emit'"]
    wanted = {"version", "name", "spec", "plan", "obligations", "versions"}
    if not isinstance(proof, dict) or not wanted <= set(proof):
        return [f"{path.name} is no proof of refold: write it again with 'refold emit'"]
    if not proof["obligations"]:
        return [f"{path.name} holds no obligation, so that it proves nothing"]
    return [
        f"{path.name}: {o.get('name', '?')} is {o.get('verdict', 'without a verdict')}: {o.get('claim', '')}"
        for o in proof["obligations"]
        if o.get("verdict") != "proved"
    ]
