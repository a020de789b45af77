"""What others' linters say about the golden definitions: statelint, cfn-lint's rule for state machines, and from npm
asl-validator and AWS's language service, which Visual Studio Code shows.

Run by `make check`, which installs those of npm where npm is installed. statelint takes 2.0 for a wrong type of number
where the language has a float, so FLOAT is ignored. It knows no expression for a Wait's Seconds, so it is shown a
number, and neither Label nor InputType of a Distributed Map, so it is shown none. cfn-lint's pattern for a Task's
Resource knows only the partition `aws`, so it is shown the others' with that name.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"
BIN = Path(sys.executable).parent
NPM = Path(__file__).parent / "asl"


def template(definition: str) -> str:
    """The smallest CloudFormation document with this state machine."""
    properties = {
        "RoleArn": "arn:aws:iam::123456789012:role/machine",
        "Definition": json.loads(re.sub(r"arn:aws-[a-z-]+:states:::", "arn:aws:states:::", definition)),
        "DefinitionSubstitutions": {"DataDigest": "sha256:0", "AutogluonDigest": "sha256:0"},
    }
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": resource}})


def known_to_statelint(state: dict[str, Any]) -> dict[str, Any]:
    """An object of a definition without what statelint does not know."""
    if isinstance(state.get("Seconds"), str):
        state["Seconds"] = 1
    return {key: value for key, value in state.items() if key not in ("Label", "InputType")}


def main() -> int:
    definitions = sorted(GOLDEN.glob("*/*.asl.json"))
    assert definitions, "there are no golden definitions: run make golden"
    with tempfile.TemporaryDirectory() as folder:
        templates, plain = [], []
        for definition in definitions:
            text = definition.read_text(encoding="utf-8")
            name = f"{definition.parent.name}-{definition.name.removesuffix('.asl.json')}.json"
            statelints = json.dumps(json.loads(text, object_hook=known_to_statelint))
            for made, shown in (templates, template(text)), (plain, statelints):
                file = Path(folder) / ("template" if made is templates else "asl") / name
                file.parent.mkdir(exist_ok=True)
                file.write_text(shown, encoding="utf-8")
                made.append(str(file))
        commands = [
            [str(BIN / "statelint"), "--ignore=FLOAT", *plain],
            [str(BIN / "cfn-lint"), "--regions", "us-east-1", "--", *templates],
        ]
        if shutil.which("node") and (NPM / "node_modules").is_dir():
            commands.append(["node", str(NPM / "lint.js"), *map(str, definitions)])
        else:
            print("npm is not installed: asl-validator and AWS's language service were skipped", file=sys.stderr)
        said = [subprocess.run(command, capture_output=True, text=True, check=False) for command in commands]
    for linter in said:
        print(linter.stdout + linter.stderr, end="")
    return max(linter.returncode != 0 or bool(linter.stdout.strip()) for linter in said)


if __name__ == "__main__":
    sys.exit(main())
