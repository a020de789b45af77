"""Answers to calls that list something: sorted, and in pages."""

from __future__ import annotations

from typing import Any

Request = dict[str, Any]


def in_order(name: str, found: list[Request], request: Request, usual: str) -> list[Request]:
    """By the time of creation, or by the member `name`; `usual` is the order if the request has none."""
    by = name if request.get("SortBy") == "Name" else "CreationTime"
    return sorted(found, key=lambda one: one[by], reverse=request.get("SortOrder", usual) == "Descending")


def page(member: str, found: list[Request], request: Request) -> Request:
    """A page of the answer; clients ignore members of an entry that are not in the model."""
    start = int(request.get("NextToken", 0))
    end = start + request.get("MaxResults", 10)
    return {member: found[start:end]} | ({"NextToken": str(end)} if end < len(found) else {})
