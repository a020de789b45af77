"""The commands that need neither an account nor the local AWS: validate, compile, graph and schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stepgluon.cli.common import Call
from stepgluon.cli.terminal import write_file
from stepgluon.config.found_models import OTHERS
from stepgluon.errors import UsageError, counted
from stepgluon.workflow.size_estimate import surely_fits

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Definition

Picture = Literal["text", "mermaid", "svg", "html"]
SUFFIXES: dict[str, Picture] = {
    ".txt": "text",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".md": "mermaid",
    ".svg": "svg",
    ".html": "html",
    ".htm": "html",
}


def do_validate(call: Call) -> None:
    loaded = call.config()
    found = loaded.config.partitioned
    shared = OTHERS if found and found.otherwise == "shared" else ""
    models = f"a model for each {found.column}{shared}" if found else counted(len(loaded.config.models), "model")
    if not surely_fits(loaded.config):
        call.definition(loaded)  # takes seconds, and reports exceeded limits
    call.terminal.say(f"{call.options.config}: no mistakes; {models}")


def do_compile(call: Call) -> None:
    options, definition = call.options, call.definition(call.config(to_deploy=True))
    if options.stdout:
        return _write(call, _machine(call, definition).text, None)
    _write(call, definition.text, options.out / "definition.asl.json")
    for name, text in definition.texts.items():
        _write(call, text, options.out / f"{name}.asl.json")


def _machine(call: Call, definition: Definition) -> Definition:
    """The machine of --machine."""
    name = call.options.machine
    if name and name not in definition.others:
        raise UsageError(f"--machine {name}: the config needs no such machine (docs/how-to/serve.md)")
    return definition.others[name] if name else definition


def do_graph(call: Call) -> None:
    output = call.options.output
    kind: Picture | None = call.options.format or (SUFFIXES.get(output.suffix.lower()) if output else "text")
    if kind is None:
        raise UsageError(f"{output}: unknown ending (use .svg, .html, .mmd or .txt, or add --format)")
    loaded = call.config()
    definition = _machine(call, call.definition(loaded))

    from stepgluon.graph import render
    from stepgluon.names import Names

    _write(call, render(definition.asl, kind, Names(loaded.config).prefix, call.options.detail), output)


def do_schema(call: Call) -> None:
    from stepgluon.config.json_schema import json_schema

    _write(call, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", None)


def _write(call: Call, text: str, file: Path | None) -> None:
    """Write to the file, or to stdout."""
    if file is None:
        call.terminal.result(text)
    else:
        write_file(file, text, call.options.config)
        call.terminal.say(f"{file}: {len(text.encode()):,} bytes")
