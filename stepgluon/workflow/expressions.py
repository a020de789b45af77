"""JSONata as the states write it: quoting, and texts with gaps."""

from __future__ import annotations

import json
import re
from typing import Any

NOT_RETRIED = "Not retried: "  # begins the sentence of a job that failed for the user's data; see code/job_io.py
# What SageMaker and code/job_io.py put around the sentence.
_AROUND = "/AlgorithmError: |Not retried: |, exit code: [0-9]+/"


def expression(text: str) -> str:
    """A JSONata expression as a field's value, on one line: asl-validator knows no other."""
    return "{% " + text.replace("\n", " ") + " %}"


def quoted(text: str) -> str:
    """A JSONata string. It knows JSON's escapes and no others, so an apostrophe is written by its number."""
    inside = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return "'" + inside.replace("'", "\\u0027").replace("%}", "\\u0025}").replace("{%", "{\\u0025") + "'"


def text(template: str, *gaps: str) -> str:
    """A JSONata string concatenation: the template with each `{}` filled by an expression."""
    filled = iter(gaps)
    parts = [next(filled) if part == "{}" else quoted(part) for part in re.split(r"(\{\})", template) if part]
    assert next(filled, None) is None, f"more expressions than gaps: {template}"
    return " & ".join(parts)


def literal(value: Any) -> Any:
    """A JSON value that is taken as it is: a text that looks like an expression is quoted."""
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [literal(inner) for inner in value]
    if isinstance(value, str) and ("{%" in value or "%}" in value):
        return expression(quoted(value))
    return value


def words_of_job(cause: str, most: int) -> str:
    """The beginning of what a failed job said, out of its description; of any other cause the beginning.

    It may end with the rest of the description: `sentence` takes that off where it need not stand in each branch.
    """
    key = f"$contains({cause}, 'ExitMessage\"') ? 'ExitMessage\":\"' : 'FailureReason\":\"'"
    return f"$substring($substringAfter({cause}, {key}), 0, {most})"


def sentence(error: str, words: str) -> str:
    """The sentence for a person, from the beginning that a branch kept."""
    ended = f"$substringBefore($substringBefore({words}, '\",\"'), '\"}}')"
    plain = f"$replace($replace({ended}, '\\\\n', ' '), '\\\\\"', '\"')"
    other = f"{error} = '' ? '' : {error} & ': ' & {words}"
    return f"$replace(({error} = 'States.TaskFailed' ? {plain} : {other}) & '', {_AROUND}, '')"


def worth_another_try(failure: str, tries: str, most: int) -> str:
    """Whether a job failed for a reason that another try may mend, and tries are left."""
    mistake = f"$contains({failure}.Cause, {quoted(NOT_RETRIED)})"
    return f"{failure}.Error = 'States.TaskFailed' and $not({mistake}) and ({tries}) <= {most}"
