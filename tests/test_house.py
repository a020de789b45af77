"""The rules of the house: which room may use what."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    [
        ROOT / "pipeline.py",
        *(ROOT / "stepgluon").rglob("*.py"),
        *(ROOT / "localaws").rglob("*.py"),
        *(ROOT / "code").rglob("*.py"),
        *(ROOT / "lambda").rglob("*.py"),
    ]
)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def for_types(tree: ast.Module) -> set[int]:
    """The ids of the nodes below `if TYPE_CHECKING`."""
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {id(node) for block in blocks for line in block.body for node in ast.walk(line)}


@cache
def imports(file: Path, anywhere: bool = True) -> set[str]:
    """The first names of what a file imports, but for its types alone.

    Without `anywhere`, only of what it imports when it is imported.
    """
    found: set[str] = set()
    typing = for_types(parsed(file))
    for node in ast.walk(parsed(file)) if anywhere else parsed(file).body:
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def room(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def who_imports(package: str) -> set[str]:
    return {room(file) for file in SOURCES if package in imports(file)}


MAPS = [file for file in SOURCES if file.name == "__init__.py"]
PLACES = ("stepgluon", "localaws", "code", "lambda", "tests", "benchmarks")


def test_only_the_quarantine_knows_the_sdks() -> None:
    assert who_imports("stepfunctions") | who_imports("sagemaker") == {"stepgluon/workflow/sdk.py"}


def test_boto3_has_one_door_in_the_generator() -> None:
    assert {file for file in who_imports("boto3") if file.startswith("stepgluon/")} <= {"stepgluon/aws.py"}


def test_the_local_aws_knows_nothing_of_pipelines() -> None:
    assert not [file for file in who_imports("stepgluon") if file.startswith("localaws/")]


def modules() -> dict[str, Path]:
    names = {file: room(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in SOURCES}
    return {name: file for file, name in names.items()}


def imported(file: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the house that a file imports, wherever in it, but for its types alone."""
    tree = parsed(file)
    typing = for_types(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in known else node.module for name in inner}
    return found & known.keys()


def test_no_imports_go_in_a_circle() -> None:
    known = modules()
    left = {name: imported(file, known) for name, file in known.items()}
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert not left


def test_only_the_local_aws_knows_moto() -> None:
    assert all(file.startswith(("localaws/", "stepgluon/local/")) for file in who_imports("moto"))


@pytest.mark.parametrize("folder", ["code", "lambda"])
def test_what_runs_in_aws_needs_nothing_of_the_generator(folder: str) -> None:
    assert not [file for file in who_imports("stepgluon") if file.startswith(f"{folder}/")]


def test_prepare_and_postprocess_never_load_autogluon() -> None:
    assert {"code/prepare.py", "code/postprocess.py"}.isdisjoint(who_imports("autogluon"))


def test_no_folder_or_script_hides_a_module_of_the_standard_library() -> None:
    assert not (ROOT / "code" / "__init__.py").exists(), "it would hide the module `code`, which pdb needs"
    assert not (ROOT / "pipeline").exists(), "it would win over pipeline.py"
    hidden = {file.stem for file in (ROOT / "code").glob("*.py")} & set(sys.stdlib_module_names)
    assert not hidden


def test_the_command_line_starts_without_what_only_some_commands_need() -> None:
    allowed = {"stepgluon", "__future__", *sys.stdlib_module_names}
    for file in (ROOT / "pipeline.py", ROOT / "stepgluon" / "cli" / "main.py", ROOT / "stepgluon" / "errors.py"):
        assert imports(file, anywhere=False) <= allowed, room(file)


@pytest.mark.parametrize("map_", MAPS, ids=room)
def test_each_room_is_on_its_folder_s_map(map_: Path) -> None:
    told = ast.get_docstring(parsed(map_)) or ""
    rooms = {file.stem for file in map_.parent.glob("*.py")} - {"__init__"}
    rooms |= {folder.parent.name for folder in map_.parent.glob("*/__init__.py")}
    assert {room for room in rooms if not re.search(rf"\b{room}\b", told)} == set()


@pytest.mark.parametrize("folder", ["code", "lambda"])
def test_each_module_of_the_jobs_and_functions_is_in_the_folder_s_readme(folder: str) -> None:
    told = (ROOT / folder / "README.md").read_text("utf-8")
    assert set(re.findall(r"`(\w+)`", told)) >= {file.stem for file in (ROOT / folder).glob("*.py")}


def test_every_decision_is_on_the_list_and_every_one_that_is_named_is_there() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = {file.name[:4] for file in folder.glob("0*.md")}
    assert set(re.findall(r"^- \[(\d{4})\]\(\1-", (folder / "README.md").read_text("utf-8"), re.MULTILINE)) == pages
    files = [ROOT / "README.md", *(file for place in PLACES for file in (ROOT / place).rglob("*.py"))]
    named = {found for file in files for found in re.findall(r"docs/decisions/(\d{4})", file.read_text("utf-8"))}
    assert named and named <= pages
