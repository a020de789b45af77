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
complete -o bashdefault -o default -F _shtab_pipeline_py pipeline.py
"""
_PATHS = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
# shtab's script for zsh defines the completion when it is evaluated, and not when it is sourced.
_EVALUATED, _OR_SOURCED = "zsh_eval_context[-1] == eval ", "zsh_eval_context[-1] == (eval|file) "


def do_completion(call: Call) -> None:
    words = parser()
    if (
        call.options.shell == "bash"
    ):  # which completes paths itself; after `--data FILE`, shtab would offer nothing else
        call.terminal.result(shtab.complete(words, "bash") + _PYTHON)
        return
    for action in _actions(words):
        if action.metavar in _PATHS:
            vars(action)["complete"] = _PATHS[str(action.metavar)]
    call.terminal.result(shtab.complete(words, "zsh").replace(_EVALUATED, _OR_SOURCED))


def _actions(words: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in words._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
