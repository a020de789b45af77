"""What the account allows is read before it is needed; what cannot be built is said with the way out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from aws_account import ACCOUNT, Account, Answer
from local_account import release_of

from stepgluon.aws import one_sentence
from stepgluon.deploy import images
from stepgluon.deploy.account_checks import check_concurrency, check_identity, short_quotas, wanted_instances
from stepgluon.deploy.images import Docker, NotBuilt, digest_in_ecr
from stepgluon.deploy.release import Release
from stepgluon.errors import SurroundingsError
from stepgluon.names import Names

SPOT = "ml.m5.2xlarge for spot training job usage"
PROCESSING = "ml.m5.xlarge for processing job usage"


@pytest.fixture(scope="module")
def release() -> Release:
    text = (Path(__file__).parent.parent.parent / "pipeline-config.yml").read_text(encoding="utf-8")
    return release_of(text.replace("ap-northeast-1", "eu-west-1"))


@pytest.fixture
def names(release: Release) -> Names:
    return release.names


def quotas(account: Account, *found: tuple[str, float]) -> None:
    """One quota a page, as there are thousands."""
    pages = [{"Quotas": [{"QuotaName": name, "Value": value}], "NextToken": name} for name, value in found]
    pages.append({"Quotas": []})
    account.answers["ListServiceQuotas"] = lambda: pages.pop(0)


def test_a_run_of_three_models_wants_three_instances_at_once(names: Names) -> None:
    assert wanted_instances(names.config) == {SPOT: 3, PROCESSING: 3}


def test_a_quota_that_is_short_is_said_and_one_of_nothing_said_louder(account: Account, names: Names) -> None:
    quotas(account, (SPOT, 0), ("ml.p5.48xlarge for endpoint usage", 0), (PROCESSING, 2))
    assert short_quotas(names.config, account) == (
        f"the account may have 0 of {SPOT} at once, and a run would use 3: no such job can run (ask for more in "
        "Service Quotas, Amazon SageMaker)",
        f"the account may have 2 of {PROCESSING} at once, and a run would use 3: its jobs wait for each other (ask for "
        "more in Service Quotas, Amazon SageMaker)",
    )
    quotas(account, (SPOT, 3), (PROCESSING, 3))
    assert short_quotas(names.config, account) == ()


def test_quotas_that_cannot_be_read_stop_nothing(account: Account, names: Names) -> None:
    account.answers["ListServiceQuotas"] = Answer("AccessDeniedException", "no")
    account.answers["GetAccountSettings"] = Answer("AccessDeniedException", "no", 403)
    assert short_quotas(names.config, account) == ()
    check_concurrency(names, account, 5)


def test_an_account_too_small_for_the_trigger_is_told_before_a_stack_fails_for_it(
    account: Account, names: Names
) -> None:
    account.answers["GetAccountSettings"] = {"AccountLimit": {"UnreservedConcurrentExecutions": 10}}
    account.answers["GetFunctionConcurrency"] = Answer("ResourceNotFoundException", "Function not found", 404)
    with pytest.raises(SurroundingsError) as caught:
        check_concurrency(names, account, 5)
    assert str(caught.value) == (
        "the account has 10 unreserved concurrent executions of functions, and the pipeline's 5 must leave 10 (set "
        "`trigger: {reserved_concurrency: 0}` in the config, or ask for more 'Concurrent executions' of AWS Lambda in "
        "Service Quotas)"
    )
    check_concurrency(names, account, 0)
    account.answers["GetFunctionConcurrency"] = {}  # the function exists, and has none
    with pytest.raises(SurroundingsError):
        check_concurrency(names, account, 5)
    account.answers["GetFunctionConcurrency"] = {"ReservedConcurrentExecutions": 3}  # each of the two
    check_concurrency(names, account, 6)  # it has them already
    account.answers["GetAccountSettings"] = {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}
    account.answers["GetFunctionConcurrency"] = Answer("ResourceNotFoundException", "Function not found", 404)
    check_concurrency(names, account, 5)


def test_credentials_of_another_partition_are_told(account: Account, names: Names) -> None:
    account.answers["GetCallerIdentity"] = {"Account": ACCOUNT, "Arn": f"arn:aws-cn:iam::{ACCOUNT}:user/x"}
    with pytest.raises(SurroundingsError) as caught:
        check_identity(names, account)
    assert str(caught.value) == (
        "these credentials are of the partition aws-cn, and the config's region eu-west-1 is of aws (set AWS_PROFILE "
        "to one of that partition, or correct `region` in the config)"
    )


@pytest.mark.parametrize("code", ["ImageNotFoundException", "RepositoryNotFoundException"])
def test_an_image_is_missing_with_its_repository_too(account: Account, release: Release, code: str) -> None:
    account.answers["DescribeImages"] = Answer(code, "It does not exist.")
    assert digest_in_ecr(account, release.images[0]) == ""


def test_an_image_that_may_not_be_looked_at_is_not_taken_for_missing(account: Account, release: Release) -> None:
    account.answers["DescribeImages"] = Answer("AccessDeniedException", "You may not.")
    with pytest.raises(SurroundingsError), one_sentence():
        digest_in_ecr(account, release.images[0])


def script(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    file = folder / "build.sh"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(images, "SCRIPT", file)


def test_the_builder_tells_what_the_script_says_and_gives_the_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: Release
) -> None:
    image, said, digest = release.images[0], [], "sha256:" + "a" * 64
    script(monkeypatch, tmp_path, f'echo "$*" >&2; echo "$2:{image.tag} {digest}"')
    assert Docker(release.names, said.append).push(image) == digest
    assert said == [f"  --push {ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/penguins-data"]


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (
            "echo 'docker/build.sh: docker (with its daemon running), podman or buildah is needed; none is here' >&2; "
            "exit 1",
            SurroundingsError,
            "the image data is not in ECR yet and cannot be built here: docker (with its daemon running), podman or "
            "buildah is needed; none is here (install it, or let CodeBuild build: give the config a `cicd`, and "
            "`python pipeline.py deploy --only base cicd`)",
        ),
        (
            f"echo '{'long ' * 40}' >&2; exit 125",
            NotBuilt,
            "the image data could not be built and pushed: its last words are above (`docker/build.sh data` builds it "
            "alone; then run the command again)",
        ),
        (
            "echo 'Step 3' >&2; echo 'no space left on device' >&2; echo >&2; exit 125",
            NotBuilt,
            "the image data could not be built and pushed: no space left on device (`docker/build.sh data` builds it "
            "alone; then run the command again)",
        ),
        (
            "echo x:0123 sha256:1",
            NotBuilt,
            "docker/build.sh has pushed x:0123 sha256:1 and not {tag}: a file was changed meanwhile, or BASE or "
            "PLATFORM is set (run the command again)",
        ),
    ],
)
def test_an_image_that_cannot_be_built_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: Release, text: str, kind: type[Exception], sentence: str
) -> None:
    script(monkeypatch, tmp_path, text)
    with pytest.raises(kind) as caught:
        Docker(release.names, lambda line: None).push(release.images[0])
    assert str(caught.value) == sentence.format(tag=release.images[0].tag)


def test_the_aws_command_line_of_the_lock_is_found_by_the_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: Release
) -> None:
    script(monkeypatch, tmp_path, 'echo "${PATH##*:}" >&2; exit 1')
    said: list[str] = []
    with pytest.raises(NotBuilt):
        Docker(release.names, said.append).push(release.images[0])
    assert said == [f"  {Path(sys.executable).parent}"]
