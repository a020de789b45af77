"""`pipeline.py verify` asks AWS about the calls that these tests derive."""

from __future__ import annotations

import os

import pytest
from policies.deployed import ROLES, deployed
from policies.deployers import PARTS, calls
from policies.derived import ALL, derived

from stepgluon.deploy.templates.parts import canonical
from stepgluon.verify.policies import CALLS, _allowed, calls_of
from stepgluon.verify.policies import statements as kept


def test_the_file_has_every_derived_call() -> None:
    text = canonical(derived())
    if os.environ.get("GOLDEN") == "write":
        CALLS.write_text(text, encoding="utf-8")
    assert CALLS.read_text(encoding="utf-8") == text, "GOLDEN=write writes it"


@pytest.mark.parametrize("case", ALL)
@pytest.mark.parametrize("part", (*ROLES, *PARTS))
def test_each_call_of_a_pipeline_is_asked_about(part: str, case: str) -> None:
    """Calls that only other configs make are left out where this one's policies do not allow them."""
    found = deployed(case)
    if part not in kept() or (part in PARTS and part != "deployer" and not found.names.config.cicd):
        return
    boundary = found.attached["boundary"] if part in ROLES else None
    asked = {call.action for call in calls_of(found.names, part) if _allowed(call, found.attached[part], boundary)}
    assert asked >= {call.action for call in (found.calls[part] if part in ROLES else calls(case, part))}
