"""Writes a config for the user's tables."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stepgluon.advice import as_given, pipeline_py
from stepgluon.cli.common import Call
from stepgluon.cli.terminal import write_file
from stepgluon.config.json_schema import json_schema
from stepgluon.config.new_config import errors, guess_of_class, new_config, pipeline_name
from stepgluon.config.table_formats import READ_AS
from stepgluon.errors import UsageError, counted, did_you_mean, found
from stepgluon.local.data_check import BadData, propose
from stepgluon.runs.start import check_files

LISTED = 20  # columns
LEAST_LABELLED = 5  # 4 to learn from, as train needs, and 1 held out
Columns = list[dict[str, Any]]


def do_init(call: Call) -> None:
    options = call.options
    out: Path = options.out or options.config
    check_files(options.data, option="")
    name = pipeline_name(options.data[0].name.partition(".")[0])
    if out.exists() and not options.force:
        raise UsageError(f"{out} exists (write another file with --out {name}.yml, or overwrite it with --force)")
    data = {option: value for option in READ_AS if (value := getattr(options, option)) != "auto"}
    given = _proposed(call, options.label, data)
    label = options.label if options.label is not None else _asked(call, given)
    _check(label, given["columns"])
    made = given if options.label is not None else _proposed(call, label, data)
    if made["labelled"] < LEAST_LABELLED:
        rows = counted(made["labelled"], "row") + (" has" if made["labelled"] == 1 else " have")
        raise UsageError(
            f"--label {found(label)}: {rows} a value (at least {LEAST_LABELLED} are needed to train a model)"
        )
    if "constant" in made:
        value = found(made["constant"]) if isinstance(made["constant"], str) else f"{made['constant']:.15g}"
        raise UsageError(
            f"--label {found(label)}: all {counted(made['labelled'], 'row')} with a value have {value} "
            "(choose a column whose values differ)"
        )

    schema = out.with_name(f"{out.stem}.schema.json")
    command = " ".join(["python pipeline.py init", *(shlex.quote(file.name) for file in options.data)])
    text, split = new_config(name, label, made, quote(schema.name), command, data)
    write_file(out, text)
    write_file(schema, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    with as_given(out, None):
        following = pipeline_py("run --data", *map(str, options.data))
    lines = [*_found(label, made, split), f"Wrote {out} and {schema}.", f"Next: {following}"]
    call.terminal.result("\n".join(lines) + "\n")


def _proposed(call: Call, label: str | None, data: dict[str, str]) -> dict[str, Any]:
    """What the tables hold; a problem names the option for what it says to set in the config."""
    try:
        return propose(call.options.data, label, data)
    except BadData as error:
        keys = rf"\bdata\.({'|'.join(READ_AS)})\b"
        raise BadData([re.sub(keys, r"--\1", problem) for problem in error.problems]) from None


def _found(label: str, made: dict[str, Any], split: bool) -> list[str]:
    best, gaps = made["best"], made["rows"] - made["labelled"]
    seen = "" if made["all_rows"] else "the first "
    rows = f"{seen}{made['rows']:,} rows"
    empty = f"{gaps:,} of {rows} are empty, and will be predicted"
    nothing = f"none of {rows} is empty, so a run evaluates models and predicts nothing"
    lines = [*made["assumed"], f"Label {label}: {empty if gaps else nothing}."]
    if "classes" in made:
        lines.append(f"One model of {len(made['classes'])} classes: {guess_of_class(made)}.")
    elif split:
        lines.append(f"{len(best['values'])} models, one for each {best['column']}: {errors(made)}.")
    elif few := made["too_few"]:
        value, labelled = few["fewest"]
        rows = f"{counted(labelled, 'row')} with {few['column']} = {value} {'has' if labelled == 1 else 'have'}"
        lines.append(
            f"One model: {few['column']} would split the rows well, but {rows} a value in {label}; "
            f"a model of its own needs {few['needed']}."
        )
    elif best:
        lines.append(f"One model: splitting by {best['column']} would help little; {errors(made)}.")
    else:
        lines.append("One model: no text or whole-number column has few values with enough rows each.")
    return lines


def _check(label: str, columns: Columns) -> None:
    column = next((column for column in columns if column["name"] == label), None)
    if column is None:
        names = [str(column["name"]) for column in columns]
        guess = next((name for name in names if name.strip() == label.strip()), None) or did_you_mean(label, names)
        shown = found(guess) if guess and guess != guess.strip() else guess
        hint = f"did you mean {shown}?" if guess else _listed(columns)
        raise UsageError(f"--label {found(label)}: there is no such column ({hint})")
    if len(columns) == 1:
        raise UsageError(f"--label {found(label)}: the tables have no other column (add columns to learn from)")


def _candidates(columns: Columns) -> Columns:
    """Columns with gaps, of any type, and then the other numeric ones."""
    candidates = (column for column in columns if column["number"] or column["gaps"])
    return sorted(candidates, key=lambda column: not column["gaps"])


def _listed(columns: Columns) -> str:
    names = [
        column["name"] + (f" ({counted(column['gaps'], 'gap')})" if column["gaps"] else "")
        for column in _candidates(columns)
    ]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"columns with gaps or numbers: {', '.join(names[:LISTED])}{more}" if names else "no gaps and no numbers"


def _asked(call: Call, given: dict[str, Any]) -> str:
    """Ask the user for the label, by name or number."""
    columns: Columns = given["columns"]
    candidates = _candidates(columns)
    if not candidates:
        raise UsageError(f"the tables have nothing to predict ({_listed(columns)})")
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(f"stdin is not a terminal; name the column to predict with --label ({_listed(columns)})")
    width = max(len(column["name"]) for column in candidates[:LISTED])
    call.terminal.say("Which column should be predicted?")
    for number, column in enumerate(candidates[:LISTED], 1):
        gaps = f"  {column['gaps']:,} of {given['rows']:,} rows empty" if column["gaps"] else ""
        call.terminal.say(f"  {number:>2}  {column['name']:<{width}}{gaps}".rstrip())
    with_gaps = [str(column["name"]) for column in candidates if column["gaps"]]
    default = with_gaps[0] if len(with_gaps) == 1 else ""
    while True:
        call.terminal.say(f"Its name or number{f' (Enter: {default})' if default else ''}:")
        answer = sys.stdin.readline()
        if not answer:
            raise UsageError("no column was chosen (name it with --label)")
        answer = answer.strip() or default
        if answer.isdecimal() and 0 < int(answer) <= len(candidates) and answer not in {c["name"] for c in candidates}:
            return str(candidates[int(answer) - 1]["name"])
        try:
            _check(answer, columns)
            return answer
        except UsageError as error:
            call.terminal.say(str(error).removeprefix("--label "))
