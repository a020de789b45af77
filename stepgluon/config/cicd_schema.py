"""The keys that say where the repository is and what builds a push. They concern neither jobs nor the state machine."""

from __future__ import annotations

from stepgluon import limits
from stepgluon.config.kinds import Choice, Text
from stepgluon.config.sections import Section, entry

CONNECTION = Text(
    r"^arn:aws[a-z-]*:(codeconnections|codestar-connections):[a-z0-9-]+:[0-9]{12}:connection/[0-9a-f-]{36}$",
    "the ARN of a connection, like arn:aws:codeconnections:REGION:ACCOUNT:connection/ID",
)
REPOSITORY = Text(r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$", "owner/name, like my-team/penguins", limits.REPOSITORY)
CODECOMMIT = Text(r"^[A-Za-z0-9_.-]+$", "letters, digits, _ . and -, like penguins", limits.CODECOMMIT)
BRANCH = Text(r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$", "letters, digits and _ . / -, like main", limits.BRANCH)
BUCKET = Text(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", "the name of a bucket, like my-team-sources")
ZIP = Text(
    r"^[A-Za-z0-9][A-Za-z0-9_./-]*\.zip$",
    "letters, digits and _ . / - with .zip at the end, like penguins/source.zip",
    limits.OBJECT_KEY,
)
_BRANCH = "pushes to this branch are built"


class Connection(Section):
    """GitHub, GitLab or Bitbucket, by a connection that a person has made and confirmed in the console."""

    arn: str = entry("ARN of the connection, confirmed in the console", CONNECTION)
    repository: str = entry("owner/name of the repository", REPOSITORY)
    branch: str = entry(_BRANCH, BRANCH, "main")


class CodeCommit(Section):
    name: str = entry("the repository's name, in the pipeline's account and region", CODECOMMIT)
    branch: str = entry(_BRANCH, BRANCH, "main")


class Zip(Section):
    bucket: str = entry("a bucket in the same region, with versioning and EventBridge notifications on", BUCKET)
    key: str = entry("key of the repository's zip; each new version is built", ZIP)


class CicdSource(Section):
    """One of three."""

    connection: Connection | None = entry("GitHub, GitLab or Bitbucket, through CodeConnections", Connection, None)
    codecommit: CodeCommit | None = entry("a repository of CodeCommit", CodeCommit, None)
    s3: Zip | None = entry("a zip in a bucket", Zip, None)


class Cicd(Section):
    """How a push gets into the account. It concerns neither jobs nor the state machine."""

    source: CicdSource = entry("where the repository is: one of these three", CicdSource)
    build: str = entry(
        "CodeBuild's compute type, general1.small to general1.xlarge",
        Choice("small", "medium", "large", "xlarge"),
        "medium",
    )
