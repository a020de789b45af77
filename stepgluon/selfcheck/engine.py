"""JSONata for the rehearsal; distinguishes kinds of failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localaws.stepfunctions import jsonata

_THROWN = "threw an error during evaluation. "
_ON_PURPOSE = ("D3137: ", "D3141: ")  # $error and $assert


class Failed(Exception):
    """An expression without a value; `on_purpose` if it called $error itself."""

    def __init__(self, message: str, on_purpose: bool = False) -> None:
        super().__init__(message)
        self.on_purpose = on_purpose


def problem(text: str) -> str:
    """Why an expression can never be evaluated; empty if it can."""
    try:
        jsonata.check(text)
    except jsonata.QueryEvaluationError as error:
        return error.problem.removeprefix(_THROWN)
    return ""


def evaluate(text: str, variables: Mapping[str, Any]) -> Any:
    """The value of an expression; raises Failed, as in AWS also for an undefined value."""
    try:
        return jsonata.evaluate(text, variables)
    except jsonata.Undefined:
        raise Failed("it is undefined") from None
    except jsonata.QueryEvaluationError as error:
        message = error.problem.removeprefix(_THROWN)
        said = next((message[len(code) :] for code in _ON_PURPOSE if message.startswith(code)), None)
        raise Failed(message if said is None else said, said is not None) from None
