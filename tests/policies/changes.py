"""A policy with something taken away or made wider, and put in the place of the one that is attached."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from localaws.iam.policy_evaluation import listed
from stepgluon.deploy.templates import policies as templates

Document = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """`what` is the action, resource or condition that the statement of this Sid has no more, or `*`, which it got."""

    part: str
    statement: Document
    what: str
    changed: Document

    @property
    def name(self) -> tuple[str, str, str]:
        return self.part, self.statement["Sid"], self.what

    @contextmanager
    def made(self) -> Iterator[None]:
        """The policies of buckets, topic, queue and key stay as they are: they refuse what comes without TLS."""
        original = templates._document
        with mock.patch.object(templates, "_document", lambda p: self.changed if p == self.part else original(p)):
            yield


def removals(part: str) -> Iterator[Change]:
    """The document without one statement, one action or one resource."""
    document = templates._document(part)
    for number, statement in enumerate(document["Statement"]):
        for element in ("Action", "Resource"):
            for item in listed(statement[element]):
                changed = copy.deepcopy(document)
                rest = [other for other in listed(statement[element]) if other != item]
                if rest:
                    changed["Statement"][number][element] = rest
                else:
                    del changed["Statement"][number]
                yield Change(part, statement, item, changed)


def widenings(part: str) -> Iterator[Change]:
    """The document with one resource of every kind, or without one condition."""
    document = templates._document(part)
    for number, statement in enumerate(document["Statement"]):
        if not statement["Sid"].endswith("HasNoResources"):
            changed = copy.deepcopy(document)
            changed["Statement"][number]["Resource"] = "*"
            yield Change(part, statement, "*", changed)
        for operator, rules in statement.get("Condition", {}).items():
            for key in rules:
                changed = copy.deepcopy(document)
                del changed["Statement"][number]["Condition"][operator][key]
                yield Change(part, statement, key, changed)
