"""What holds for the package as a whole: its storeys, its weight, its imports and what leaves the house.

`docs/contributing.md` says the same in prose.
"""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import persistentdb

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "persistentdb"

# From the ground up; an import goes to a lower row, or sideways in its own row where that makes no circle.
STOREYS = [
    ["dbapi", "_recovery", "_statements", "_discovery", "exceptions", "backoff", "_fork"],
    ["drivers"],  # every file in it
    [
        "ping",
        "failures",
        "session",
        "locality",
        "replay",
        "outage",
        "outcome",
        "rerun",
        "_watchdog",
        "_thread_exit",
        "_keeping",
    ],
    ["_link", "_opening", "_lease", "_gate", "_inherited"],
    ["_forwarding", "_projections", "_transactions", "_fitness", "_commits", "_losses"],
    ["cursor"],
    ["steady"],
    ["_two_phase", "_sending", "_settings", "_factory", "_running"],
    ["persistent"],
    ["__init__", "__main__", "demo", "_demo_bank", "_demo_saboteur"],
    ["testing"],  # every file in it; on top, so that nothing of the library can come to need it
]
STOREY_OF = {room: storey for storey, rooms in enumerate(STOREYS) for room in rooms}


def module_of(path: Path) -> str:
    """Return the dotted name under which a file of the package is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
every_file = pytest.mark.parametrize("module", FILES)


def storey_of(module: str) -> int:
    """Return the row of STOREYS a module of the package belongs to."""
    room = [*module.split("."), "__init__"][1]
    assert room in STOREY_OF, f"{FILES[module].relative_to(ROOT)}: no storey; add it to STOREYS in {__file__}"
    return STOREY_OF[room]


def nodes_of(tree: ast.AST, *, typing_too: bool) -> Iterator[ast.AST]:
    """Walk a syntax tree, on request without what stands under `if TYPE_CHECKING:`."""
    yield tree
    only_typing = isinstance(tree, ast.If) and ast.unparse(tree.test).endswith("TYPE_CHECKING")
    children = tree.orelse if only_typing and not typing_too else ast.iter_child_nodes(tree)
    for child in children:
        yield from nodes_of(child, typing_too=typing_too)


def imports_of(module: str, *, typing_too: bool = False) -> set[str]:
    """Return the dotted names of all modules that a file imports, wherever in the file it does so."""
    path, found = FILES[module], set[str]()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes_of(ast.parse(path.read_text("utf-8")), typing_too=typing_too):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            inside = (f"{base}.{alias.name}" for alias in node.names)
            found.update(name if name in FILES else base for name in inside)
    return found


@every_file
def test_imports_go_down_only(module: str) -> None:
    """Design, section 3: a room knows the rooms below it, never one above."""
    upwards = [name for name in imports_of(module) if name in FILES and storey_of(name) > storey_of(module)]
    assert not upwards, f"{module} stands below what it imports: {', '.join(upwards)}"


def test_imports_make_no_circle() -> None:
    """Design, section 3: inside a storey too, one can read the rooms one after the other."""
    graph = {module: (imports_of(module) & FILES.keys()) - {module} for module in FILES}
    graphlib.TopologicalSorter(graph).prepare()


@every_file
def test_no_room_is_past_500_lines(module: str) -> None:
    """Design, section 3: a room past 500 lines is two concepts."""
    lines = len(FILES[module].read_text("utf-8").splitlines())
    assert lines <= 500, f"{module} has {lines} lines: find the second concept in it"


@every_file
def test_only_the_declared_dependencies_are_imported(module: str) -> None:
    """Design, section 7: attrs, typing-extensions and the standard library, for the type checker too."""
    allowed = sys.stdlib_module_names | {"attrs", "typing_extensions", "persistentdb"}
    if module == "persistentdb.testing.plugin":
        allowed |= {"pytest"}  # which is what loads it
    foreign = {name for name in imports_of(module, typing_too=True) if name.split(".")[0] not in allowed}
    assert not foreign, f"{module} imports what nobody has to have installed: {', '.join(sorted(foreign))}"


def test_the_import_is_light() -> None:
    """Design, section 7: `import persistentdb` brings no driver and nothing that is seldom needed."""
    code = "import sys; before = set(sys.modules); import persistentdb; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"typing_extensions", "sqlite3", "_sqlite3", "ctypes"}
    drivers = {"psycopg", "psycopg2", "pg8000", "pgdb", "pymysql", "MySQLdb", "mariadb", "oracledb", "duckdb"}
    brought = set(run.stdout.split())
    unwanted = brought & (heavy | drivers) | {name for name in brought if name.startswith("persistentdb.testing")}
    assert not unwanted, f"import persistentdb brings {', '.join(sorted(unwanted))}: import it where it is used"


def test_the_types_are_announced() -> None:
    """X8: without `py.typed` a type checker looks at nothing of what the package says."""
    assert (PACKAGE / "py.typed").is_file()


def test_the_versions_agree() -> None:
    """Design, section 7: what is installed, what is declared and what the package says is one version."""
    # tomllib came with 3.11; this is the only line of the file that is wanted.
    declared = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert [getattr(persistentdb, "__version__", *declared)] == declared
    try:
        installed = importlib.metadata.version("persistentdb")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("persistentdb is on the path but not installed")
    assert [installed] == declared, "an old installation: pip install --editable . brings it up to date"


# Written so that they do not match themselves.
OF_ONE_MACHINE = re.compile(
    r"(?<![\w.~}/-])/(?:work\b|(?:root|home|opt|Users)/\w)"
    r"|/tmp/(?:dev|bash)"
    r"|\b(?:pypi|pythonhosted|npmjs|debian|crates|golang)[.](?:org|com|io)\b"
)


@pytest.mark.skipif(shutil.which("git") is None, reason="asks git which files are the project's")
def test_no_file_speaks_of_one_machine() -> None:
    """Design, section 7: no home or work directory and no registry's host name leaves the house."""
    # Not yet added files count as well; the checkout may belong to another user than the one who tests.
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip(f"not a git checkout: {listing.stderr.strip()}")
    found = [
        f"{name}: {match.group()}"
        for name in listing.stdout.split("\0")
        if name and (ROOT / name).is_file()
        for match in OF_ONE_MACHINE.finditer((ROOT / name).read_text("utf-8", errors="replace"))
    ]
    assert not found, found
