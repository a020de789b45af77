"""What the linters of `make check` find and we leave as it is, with the reason; lint_templates.py reads it.

An exception that is no longer needed is an error.

CHECKOV     the check, and the type of the resource, or Dockerfile
BANDIT      the rule, and the file, or * for all files
PARLIAMENT  the issue, the policy, and the statement's Sid
"""

from __future__ import annotations

OWN_KEY = "is encrypted with AWS's key; who must hold the key gives encryption.kms_key, and then it is theirs"

# Not asked at all, because the answer is not the same twice.
CHECKOV_SKIPPED = {
    "CKV_AWS_45": "guesses from a text's look that it is a secret; the functions' variables are names and a command",
}
CHECKOV = {
    ("CKV_AWS_18", "AWS::S3::Bucket"): (
        "access logs need one more bucket and may be lost; CloudTrail's data events know the same of all buckets (0063)"
    ),
    ("CKV_AWS_27", "AWS::SQS::Queue"): f"the queue {OWN_KEY} (SqsManagedSseEnabled, which the check does not know)",
    ("CKV_AWS_117", "AWS::Lambda::Function"): (
        "they call AWS's services and nothing in a VPC; in one they would need an endpoint or a gateway for each"
    ),
    (
        "CKV_AWS_136",
        "AWS::ECR::Repository",
    ): f"an image holds public packages and this repository's code, and {OWN_KEY}",
    ("CKV_AWS_158", "AWS::Logs::LogGroup"): (
        "no data are in them, and a key whose policy does not name CloudWatch Logs would stop every deploy (0063)"
    ),
    (
        "CKV_AWS_173",
        "AWS::Lambda::Function",
    ): f"the variables hold names and no secret; Lambda's environment {OWN_KEY}",
    ("CKV_DOCKER_2", "Dockerfile"): "a SageMaker job runs once to its end: nothing asks for its health",
    (
        "CKV_DOCKER_3",
        "Dockerfile",
    ): "SageMaker runs a job's container as root, and mounts /opt/ml so that only root writes",
    ("CKV_DOCKER_7", "Dockerfile"): "the base has a version and a digest; the check does not follow ARG BASE",
}

BANDIT = {
    ("B101", "*"): "asserts state what the code itself makes sure of; what a user gives is checked without them",
    ("B105", "localaws/base/environment.py"): "the local AWS takes any secret key; this one says so",
    ("B105", "localaws/base/clients.py"): "the local AWS takes any secret key; this one says so",
    ("B105", "localaws/stepfunctions/jsonata_scan.py"): "a token of the language, compared with the name $states",
    ("B105", "stepgluon/graph/words.py"): "the word Pass names a kind of state",
    ("B105", "stepgluon/workflow/decisions.py"): "the type of the input's token, which is no secret",
    ("B105", "stepgluon/selfcheck/state_fields.py"): "a rehearsed task's token, which no service ever sees",
    ("B104", "code/serve.py"): "in a container SageMaker asks from outside; locally it is told 127.0.0.1",
    ("B311", "localaws/sagemaker/tuning.py"): "a search for hyperparameters is seeded, so that it can be repeated",
    ("B311", "localaws/stepfunctions/versions.py"): "an alias shares executions out by weight: that keeps no secret",
    ("B314", "code/workbook.py"): "a workbook is of the user's own; entities are refused, and its size is bounded",
    ("B405", "code/workbook.py"): "a workbook is of the user's own; entities are refused, and its size is bounded",
    ("B607", "localaws/codebuild/build.py"): "buildah is the one of the user's PATH",
    ("B607", "stepgluon/local/deployed.py"): "buildah is the one of the user's PATH",
    ("B607", "localaws/sagemaker/bubblewrap.py"): "bwrap is the one of the user's PATH, as buildah is",
    (
        "B403",
        "code/forest.py",
    ): "a model is a pickle; predict.py checks its manifest of sha256 sums before it is loaded",
    (
        "B403",
        "localaws/stepfunctions/parse_cache.py",
    ): "its reader makes objects of moto's interpreter and of nothing else",
    ("B404", "*"): "programs are started with lists of arguments and never through a shell, as B602 and B605 hold",
    ("B406", "stepgluon/graph/svg.py"): "escape writes XML and parses none",
    ("B406", "localaws/cloudformation/web.py"): "escape writes XML and parses none",
    ("B406", "localaws/iam/enforce.py"): "escape writes XML and parses none",
    ("B603", "*"): "the arguments are the house's own, or single arguments that no shell sees",
    ("B607", "stepgluon/deploy/images.py"): "bash is where the system has it",
    ("B607", "stepgluon/deploy/release.py"): "bash is where the system has it",
}

OWN = "everything that can be done to the pipeline's own resources: the actions that need others stay refused"
PARLIAMENT: dict[tuple[str, str, str], str] = {
    **{
        ("RESOURCE_MISMATCH", part, statement): (
            "of DescribeExecution parliament wants an express execution too; ours are standard ones"
        )
        for part, statement in (
            ("boundary", "ReadRuns"),
            ("machine", "ReadLastRun"),
            ("tell", "ReadRuns"),
            ("trigger", "ReadWhoseNameIsTaken"),
        )
    },
    **{
        ("RESOURCE_MISMATCH", part, "FindLastRun"): (
            "of ListExecutions parliament wants a Map Run too; the machine lists its own executions"
        )
        for part in ("boundary", "machine")
    },
    ("RESOURCE_MISMATCH", "boundary", "Endpoints"): (
        "one ARN is for endpoints, configs and models, because a boundary has room for 6,144 characters"
    ),
    **{
        ("RESOURCE_MISMATCH", "build", statement): f"wildcards keep it below IAM's limit (0063): {OWN}"
        for statement in ("ChangeThePipelineStack", "Machine", "SeeAndChangeRolesThroughTheStack")
    },
    **{
        ("RESOURCE_MISMATCH", "deployer", statement): OWN
        for statement in (
            "Alarm",
            "Buckets",
            "Build",
            "Functions",
            "Images",
            "Logs",
            "MachineAndRuns",
            "OwnKey",
            "PipelineOfPushes",
            "Queue",
            "Registry",
            "Rules",
            "SeeAndChangeRolesThroughAStack",
            "Stacks",
            "Topic",
        )
    },
}
