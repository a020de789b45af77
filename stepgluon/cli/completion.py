"""Completion of commands, options and paths in bash and zsh."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

from stepgluon.cli.common import Call
from stepgluon.cli.parser import parser

# bash completes by the first word alone, which is mostly python. zsh's own completion of python hands over to ours.
_PYTHON = """
_stepgluon_python() {
  [[ ${COMP_WORDS[1]##*/} == pipeline.py && $COMP_CWORD -gt 1 ]] || return 0
  COMP_WORDS=("${COMP_WORDS[@]:1}")
  COMP_CWORD=$((COMP_CWORD - 1))
  _shtab_pipeline_py
}
complete -o bashdefault -o default -F _stepgluon_python python python3
"""
_PATHS = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}


def do_completion(call: Call) -> None:
    words, shell = parser(), call.options.shell
    for action in _actions(words):
        if action.metavar in _PATHS:
            vars(action)["complete"] = _PATHS[str(action.metavar)]
    call.terminal.result(shtab.complete(words, shell) + (_PYTHON if shell == "bash" else ""))


def _actions(words: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in words._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
