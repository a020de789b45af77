"""What others' linters say about what is deployed: templates, policies, images and code. Run by `make check`.

cfn-lint reads the golden templates, each with the schemas of its region; parliament the filled policies; checkov the
templates and the Dockerfiles; bandit the code. What is left as it is stands in lint_exceptions.py with its reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from golden import GOLDEN, TEMPLATE_CASES, config_of, environment_of  # noqa: E402
from lint_exceptions import BANDIT, CHECKOV, CHECKOV_SKIPPED, PARLIAMENT  # noqa: E402

from stepgluon.config.load import load  # noqa: E402
from stepgluon.deploy.templates.policies import FOLDER, policy  # noqa: E402
from stepgluon.names import Names  # noqa: E402

BIN = Path(sys.executable).parent
CHECKOV_PYTHON = ROOT / ".venv-checkov" / "bin" / "python"
CODE = ["stepgluon", "localaws", "code", "lambda", "docker", "pipeline.py"]


def main() -> int:
    names = {case: Names(load(config_of(case), environment_of(case), {}).config) for case in TEMPLATE_CASES}
    said = [*cfn_lint(names), *parliament(names), *checkov(), *bandit()]
    print("\n".join(said), end="\n" if said else "")
    return bool(said)


def cfn_lint(names: dict[str, Names]) -> Iterator[str]:
    regions: dict[str, list[str]] = {}
    for case in TEMPLATE_CASES:
        regions.setdefault(names[case].config.region, []).extend(map(str, templates(case)))
    for region, files in regions.items():
        command = [str(BIN / "cfn-lint"), "--non-zero-exit-code", "informational", "--regions", region, "--", *files]
        ran = run(command)
        if ran.returncode or ran.stdout.strip():
            yield ran.stdout + ran.stderr


def parliament(names: dict[str, Names]) -> Iterator[str]:
    """Policies of roles only: parliament does not know those of resources."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports pkg_resources
        from parliament import analyze_policy_string

    found: dict[tuple[str, str, str], str] = {}
    for own in names.values():
        for part in sorted(file.stem for file in FOLDER.glob("*.json")):
            document = policy(own, part)
            for statement in document["Statement"]:
                if "Principal" in statement:
                    continue
                # It knows the partition aws alone.
                alone = json.dumps({**document, "Statement": [statement]}).replace(
                    f"arn:{own.partition.name}:", "arn:aws:"
                )
                for finding in analyze_policy_string(alone).findings:
                    found[finding.issue, part, statement["Sid"]] = f"{finding.detail}"
    yield from compared("parliament", found, PARLIAMENT)


def checkov() -> Iterator[str]:
    files = [str(file) for case in TEMPLATE_CASES for file in templates(case)]
    files += map(str, sorted((ROOT / "docker").glob("*/Dockerfile")))
    command = [str(CHECKOV_PYTHON), "-m", "checkov.main"]  # its script cannot start in a folder with spaces
    command += ["--framework", "cloudformation", "dockerfile", "--skip-download", "--quiet"]
    command += ["--skip-check", ",".join(CHECKOV_SKIPPED)]
    ran = run([*command, "--output", "json", "--file", *files])
    found = {}
    reports = json.loads(ran.stdout)
    assert {report["check_type"] for report in reports} == {"cloudformation", "dockerfile"}, ran.stderr
    for report in reports:
        assert not report["results"].get("parsing_errors"), report["results"]["parsing_errors"]
        for check in report["results"]["failed_checks"]:
            about = check["resource"].rpartition(".")[0] if report["check_type"] == "cloudformation" else "Dockerfile"
            found[check["check_id"], about] = f"{check['check_name']}: {check['file_path']} {check['resource']}"
    yield from compared("checkov", found, CHECKOV)


def bandit() -> Iterator[str]:
    ran = run([str(BIN / "bandit"), "--quiet", "--format", "json", "--recursive", *CODE])
    report = json.loads(ran.stdout)
    yield from (f"bandit: {error}" for error in report["errors"])
    found = {}
    for issue in report["results"]:
        key = (issue["test_id"], "*")
        key = key if key in BANDIT else (issue["test_id"], issue["filename"])
        found[key] = f"{issue['filename']}:{issue['line_number']}: {issue['issue_text']}"
    yield from compared("bandit", found, BANDIT)


def compared(linter: str, found: dict[Any, str], exceptions: dict[Any, str]) -> Iterator[str]:
    for key in sorted(found.keys() - exceptions.keys()):
        yield f"{linter}: {' '.join(key)}: {found[key]}"
    for key in sorted(exceptions.keys() - found.keys()):
        yield f"{linter}: {' '.join(key)} is found no more (take it out of lint_exceptions.py)"


def templates(case: str) -> list[Path]:
    return [file for part in ("base", "pipeline", "cicd") if (file := GOLDEN / case / f"{part}.json").is_file()]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
