"""The EventBridge rule that mails the failures which the state machine could not mail itself.

Timeouts of the machine, aborts and States.Runtime reach no Catch. A failure that was mailed says so: its cause begins
with MAILED, put there by the failure path after the mail, so that nobody gets two for one failure.
docs/decisions/0030 has the reasons.
"""

from __future__ import annotations

from typing import Any

from stepgluon.names import Names

MAILED = "Mailed: "


def event_pattern(names: Names) -> dict[str, Any]:
    """Each alternative stands for itself, because `anything-but` need not match a cause that is null or missing."""
    return {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [names.machine_arn],
            "$or": [
                {"status": ["TIMED_OUT", "ABORTED"]},
                {"status": ["FAILED"], "cause": [{"anything-but": {"prefix": MAILED}}]},
                {"status": ["FAILED"], "cause": [None]},
                {"status": ["FAILED"], "cause": [{"exists": False}]},
            ],
        },
    }


def input_transformer(names: Names) -> dict[str, Any]:
    """The mail. EventBridge wants each line in quotes and leaves them there, and SNS gives the mail its subject.

    Of the event only what can hold no quote is used: with others in a cause, EventBridge would drop the mail.
    """
    lines = [
        f"Run <run> of the pipeline {names.prefix} ended as <status>.",
        f"Look closer: {names.pipeline_py('show <run>')}",
        f"{names.console}<execution>",
        "The raw data is untouched. When the reason is gone, go on with what is not finished:",
        names.pipeline_py("redrive <run>"),
        "Or upload the .run file again: that starts a new run, from the beginning.",
    ]
    return {
        "InputPathsMap": {"run": "$.detail.name", "status": "$.detail.status", "execution": "$.detail.executionArn"},
        "InputTemplate": "\n".join(f'"{line}"' for line in lines),
    }
