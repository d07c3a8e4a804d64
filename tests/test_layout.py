"""Ratchets on the shape of the code base: what a reader may rely on stays true, or the suite says what to do."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mia_seg"

# The order of the line: a stage imports itself and what stands before it, and `mia_seg/__init__.py` imports nothing.
ORDER = [
    "errors",
    "texts",
    "values",
    "progress",
    "plugins",
    "data",
    "metrics",
    "store",
    "recipes",
    "segmenters",
    "objectives",
    "updates",
    "generators",
    "train",
    "gan",
    "oracles",
    "defenses",
    "query",
    "attacks",
    "testing",
    "evaluate",
    "verdict",
    "report",
    "workspace",
    "stages",
    "engines",
    "pipeline",
    "serve",
    "brought",
    "api",
    "cli",
    "__main__",
]

# Plain names of machines and package indexes; the brackets keep this file from matching itself.
PRIVATE = {
    "a path of one machine": r"(?<![\w.~-])/(?:home|Users|root|work|mnt|scratch)/\w|\b[A-Z]:\\Users\b",
    "an address of a package index": r"https?://\S*[/]simple\b|index[-]url\b|find[-]links\b|[/]whl/c[pu]",
    "an address inside a network": r"https?://(?:[l]ocalhost|\d+\.\d+\.\d+\.\d+|[\w.-]+\.(?:internal|lan|local)\b)",
}
HEAVIEST = 2_000_000
LONGEST_FILE = 400
LONGEST_BODY = 45


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    return {dotted(path): ast.parse(path.read_text("utf-8"), str(path)) for path in sorted(PACKAGE.rglob("*.py"))}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def stage(module: str) -> str:
    """'train' for mia_seg.train, 'data' for mia_seg.data.camvid, '' for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """What a module of `package` imports from mia_seg: at its top, inside functions and under TYPE_CHECKING alike."""
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            found = [f"{source}.{alias.name}" for alias in node.names]
        yield from (name for name in found if name.split(".")[0] == "mia_seg")


def imports() -> Iterator[tuple[str, str]]:
    for module, tree in modules().items():
        is_package = (ROOT / module.replace(".", "/")).is_dir()
        for target in imported(tree, module if is_package else module.rpartition(".")[0]):
            yield module, target


def backward(module: str, target: str) -> bool:
    places = ["", *ORDER]
    return places.index(stage(target)) > places.index(stage(module))


def kept_files() -> list[Path]:
    """Files that git keeps or is about to keep; without git, all that is no cache."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError):
        listed = [str(path.relative_to(ROOT)) for part in (PACKAGE, ROOT / "tests") for path in part.rglob("*.*")]
    return sorted(ROOT / name for name in set(listed) if name and (ROOT / name).is_file())


def lines_of(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        return []  # not text


def body_lengths() -> dict[str, int]:
    """Lines of each function without its signature and docstring."""
    return {
        f"{module}:{node.lineno} {node.name}": _body_length(node)
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[ast.get_docstring(function, clean=False) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_every_module_has_a_place_in_the_line() -> None:
    strays = sorted({stage(module) for module in modules()} - {"", *ORDER})
    assert not strays, (
        f"mia_seg holds {', '.join(strays)}, which the line does not know. Place it in ORDER in tests/test_layout.py: "
        "after the last stage that it imports, before the first that imports it."
    )


def test_imports_run_one_way() -> None:
    known = {"", *ORDER}
    wrong = [f"{a} imports {b}" for a, b in imports() if {stage(a), stage(b)} <= known and backward(a, b)]
    assert not wrong, f"A stage imports only what stands before it in ORDER: {'; '.join(sorted(set(wrong)))}."


@pytest.mark.parametrize(
    "line",
    [
        "import mia_seg.cli",
        "from mia_seg import report, train",
        "from mia_seg.attacks import Attack",
        "from .. import metrics",
        "def late():\n    from ..pipeline import run",
    ],
)
def test_a_backward_import_is_seen(line: str) -> None:
    assert any(backward("mia_seg.data.later", target) for target in imported(ast.parse(line), "mia_seg.data"))


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, mia_seg.cli; print(*sorted({'lightning', 'torch', 'torchvision'} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert not ran.stdout.split(), f"`import mia_seg.cli` loads {ran.stdout.strip()}; import it inside the command."


@pytest.mark.parametrize("what", PRIVATE)
def test_files_name_no_machine(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in kept_files()
        for number, line in enumerate(lines_of(path), 1)
        if re.search(PRIVATE[what], line)
    ]
    assert not found, f"These lines hold {what}; write what is true on every machine: {', '.join(found)}."


def test_files_are_light() -> None:
    heavy = [str(path.relative_to(ROOT)) for path in kept_files() if path.stat().st_size > HEAVIEST]
    assert not heavy, f"Data and weights stay outside the repository, as does any file over 2 MB: {', '.join(heavy)}."


def test_files_are_short() -> None:
    lengths = {path: len(lines_of(path)) for path in PACKAGE.rglob("*.py")}
    long = [f"{path.relative_to(ROOT)} ({n})" for path, n in sorted(lengths.items()) if n >= LONGEST_FILE]
    assert not long, f"Files stay under {LONGEST_FILE} lines; split by thought: {', '.join(long)}."


def test_functions_are_short() -> None:
    ranked = sorted(body_lengths().items(), key=lambda item: item[1])
    p95 = ranked[int(0.95 * (len(ranked) - 1))][1]
    longest = ", ".join(f"{name} ({n})" for name, n in ranked[:-6:-1])
    assert p95 < LONGEST_BODY, f"One body in twenty has {p95} lines or more; aim for ten. The longest: {longest}."


def test_every_extra_that_is_named_can_be_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = [*PACKAGE.rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for path in told for name in re.findall(r"mia-seg\[(\w+)\]", path.read_text())}
    assert {"dp", "http", "serve"} <= named <= set(extras)


def test_every_public_module_says_what_it_is() -> None:
    public = {m: t for m, t in modules().items() if not any(part.startswith("_") for part in m.split("."))}
    silent = sorted(module for module, tree in public.items() if not ast.get_docstring(tree))
    assert not silent, f"These modules open without a docstring: {', '.join(silent)}."
