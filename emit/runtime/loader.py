"""How a kernel file finds what stands beside it: the imports and the function below are copied into it."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_beside(file: str, content: str) -> ModuleType:
    """A file beside this one, as a module of its content: other bundles may have another of that name."""
    name, path = f"{Path(file).stem}_{content}", Path(__file__).with_name(file)
    if name not in sys.modules:
        if not path.is_file():
            raise ImportError(f"{path} is missing: copy it from the folder that {Path(__file__).name} comes from")
        if hashlib.sha256(path.read_bytes()).hexdigest()[:16] != content:
            raise ImportError(f"{path} is not the one that {Path(__file__).name} was emitted with: emit it again")
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
