"""Signs what is kept for later with a key that this user alone can read: what is signed was written here.

A file of the cache that has no signature of ours (it came from elsewhere, or was edited) is read with suspicion.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

LENGTH = 32  # bytes


def signature(name: str, text: str) -> str | None:
    """That of a text kept under a name; None where no key can be had that others cannot read."""
    key = _key()
    return None if key is None else hmac.new(key, f"{name}\n{text}".encode(), hashlib.sha256).hexdigest()


def is_signed(name: str, text: str, given: str) -> bool:
    """Whether a signature is that of this very text under this very name."""
    wanted = signature(name, text)
    return wanted is not None and hmac.compare_digest(wanted.encode(), given.strip().encode())


def folder() -> Path:
    """Where the key is, which is no cache: `refold` in $XDG_STATE_HOME, else in the user's state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "refold"


def _key() -> bytes | None:
    """The key of this user, made when it is first asked for."""
    path = folder() / "key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as new:
                new.write(secrets.token_bytes(LENGTH))
        found, mode = path.read_bytes(), path.stat()
    except (OSError, RuntimeError):
        # No home, or one that cannot be written to.
        return None
    ours = os.name != "posix" or (mode.st_uid == os.getuid() and not stat.S_IMODE(mode.st_mode) & 0o077)
    return found if ours and len(found) == LENGTH else None
