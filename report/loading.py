"""Loads what stands for SPEC on the command line: a file, a name in a file, or a catalogue name."""

from __future__ import annotations

import ast
import contextlib
import difflib
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from refold.errors import TOO_DEEP, ClaimError, RefoldError, UsageError
from refold.report.forms import form_of, is_form
from refold.report.refused import refused

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline, or a claimed fused form of one, and where it is defined."""

    given: str
    name: str
    path: Path
    line: int
    value: Any

    @property
    def place(self) -> str:
        """The path as a reader would type it, from the current folder where it lies below."""
        from refold.spec.places import Place

        return Place(str(self.path), self.line).path


def catalogue() -> tuple[Path, ...]:
    """The files of the examples, in the order of their names."""
    found = [path for folder in (EXAMPLES, EXAMPLES / "stages") for path in folder.glob("*.py")]
    return tuple(sorted((path for path in found if not path.name.startswith("_")), key=lambda path: path.stem))


def load(given: str, names: tuple[str, ...] = ("SPEC",), against: Any = None) -> Loaded:
    """The value named on the command line: `file.py:NAME`, else the first of `names` that the file defines.

    Where a claim is looked for first, a file of init, step, merge and finish is one: of `against`, else of its SPEC.
    Raises `UsageError`, one message with the place and what to do, for whatever cannot be loaded.
    """
    target, wanted = _split(given)
    path = _path(target, wanted)
    module = _run(path, _source(path))
    forms = names[0] == "CLAIM" and wanted is None and "CLAIM" not in vars(module) and is_form(vars(module))
    if against is not None and not forms:
        raise UsageError(f"{path}: --against is for a file with a function step, which this one has none of (or has "
                         "a CLAIM): write init, step, merge and finish, or leave out --against")  # fmt: skip
    if forms:
        name = re.sub(r"\W", "_", path.stem)
        return Loaded(given, name, path, _line(path, "step"), _form(path, module, against))
    found = wanted if wanted is not None else next((n for n in names if n in vars(module)), None)
    if found is None or found not in vars(module):
        raise UsageError(_no_name(path, module, found or "SPEC"))
    value = vars(module)[found]
    if not _usable(value, names):
        raise UsageError(_no_pipeline(path, found, value))
    name = path.stem if wanted in (None, "SPEC", "CLAIM") else f"{path.stem}_{wanted.lower()}"
    return Loaded(given, re.sub(r"\W", "_", name), path, _line(path, found), value)


def load_all(path: Path) -> tuple[tuple[str, Loaded], ...]:
    """Every pipeline and claimed form that a file itself defines, each once and by its name; its form as `form`.

    What a list, a tuple or a dict of the file holds is named by its place there. Of what the file imports nothing is
    its own. Raises `UsageError` for a file that cannot be loaded, or whose SPEC or CLAIM is none.
    """
    from refold.spec import Spec
    from refold.verify import Claim

    source = _source(path)
    module = _run(path, source)
    loaded, seen = [], set()
    for name, value in _members(module, _imports(source)):
        if name in ("SPEC", "CLAIM") and not isinstance(value, Spec | Claim):
            raise UsageError(_no_pipeline(path, name, value))
        if isinstance(value, Spec | Claim) and id(value) not in seen:
            seen.add(id(value))
            loaded.append((name, Loaded(str(path), *_word(path, name), value)))
    if "CLAIM" not in vars(module) and _is_whole_form(vars(module)):
        loaded.append(("form", Loaded(str(path), *_word(path, "step"), _form(path, module, None))))
    return tuple(loaded)


def _word(path: Path, name: str) -> tuple[str, Path, int]:
    """What a member of a file is called in answers, its file and its line."""
    plain = name in ("SPEC", "CLAIM", "step")
    head = name.partition("[")[0]
    return re.sub(r"\W+", "_", path.stem if plain else f"{path.stem}_{name}").strip("_"), path, _line(path, head)


def _members(module: ModuleType, imports: set[str]) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name in imports or name.startswith("__"):
            continue
        match value:
            case dict():
                yield from ((f"{name}[{key!r}]", part) for key, part in value.items())
            case list() | tuple():
                yield from ((f"{name}[{n}]", part) for n, part in enumerate(value))
            case _:
                yield name, value


def _imports(source: ast.Module) -> set[str]:
    """The names that import statements of a file bind."""
    nodes = [node for node in ast.walk(source) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {a.asname or a.name.partition(".")[0] for node in nodes for a in node.names}


def _is_whole_form(names: dict[str, Any]) -> bool:
    from refold.spec import Spec

    return is_form(names) and callable(names.get("finish")) and isinstance(names.get("SPEC"), Spec)


def _split(given: str) -> tuple[str, str | None]:
    if not given.strip():
        raise UsageError("SPEC is empty: give file.py, file.py:NAME or a catalogue name ('refold list' shows them)")
    head, colon, name = given.rpartition(":")
    if not colon or Path(given).exists():
        return given, None
    if head and name.isidentifier():
        return head, name
    raise UsageError(f"{given}: what follows the colon is the name of a pipeline: write {head or 'file.py'}:SPEC")


def _path(target: str, wanted: str | None) -> Path:
    path = Path(target)
    try:
        is_dir, exists, is_file = path.is_dir(), path.exists(), path.is_file()
    except (OSError, ValueError) as error:
        what = f"{target[:80]!r} is no path: {getattr(error, 'strerror', None) or error}"
        raise UsageError(f"{what}: give file.py, file.py:NAME or a catalogue name") from None
    plain = "/" not in target and "\\" not in target
    if plain and path.suffix == "" and not is_file:
        return _from_catalogue(target, is_dir=is_dir)
    if is_dir:
        raise UsageError(f"{target} is a folder: give one file in it, as in {target.rstrip('/')}/NAME.py")
    if not exists:
        close = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py") if p.is_file()], 3, 0.65)
        meant = " or ".join(str(path.parent / name) for name in close)
        hint = f"did you mean {meant}?" if close else "check the path"
        raise UsageError(f"{target}: no such file: {hint} ('refold list' shows the catalogue)")
    if path.suffix != ".py":
        raise UsageError(f"{target} is not a Python file: write SPEC = pipeline(...) in a file that ends in .py")
    if not is_file:
        raise UsageError(f"{target} is not a regular file: give a .py file")
    return path


def _from_catalogue(name: str, *, is_dir: bool) -> Path:
    files = {path.stem: path for path in catalogue()}
    key = name.replace("-", "_")
    if key in files:
        return files[key]
    if sentence := refused(key):
        raise UsageError(sentence)
    if is_dir:
        raise UsageError(f"{name} is a folder: give one file in it, as in {name}/NAME.py")
    close = difflib.get_close_matches(key.lower(), files, 3, 0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "'refold list' shows what there is"
    raise UsageError(f"{name!r} is no name of the catalogue and no file: {hint} (a file is given as file.py)")


def _source(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}: check its permissions") from None
    except SyntaxError as error:
        where = _at(path, error.lineno)
        line = f" in `{error.text.strip()}`" if error.text and error.text.strip() else ""
        raise UsageError(f"{where}: Python syntax error: {error.msg}{line}: correct the line") from None
    except (ValueError, RecursionError, MemoryError) as error:
        why = str(error) or type(error).__name__
        raise UsageError(f"{path} is not a Python file: {why}: give a .py file") from None


def _run(path: Path, source: ast.Module) -> ModuleType:
    """Runs a file as a module of its own. What it prints goes to stderr; no bytecode is left beside it."""
    module = ModuleType(f"refold_input_{path.stem}")
    module.__file__ = str(path)
    module.__package__ = _package(path, source)[1]
    sys.modules[module.__name__] = module
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with contextlib.redirect_stdout(sys.stderr), _beside(path), _importable(_package(path, source)[0]):
            exec(compile(source, str(path), "exec"), vars(module))
    except RefoldError as error:
        raise UsageError(f"{_fault(path, error) or path}: {error}") from None
    except SystemExit:
        advice = "put that under `if __name__ == '__main__'`"
        raise UsageError(f"{path}: the file ends the program while it is read: {advice}") from None
    except RecursionError as error:
        raise UsageError(f"{_at(path, _own_line(path, error.__traceback__))}: {TOO_DEEP}") from None
    except Exception as error:
        where = _at(path, _own_line(path, error.__traceback__))
        what = f"{type(error).__name__}: {_one_line(error)}"
        raise UsageError(f"{where}: the file fails when it is read: {what}: {_advice(error)}") from None
    finally:
        sys.dont_write_bytecode = kept
        del sys.modules[module.__name__]
    return module


def _package(path: Path, source: ast.Module) -> tuple[Path, str]:
    """The folder that holds the package that a file is in, and the package: what `from .` and `from package` mean.

    Without an __init__.py the file's own folder is one, if the file has imports relative to it.
    """
    folder = path.parent.resolve()
    names: list[str] = []
    relative = any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(source))
    while (folder / "__init__.py").exists() or (relative and not names and folder.name):
        names.append(folder.name)
        folder = folder.parent
    return folder, ".".join(reversed(names))


def _beside(path: Path) -> contextlib.AbstractContextManager[None]:
    """Within, what lies beside a file can be imported."""
    return _importable(path.parent.resolve())


@contextlib.contextmanager
def _importable(place: Path) -> Iterator[None]:
    """Within, what lies in a folder can be imported."""
    folder = str(place)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _form(path: Path, module: ModuleType, against: Any) -> Any:
    try:
        with _beside(path):
            return form_of(str(path), vars(module), against, lambda name: _at(path, _line(path, name)))
    except UsageError:
        raise
    except RefoldError as error:
        raise UsageError(f"{_fault(path, error) or _at(path, _line(path, 'step'))}: {error}") from None


def _fault(path: Path, error: RefoldError) -> str:
    """The place of an error: that of the function at fault, else the innermost line of the user's own file."""
    if isinstance(error, ClaimError) and error.place is not None:
        return f"{error.place[0]}:{error.place[1]}"
    line = _own_line(path, error.__traceback__)
    return _at(path, line) if line else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _advice(error: Exception) -> str:
    match error:
        case ModuleNotFoundError():
            return f"install it, or run from where {error.name} can be imported"
        case ImportError():
            return "the names to import are those of `from refold import ...` in the README"
        case NameError():
            return "define or import it"
    return "run the file with Python to see where"


def _own_line(path: Path, trace: TracebackType | None) -> int | None:
    """The innermost line of the user's own file in a traceback."""
    lines = [lineno for frame, lineno in traceback.walk_tb(trace) if frame.f_code.co_filename == str(path)]
    return lines[-1] if lines else None


def _at(path: Path, line: int | None) -> str:
    return f"{path}:{line}" if line else str(path)


def _line(path: Path, name: str) -> int:
    """The line on which a file first defines a name."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node.lineno
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return node.lineno
    return 1


def _usable(value: Any, names: tuple[str, ...]) -> bool:
    from refold.spec import Spec

    return isinstance(value, Spec) or ("CLAIM" in names and isinstance(getattr(value, "spec", None), Spec))


def _no_pipeline(path: Path, name: str, value: Any) -> str:
    what = f"{name} is of type {type(value).__name__} and no pipeline: write {name} = pipeline(o=...)"
    return f"{_at(path, _line(path, name))}: {what}"


def _no_name(path: Path, module: ModuleType, name: str) -> str:
    from refold.spec import Spec

    there = [n for n, value in vars(module).items() if isinstance(value, Spec) and not n.startswith("_")]
    hint = f"it has {', '.join(there)}: give {path}:{there[0]}" if there else f"write {name} = pipeline(o=...) in it"
    return f"{path}: no {name} in this file: {hint}"
