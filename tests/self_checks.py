"""Check each definition once: what the self-check finds depends on the definition alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from made_once import made_once

from stepgluon.selfcheck import Finding, SelfCheck
from stepgluon.workflow import compile as compiling


def share() -> None:
    """Many tests compile the same config, and the self-check takes nine tenths of a compilation."""

    def check(definition: Mapping[str, Any]) -> SimpleNamespace:
        text = compiling.canonical(dict(definition))

        def make() -> Any:
            checked = SelfCheck(definition)
            found = [[one.code, one.state, one.message] for one in checked.findings(text)]
            return {"events": checked.events, "findings": found}

        made = made_once("self-check", text, make)
        return SimpleNamespace(events=made["events"], findings=lambda text: [Finding(*one) for one in made["findings"]])

    compiling.SelfCheck = check  # type: ignore[assignment,misc] - compiling reads these two attributes alone
