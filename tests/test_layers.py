"""Holds the layers in order, the imports absolute and `import refold` light."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import refold

ROOT = Path(__file__).parents[1]
# A layer may import itself and what stands before it.
LAYERS = (
    "errors", "needs", "spec", "algebra", "schedule", "verify", "emit", "measure", "report", "cli", "pytest_plugin",
)  # fmt: skip
HEAVY = {"sympy", "z3", "cvc5", "torch", "triton", "numpy"}


def layer_files() -> list[tuple[str, Path]]:
    return [(la, p) for la in LAYERS for p in (*ROOT.glob(f"{la}.py"), *(ROOT / la).rglob("*.py"))]


def imported(source: str) -> list[str]:
    """Every module that the text imports, wherever in it; a relative one keeps its dots."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found += [alias.name for alias in node.names]
            case ast.ImportFrom(module="refold"):
                found += [f"refold.{alias.name}" for alias in node.names]
            case ast.ImportFrom():
                found.append("." * node.level + (node.module or ""))
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module")):
                match node.args:
                    case [ast.Constant(value=str(module)), *_]:
                        found.append(module)
    return found


def wrong_imports(layer: str, source: str) -> list[str]:
    """The imports in a text of `layer` that reach up, are relative, or go round the package's name."""
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    wrong = []
    for module in imported(source):
        top, _, rest = module.partition(".")
        if top == "refold":
            target = rest.partition(".")[0]
            # `from refold import exp` in a layer would go up to the root, which names every layer.
            if target not in allowed and target != "__version__":
                wrong.append(module)
        elif top == "" or top in LAYERS:
            wrong.append(module)
    return wrong


@pytest.mark.parametrize(("layer", "path"), layer_files(), ids=lambda x: str(x).removeprefix(f"{ROOT}/"))
def test_layer_imports_only_earlier_ones(layer: str, path: Path) -> None:
    assert wrong_imports(layer, path.read_text()) == []


@pytest.mark.parametrize("layer", LAYERS)
def test_layer_exists(layer: str) -> None:
    assert any(name == layer for name, _ in layer_files())


@pytest.mark.parametrize(
    ("layer", "source", "wrong"),
    [
        ("spec", "from refold.algebra import derive", ["refold.algebra"]),
        ("spec", "def f():\n    import refold.cli", ["refold.cli"]),
        ("spec", "import_module('refold.verify')", ["refold.verify"]),
        ("algebra", "from refold import emit", ["refold.emit"]),
        ("algebra", "from refold import exp", ["refold.exp"]),
        ("algebra", "import refold", ["refold"]),
        ("verify", "from .encode import encode", [".encode"]),
        ("verify", "from . import encode", ["."]),
        ("emit", "from algebra.plan import Plan", ["algebra.plan"]),
        ("emit", "import verify", ["verify"]),
        ("emit", "from refold.verify.proof import Proof\nimport sympy", []),
        ("cli", "from refold import __version__", []),
    ],
)
def test_wrong_import_is_noticed(layer: str, source: str, wrong: list[str]) -> None:
    assert wrong_imports(layer, source) == wrong


def folder_files() -> list[Path]:
    return [path for folder in ("tests", "examples", "bench") for path in (ROOT / folder).glob("*.py")]


@pytest.mark.parametrize("path", folder_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_outside_the_layers_imports_are_absolute(path: Path) -> None:
    modules = imported(path.read_text())
    assert [m for m in modules if m.startswith(".") or m.partition(".")[0] in LAYERS] == []


def test_tests_are_no_package() -> None:
    # pyproject.toml says why, above pytest's settings.
    assert not (ROOT / "tests" / "__init__.py").exists()


def test_public_names_agree() -> None:
    source = ast.parse((ROOT / "__init__.py").read_text())
    typed = {
        alias.name: node.module
        for block in source.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == refold._HOME
    assert sorted(refold.__all__) == sorted(refold._HOME)
    assert set(refold.__all__) <= set(dir(refold))


@pytest.mark.parametrize("name", refold.__all__)
def test_public_name_is_its_layers(name: str) -> None:
    assert getattr(refold, name) is getattr(import_module(refold._HOME[name]), name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'refold' has no attribute 'nothing'"):
        _ = refold.nothing


def python(code: str, tmp_path: Path) -> str:
    # From elsewhere than the root, so that it is the installed `refold` that answers.
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("first", ["import refold.verify, refold.emit", "pass"])
def test_verify_and_emit_are_functions_whatever_ran_before(first: str, tmp_path: Path) -> None:
    code = f"""{first}
from refold import emit, verify
import refold.emit, refold.verify
print(callable(verify), callable(emit), refold.verify is verify, refold.emit is emit)"""
    assert python(code, tmp_path) == "True True True True\n"


@pytest.mark.parametrize(
    "code",
    [
        "import refold",
        "from refold import RefoldError",
        "import refold.pytest_plugin",
        "import runpy; sys.argv = ['refold', '--help']; runpy.run_module('refold', run_name='__main__')",
    ],
    ids=["import refold", "errors", "pytest plugin", "refold --help"],
)
def test_nothing_heavy_is_loaded(code: str, tmp_path: Path) -> None:
    code = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code\n"
    last = python(code + f"print('\\n' + ' '.join(sorted({HEAVY!r} & set(sys.modules))))", tmp_path)
    assert last.splitlines()[-1] == ""


def test_code_is_loaded_under_its_own_name_only() -> None:
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    ours = {ROOT / "__init__.py", *(path for _, path in layer_files()), *(ROOT / "examples").glob("*.py")}
    other = {
        name: file
        for name, file in files.items()
        if file and Path(file).resolve() in ours and name.partition(".")[0] != "refold"
    }
    assert other == {}
