"""Canned endpoints for rehearsals: how SageMaker describes one before and after the machine's calls."""

from __future__ import annotations

from typing import Any

MISSING = 'Could not find endpoint "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/shop-price".'
# By scenario: the status before; and after a creation or update, the status and which config the endpoint has.
KINDS = {
    "is created": ("Missing", "InService", "new"),
    "is updated": ("InService", "InService", "new"),
    "serves the model already": ("InService", "", ""),
    "is rolled back": ("InService", "InService", "old"),
    "is changed by another run": ("InService", "InService", "other"),
    "cannot be rolled back": ("InService", "UpdateRollbackFailed", "old"),
    "failed before": ("Failed", "InService", "new"),
    "fails": ("Missing", "Failed", "new"),
    "is out of service": ("OutOfService", "", ""),
    "is created for ever": ("Missing", "Creating", "new"),
    "is deleted by somebody": ("InService", "Missing", ""),
}
# The scenario in which the machine makes this call.
NEEDED = {"updateEndpoint": "is updated", "deregisterScalableTarget": "is updated", "deleteEndpoint": "failed before"}
ACTIONS = ("describeEndpoint", "createEndpoint", "updateEndpoint", "deleteEndpoint")


class Endpoints:
    """The endpoints of one rehearsal; `released` has the configs that another one released."""

    def __init__(self, kind: str, released: dict[str, str]) -> None:
        self.kind, self._released = kind, released
        self._before, self._after, self._serves = KINDS[kind]
        self._now: dict[str, tuple[str, str]] = {}
        self._later: dict[str, tuple[str, str]] = {}

    def start(self) -> None:
        self._now, self._later = {}, {}

    def called(self, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """The response; None if there is no such endpoint."""
        name = str(request.get("EndpointName"))
        if action == "describeEndpoint":
            return self._described(name)
        if action == "deleteEndpoint":
            self._now[name], self._later[name] = ("Deleting", ""), ("Missing", "")
            return {}
        new = str(request.get("EndpointConfigName"))
        self._released[name] = new
        serves = {"new": new, "old": "before"}.get(self._serves, self._serves)
        self._now[name] = ("Creating" if action == "createEndpoint" else "Updating", "before")
        self._later[name] = (self._after, serves)
        return {"EndpointArn": f"arn:aws:sagemaker:eu-west-1:123456789012:endpoint/{name}"}

    def _described(self, name: str) -> dict[str, Any] | None:
        same = self.kind == "serves the model already"
        first = (self._before, self._released.get(name, "before") if same else "before")
        status, serves = self._now.get(name, first)
        if name in self._later:
            self._now[name] = self._later.pop(name)
        if status == "Missing":
            return None
        variant = {"VariantName": "AllTraffic", "DesiredInstanceCount": 3, "CurrentInstanceCount": 3}
        failed = {"FailureReason": "The primary container did not pass the ping health check."}
        return {
            **{"EndpointName": name, "EndpointConfigName": serves, "EndpointStatus": status},
            **{"ProductionVariants": [variant] if status == "InService" else []},
            **(failed if status in ("Failed", "UpdateRollbackFailed") else {}),
        }
