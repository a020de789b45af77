"""Lets Step Functions validate the definition that would be deployed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from stepgluon.aws import Door
from stepgluon.deploy.plan import UNKNOWN
from stepgluon.verify.check import Check

if TYPE_CHECKING:
    from stepgluon.deploy.release import Release


def filled(release: Release, digests: Mapping[str, str]) -> str:
    """The definition with the images' digests, substituted as by CloudFormation."""
    text = release.definition
    for image in release.images:
        text = text.replace(f"${{{image.parameter}}}", digests.get(image.parameter, UNKNOWN))
    return text


def definition(release: Release, door: Door, digests: Mapping[str, str]) -> Iterator[Check]:
    text = filled(release, digests)
    answer = door.client("stepfunctions").validate_state_machine_definition(
        definition=text, type="STANDARD", severity="WARNING"
    )
    for one in answer["diagnostics"]:
        said = f"{one.get('location') or 'the machine'}: {one['message']} [{one['code']}]"
        if one["severity"] == "ERROR":
            yield Check("definition", "failed", said)
        else:
            yield Check("definition, warning", "passed", said)
    if answer["result"] == "OK":
        yield Check("definition", "passed", f"Step Functions accepts its {len(text.encode()):,} bytes")
    elif not any(one["severity"] == "ERROR" for one in answer["diagnostics"]):
        yield Check("definition", "failed", "Step Functions refuses it, and says no reason")
