"""The facts that were taken from botocore are those of the botocore that is installed."""

from __future__ import annotations

import json

from stepgluon.config.aws_facts import FILE, from_botocore


def test_the_facts_are_those_of_the_installed_botocore() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == from_botocore(), "run: python -m stepgluon.config.aws_facts"
