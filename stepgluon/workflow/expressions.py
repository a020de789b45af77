"""JSONata for the states: quoting, and text templates."""

from __future__ import annotations

import json
import re
from typing import Any

NOT_RETRIED = "Not retried: "  # prefix of a job's sentence if the user's data caused the failure; see code/job_io.py
# What SageMaker and code/job_io.py add to the sentence.
_AROUND = (
    r"/(AlgorithmError: )?framework error: .*?exceptions\.\w+: |AlgorithmError: |Not retried: |, exit code: [0-9]+/"
)
_IN_SOURCE = r"/XGB train call failed with exception:\s*(\[[0-9:]+\] )?(\S+:[0-9]+: )?/"
_USERS_MISTAKE = "exceptions.UserError: "  # of AWS's containers


def expression(text: str) -> str:
    """A JSONata expression as a field's value, on one line, because asl-validator requires it."""
    return "{% " + text.replace("\n", " ") + " %}"


def quoted(text: str) -> str:
    """A JSONata string. JSONata only knows JSON's escapes, so an apostrophe is escaped by its number."""
    inside = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return "'" + inside.replace("'", "\\u0027").replace("%}", "\\u0025}").replace("{%", "{\\u0025") + "'"


def text(template: str, *gaps: str) -> str:
    """A JSONata string concatenation: the template with each `{}` filled by an expression."""
    filled = iter(gaps)
    parts = [next(filled) if part == "{}" else quoted(part) for part in re.split(r"(\{\})", template) if part]
    assert next(filled, None) is None, f"more expressions than gaps: {template}"
    return " & ".join(parts)


def jsonata(value: Any) -> str:
    """JSONata for a JSON value that has expressions in it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {jsonata(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(jsonata, value))}]"
    if isinstance(value, str):
        return value[3:-3] if value.startswith("{%") else quoted(value)
    return json.dumps(value)


def literal(value: Any) -> Any:
    """A literal JSON value: a text that looks like an expression is quoted."""
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [literal(inner) for inner in value]
    if isinstance(value, str) and ("{%" in value or "%}" in value):
        return expression(quoted(value))
    return value


def words_of_job(cause: str, most: int) -> str:
    """The beginning of a failed job's message, from its description, or of any other cause.

    A processing job's own message is its ExitMessage. The text may end with the rest of the description, which
    `sentence` removes later, once for all branches.
    """
    return f"$substring($replace({cause}, /^(.*ExitMessage|.*FailureReason)\":\"/, ''), 0, {most})"


def sentence(error: str, words: str) -> str:
    """The sentence for people, from the beginning that a branch kept."""
    ended = f"$substringBefore($substringBefore({words}, '\",\"'), '\"}}')"
    plain = f"$replace($replace({ended}, '\\\\n', ' '), '\\\\\"', '\"')"
    other = f"{error} = '' ? '' : {error} & ': ' & {words}"
    return f"$replace(({error} = 'States.TaskFailed' ? {plain} : {other}) & '', {_AROUND}, '')"


def once(sentence: str) -> str:
    """A sentence that a container of AWS may give twice, once, and without XGBoost's place in its source."""
    half = "$trim($substring($s, 0, $n))"
    return (
        f"($s := $trim($replace({sentence}, {_IN_SOURCE}, '')); $n := $floor($length($s) / 2); "
        f"{half} = $trim($substring($s, $length($s) - $n)) ? {half} : $s)"
    )


def worth_another_try(failure: str, tries: str, most: int, of_aws: bool = False) -> str:
    """Whether a retry may help, and tries are left; `of_aws` if the job may run in a container of AWS."""
    mistake = f"$contains({failure}.Cause, {quoted(NOT_RETRIED)})"
    if of_aws:
        mistake += f" or $contains({failure}.Cause, {quoted(_USERS_MISTAKE)})"
    return f"{tries} <= {most} and {failure}.Error = 'States.TaskFailed' and $not({mistake})"
