"""The texts in a picture: the kind of a state, the condition of a Choice, and the names of models."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stepgluon.graph.text import CAPTION_SIZE, clean, shorten, width

LIST_WIDTH = 400.0  # of the names of a stack's branches
_SERVICES = {"sagemaker": "SageMaker", "dynamodb": "DynamoDB", "lambda": "Lambda", "states": "Step Functions"}
_PLAIN = {
    "SageMaker: CreateProcessingJob": "processing job",
    "SageMaker: CreateTrainingJob": "training job",
    "SageMaker: CreateHyperParameterTuningJob": "training jobs with several hyperparameters",
    "SageMaker: ListTrainingJobsForHyperParameterTuningJob": "",
    "SageMaker: CreateModelPackage": "model registry",
    "SageMaker: CreateTransformJob": "transform job",
    "SageMaker: CreateModel": "",
    "SageMaker: DeleteModel": "",
    "SageMaker: CreateEndpoint": "endpoint",
    "SageMaker: UpdateEndpoint": "blue/green update",
    **dict.fromkeys([f"SageMaker: {do}Endpoint" for do in ("Describe", "Delete")], ""),
    **dict.fromkeys(["SageMaker: CreateEndpointConfig", "SageMaker: DescribeModelPackage", "Wait"], ""),
    **dict.fromkeys(
        [f"APPLICATIONAUTOSCALING: {do}ScalableTarget" for do in ("Register", "Deregister")], "autoscaling"
    ),
    "APPLICATIONAUTOSCALING: PutScalingPolicy": "autoscaling",
    "CODEBUILD: StartBuild": "image build",
    "ECR: DescribeImages": "",
    "SNS: Publish": "mail",
    "S3: GetObject": "",
    "Choice": "",
    "Pass": "",
    "Succeed": "the run succeeded",
    "Fail": "the run failed",
}
# A JSONata condition in plain words, as far as a few rules can express it.
_CONDITION = (
    (r"^\{%\s*|\s*%\}$", ""),
    (r"^\$type\([^()]*\) = '\w+' \? (.*) : false$", r"\1"),  # a check that only guards the following comparison
    (r"\(\$exists\(([^()]*)\) \? \1 : .*\)", r"\1"),  # a value with a fallback: the value alone
    (r" \? true : \$error\(.*$", ""),
    (r"\$count\(\$filter\(\$(\w+), function\(\$\w+\) ?\{(.*?)\}\)\) = 0", r"no \1 with \2"),
    (r"\$count\(\$filter\(\$(\w+), function\(\$\w+\) ?\{(.*?)\}\)\) > 0", r"any \1 with \2"),
    (r"\$not\(\$contains\(([^(),]*), ('[^']*')\)\)", r"\1 lacks \2"),
    (r"\$exists\(([^()]*)\)", r"\1 exists"),
    (r"\$(?:\w+(?:\[[^\]]*\])?\.)*(\w+)", r"\1"),  # $models[0].threshold
)


def caption(state: Mapping[str, Any], branches: int) -> str:
    """The kind of a state in the console's words: `SageMaker: CreateTrainingJob`."""
    kind = str(state.get("Type", "?"))
    if kind == "Parallel":
        return f"Parallel: {branches} branch{'' if branches == 1 else 'es'}"
    if kind == "Map":
        children = f"a child execution for each item, {state.get('MaxConcurrency')} at once"
        return f"Map: {children if 'ItemReader' in state else 'for each item'}"
    if kind != "Task":
        return kind
    parts = str(state.get("Resource", "")).split(":")
    if len(parts) < 7 or parts[2] != "states" or "activity" in parts:
        return {"lambda": "Lambda function", "states": "Activity"}.get(parts[2] if len(parts) > 2 else "", "Task")
    service, action = parts[-2], parts[-1].split(".")[0]
    return f"{_SERVICES.get(service, service.upper())}: {action[:1].upper()}{action[1:]}"


def plain(caption: str) -> str:
    """The caption for a reader who does not know AWS: `training job`."""
    return _PLAIN.get(caption, caption.removeprefix("Parallel: ").removeprefix("Map: "))


def condition(rule: Mapping[str, Any]) -> str:
    """`mae <= threshold` for `{% $found.mae <= $models[0].threshold %}`; empty for a rule in JSONPath."""
    text = str(rule.get("Condition", ""))
    for pattern, plainer in _CONDITION:
        text = re.sub(pattern, plainer, text, flags=re.DOTALL)
    return text


def item_of(branch: Mapping[str, Any]) -> str:
    """The model of a branch: the last word that the names of all its states have in common."""
    names = [str(name).removesuffix("?").split() for name in branch.get("States", {})]
    common = [word for word in names[0] if all(word in name for name in names)] if names else []
    return common[-1] if common else " ".join(names[0] if names else ())


def without(item: str, name: str) -> str:
    """`Read score of adelie` as `Read score`."""
    rest = re.sub(rf"(?:(?<=\s)(?:of|for|from|by)\s+)?(?<!\S){re.escape(item)}(?=\?|\s|$)", "", name) if item else name
    rest = re.sub(r"\s+(?=\?|\s|$)", "", rest).strip()
    return rest[:1].upper() + rest[1:] if rest.strip("?") else name


def counted(items: Sequence[str], lists: Mapping[str, Collection[str]]) -> tuple[str, str]:
    """`40 models` and `adelie, chinstrap, … 38 more`; the noun is the variable that lists them."""
    noun = next((name for name, known in lists.items() if known and set(items) <= set(known)), "branches")
    if len(items) == 1:
        noun = {"branches": "branch"}.get(noun, noun.removesuffix("s"))
    shown = len(items)
    while width(names := _some(items, shown), CAPTION_SIZE) > LIST_WIDTH and shown > 1:
        shown -= 1
    return f"{len(items)} {noun}", shorten(names, CAPTION_SIZE, LIST_WIDTH)


def _some(items: Sequence[str], shown: int) -> str:
    more = [f"… {len(items) - shown} more"] * (shown < len(items))
    return clean(", ".join([*items[:shown], *more]))
