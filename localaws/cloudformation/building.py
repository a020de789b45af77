"""What rebuilds a pipeline on a push: CodeBuild and CodePipeline."""

from __future__ import annotations

import contextlib
from typing import Any

from localaws.cloudformation.kinds import Kind, Properties, lower_first


class Project(Kind):
    type = "AWS::CodeBuild::Project"
    name = "Name"
    fixed = frozenset({"Name"})
    known = fixed | {
        "Artifacts",
        "BadgeEnabled",
        "Cache",
        "ConcurrentBuildLimit",
        "Description",
        "EncryptionKey",
        "Environment",
        "LogsConfig",
        "QueuedTimeoutInMinutes",
        "ServiceRole",
        "Source",
        "SourceVersion",
        "Tags",
        "TimeoutInMinutes",
    }

    def make(self, given: Properties) -> str:
        self.place.client("codebuild").create_project(**{**_project(given), "name": self.named(given, 150)})
        return self.named(given, 150)

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        if old:  # moto has no UpdateProject
            client = self.place.client("codebuild")
            client.delete_project(name=physical)
            client.create_project(**{**_project(new), "name": physical})

    def remove(self, physical: str, given: Properties) -> None:
        self.place.client("codebuild").delete_project(name=physical)

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        return {"Arn": self.place.arn("codebuild", f"project/{physical}")}


def _project(given: Properties) -> dict[str, Any]:
    told: dict[str, Any] = lower_first(given)
    source = given["Source"]
    if "BuildSpec" in source:
        told["source"] = {**lower_first(source), "buildspec": source["BuildSpec"]}
        del told["source"]["buildSpec"]
    for part in ("source", "artifacts"):
        if told[part]["type"] == "CODEPIPELINE":  # has no place of its own, but moto asks for one
            told[part] = {**told[part], "location": "codepipeline"}
    return told


class Pipeline(Kind):
    type = "AWS::CodePipeline::Pipeline"
    name = "Name"
    fixed = frozenset({"Name"})
    known = fixed | {"ArtifactStore", "ExecutionMode", "PipelineType", "RoleArn", "Stages", "Tags", "Triggers"}

    def make(self, given: Properties) -> str:
        self.place.client("codepipeline").create_pipeline(
            pipeline=self._told(self.named(given, 100), given), tags=lower_first(given.get("Tags", []))
        )
        return self.named(given, 100)

    def configure(self, physical: str, old: Properties, new: Properties) -> None:
        if old:
            self.place.client("codepipeline").update_pipeline(pipeline=self._told(physical, new))

    def _told(self, name: str, given: Properties) -> dict[str, Any]:
        stages = [
            {"name": stage["Name"], "actions": [_action(action) for action in stage["Actions"]]}
            for stage in given["Stages"]
        ]
        more = lower_first(
            {key: given[key] for key in ("ArtifactStore", "ExecutionMode", "PipelineType") if key in given}
        )
        return {"name": name, "roleArn": given["RoleArn"], "stages": stages, **more}

    def remove(self, physical: str, given: Properties) -> None:
        client = self.place.client("codepipeline")
        with contextlib.suppress(client.exceptions.PipelineNotFoundException):
            client.delete_pipeline(name=physical)


def _action(given: Properties) -> dict[str, Any]:
    told: dict[str, Any] = {key[:1].lower() + key[1:]: value for key, value in given.items()}
    told["actionTypeId"] = lower_first(given["ActionTypeId"])
    for part in ("InputArtifacts", "OutputArtifacts"):
        if part in given:
            told[part[:1].lower() + part[1:]] = lower_first(given[part])
    return told
