"""Updates the parts of the images that are derived from the repository, so each has only what its jobs need.

- docker/<image>/requirements.lock: the part of requirements.lock that one extra of pyproject.toml needs. Dependencies
  are read from the installed packages, which are those of the lock, without a package index. Each package keeps its
  version and all its hashes.
- the COPY in docker/<image>/Dockerfile that names the files of code/: the jobs' scripts and their imports.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
# An image is named after its extra, and also has the module that predict loads by this name.
JOBS = {
    "data": ["prepare", "postprocess", "score_answers", "check_answers", "monitor", "xgboost_model"],  # for_classes
    "autogluon": ["train", "predict", "serve"],
    "xgboost": ["score", "predict", "serve"],
}
# The images' Python, independent of the Python that runs this.
TARGET = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.14",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.14",
    "python_version": "3.11",
    "sys_platform": "linux",
}
HEADER = "# Made from requirements.lock by docker/update.py: what the extra `{}` needs on Python {}, Linux.\n"
COPY = re.compile(r"(?<=^COPY --chmod=0644 \\\n)(?:    code/\w+\.py \\\n)*", re.MULTILINE)


def holds(marker: Marker | None, extra: str = "") -> bool:
    return marker is None or marker.evaluate({**TARGET, "extra": extra})


def entries(lock: str) -> dict[str, str]:
    """The packages of a lock for the images' Python, each with its text.

    Comments are removed: which other packages need it must not change an image.
    """
    found: dict[str, str] = {}
    for text in re.findall(r"^[^\s#].*\n(?:[ \t]+.*\n)*", lock, re.MULTILINE):
        requirement = Requirement(text.split("\\\n", 1)[0])
        if holds(requirement.marker):
            found[canonicalize_name(requirement.name)] = re.sub(r"(?m)^ +#.*\n", "", text)
    return found


def requirements(lines: Iterable[str], extras: Iterable[str] = ()) -> list[Requirement]:
    """The requirements in `lines` that apply to the images' Python and any of `extras`."""
    wanted = list(extras) or [""]
    return [need for need in map(Requirement, lines) if any(holds(need.marker, extra) for extra in wanted)]


def direct(image: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return requirements(project["optional-dependencies"][image])


def needed(image: str) -> set[str]:
    """The names of all packages that the image's extra needs, directly or indirectly."""
    left = direct(image)
    seen = set()
    while left:
        need = left.pop()
        if str(need) not in seen:
            seen.add(str(need))
            left += requirements(metadata.requires(need.name) or [], need.extras)
    return {canonicalize_name(Requirement(line).name) for line in seen}


def lock(image: str) -> str:
    names = needed(image)
    packages = entries((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    head = HEADER.format(image, TARGET["python_version"])
    return head + "".join(text for name, text in sorted(packages.items()) if name in names)


def imports(script: Path) -> set[str]:
    """The modules that a file imports, at the top level or in a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def code_files(image: str) -> list[str]:
    """The files in code/ that the image's jobs use."""
    left, used = [*JOBS[image], f"{image}_model"], set()
    while left:
        module = left.pop()
        script = ROOT / "code" / f"{module}.py"
        if module not in used and script.is_file():
            used.add(module)
            left += imports(script)
    return sorted(used)


def dockerfile(image: str) -> str:
    text = (ROOT / "docker" / image / "Dockerfile").read_text(encoding="utf-8")
    return COPY.sub("".join(f"    code/{name}.py \\\\\n" for name in code_files(image)), text)


def main() -> None:
    for image in JOBS:
        (ROOT / "docker" / image / "requirements.lock").write_text(lock(image), encoding="utf-8")
        (ROOT / "docker" / image / "Dockerfile").write_text(dockerfile(image), encoding="utf-8")


if __name__ == "__main__":
    main()
