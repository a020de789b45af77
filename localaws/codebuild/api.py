"""CodeBuild's API for builds, which build.py runs; moto keeps the projects and answers all other calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from localaws.base import api_model, requests
from localaws.base.api_error import ApiError
from localaws.base.requests import Application
from localaws.codebuild.build import Build
from localaws.sagemaker.job import Workshop

TARGET = "CodeBuild_20161006"
ACTIONS = ("BatchGetBuilds", "ListBuilds", "ListBuildsForProject", "StartBuild", "StopBuild")
KNOWN = {"projectName", "sourceTypeOverride", "sourceLocationOverride", "buildspecOverride"}
KNOWN |= {"environmentVariablesOverride", "idempotencyToken"}


class CodeBuild:
    def __init__(self, workshop: Workshop, ecr: Callable[[], Any]) -> None:
        self.workshop, self._ecr = workshop, ecr
        self._builds: dict[str, Build] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def call(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """The response, with times in seconds since 1970; raises ApiError."""
        if wrong := api_model.problems("codebuild", action, request):
            raise ApiError("InvalidInputException", "; ".join(wrong))
        if action == "StartBuild":
            return {"build": self.start(request).described()}
        if action == "StopBuild":
            self.build(request["id"]).stop()
            return {"build": self.build(request["id"]).described()}
        if action == "BatchGetBuilds":
            found = [self._builds[id].described() for id in request["ids"] if id in self._builds]
            return {"builds": found, "buildsNotFound": [id for id in request["ids"] if id not in self._builds]}
        project = request.get("projectName")
        ids = [id for id, build in reversed(self._builds.items()) if project in (None, build.project["name"])]
        return {"ids": ids}

    def start(self, request: dict[str, Any]) -> Build:
        if unknown := sorted(request.keys() - KNOWN):
            raise ApiError("InvalidInputException", f"{unknown[0]} is not available locally.")
        project, token = self._project(request["projectName"]), request.get("idempotencyToken", "")
        with self._lock:
            if token in self._tokens:
                return self._builds[self._tokens[token]]
            build = Build(project, request, self.workshop, self._ecr)
            self._builds[build.id] = build
            if token:
                self._tokens[token] = build.id
        build.start()
        return build

    def build(self, id: str) -> Build:
        if id not in self._builds:
            raise ApiError("ResourceNotFoundException", f"Build with id {id} does not exist.")
        return self._builds[id]

    def close(self, seconds: float) -> None:
        for build in list(self._builds.values()):
            build.stop()
        for build in list(self._builds.values()):
            build.join(seconds)

    def _project(self, name: str) -> dict[str, Any]:
        from moto.codebuild.models import codebuild_backends

        arn = self.workshop.permissions.arn("codebuild", f"project/{name}")
        _, _, _, region, account, _ = arn.split(":", 5)
        found = codebuild_backends[account][region].codebuild_projects.get(name)
        if found is None:
            raise ApiError("ResourceNotFoundException", f"Project cannot be found: {arn}")
        return dict(found.project_metadata)


def codebuild_door(codebuild: CodeBuild, others: Application) -> Application:
    """Answers requests about builds, and passes all others on."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        service, _, action = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if service != TARGET or action not in ACTIONS:
            return others(environ, start_response)
        try:
            status, answer = "200 OK", codebuild.call(action, requests.json_body(environ))
        except ApiError as error:
            status, answer = "400 Error", {"__type": error.code, "message": error.message}
        return requests.respond(start_response, status, "application/x-amz-json-1.1", json.dumps(answer))

    return application
