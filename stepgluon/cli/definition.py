"""The commands that need neither an account nor the local AWS: validate, compile, graph and schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from stepgluon.cli.common import Call
from stepgluon.cli.terminal import write_file
from stepgluon.errors import UsageError, counted
from stepgluon.workflow.size_estimate import surely_fits

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
    count = len(loaded.config.models)
    if not surely_fits(loaded.config):
        call.definition(loaded)  # takes seconds, and reports exceeded limits
    call.terminal.say(f"{call.options.config}: no mistakes; {counted(count, 'model')}")


def do_compile(call: Call) -> None:
    options, definition = call.options, call.definition(call.config(to_deploy=True))
    _write(call, definition.text, None if options.stdout else options.out / "definition.asl.json")


def do_graph(call: Call) -> None:
    output = call.options.output
    kind: Picture | None = call.options.format or (SUFFIXES.get(output.suffix.lower()) if output else "text")
    if kind is None:
        raise UsageError(f"{output}: unknown ending (use .svg, .html, .mmd or .txt, or add --format)")
    loaded = call.config()
    definition = call.definition(loaded)

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
