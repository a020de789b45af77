"""What goes wrong between here and AWS is one sentence with a way out, and ends with 3."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_account import REGION, Account, Answer

from localaws.server.aws import LocalAws, Settings
from stepgluon.aws import Aws, Refused, one_sentence
from stepgluon.errors import StepgluonError, SurroundingsError

WHO = "User: arn:aws:sts::123456789012:assumed-role/dev/jo is not authorized to perform: "
PERSON = "arn:aws:sts::123456789012:assumed-role/dev/jo"
BUSY = "run the command again in some minutes"

REFUSALS = {
    "expired": (
        Answer("ExpiredToken", "The security token included in the request is expired", 403),
        "the AWS credentials have expired (get new ones, with SSO by `aws sso login`, and run the command again)",
    ),
    "unknown": (
        Answer("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
        "AWS does not know these credentials in this region: The security token included in the request is invalid "
        "(look with `aws sts get-caller-identity`; a region that is off by default is enabled in the account's "
        "settings)",
    ),
    "clock": (
        Answer("SignatureDoesNotMatch", "Signature expired: 20261121T000000Z is now earlier than ...", 403),
        "AWS refuses what this computer signs: its clock is wrong (set the time)",
    ),
    "denied": (
        Answer(
            "AccessDenied",
            f"{WHO}sts:GetCallerIdentity on resource: arn:aws:s3:::b because no identity-based policy allows the "
            "sts:GetCallerIdentity action",
            403,
        ),
        f"{PERSON} may not sts:GetCallerIdentity on arn:aws:s3:::b (ask for the permissions in policy/deployer.json)",
    ),
    "denied everything": (
        Answer("AccessDeniedException", f"{WHO}ecr:GetAuthorizationToken on resource: * because no policy", 400),
        f"{PERSON} may not ecr:GetAuthorizationToken (ask for the permissions in policy/deployer.json)",
    ),
    "denied by the organization": (
        Answer("AccessDenied", f"{WHO}iam:CreateRole with an explicit deny in a service control policy", 403),
        f"{PERSON} may not iam:CreateRole: there is an explicit deny in a service control policy (ask those who look "
        "after the account)",
    ),
    "denied by a boundary": (
        Answer("AccessDenied", f"{WHO}iam:CreateRole because no permissions boundary allows the action", 403),
        f"{PERSON} may not iam:CreateRole: the permissions boundary does not allow it (ask those who look after the "
        "account)",
    ),
    "denied without a word": (
        Answer("AccessDenied", "Access Denied", 403),
        "the user of these credentials may not GetCallerIdentity (ask for the permissions in policy/deployer.json)",
    ),
    "throttled": (
        Answer("Throttling", "Rate exceeded", 400),
        f"AWS is too busy for GetCallerIdentity, also after several attempts: Rate exceeded ({BUSY})",
    ),
    "not enabled": (
        Answer("OptInRequired", "You are not subscribed to this service.", 403),
        "GetCallerIdentity cannot be used in this account and region: You are not subscribed to this service (enable "
        "it in the account's settings, or choose another region)",
    ),
    "AWS's own fault": (
        Answer("InternalFailure", "We encountered an internal error.", 500),
        f"AWS itself failed at GetCallerIdentity: We encountered an internal error ({BUSY})",
    ),
    "a fault without a code that is known": (
        Answer("Odd", "Odd.", 502),
        f"AWS itself failed at GetCallerIdentity: Odd ({BUSY})",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_aws_refuses_is_one_sentence_with_a_way_out(account: Account, case: str) -> None:
    answer, sentence = REFUSALS[case]
    account.answers["GetCallerIdentity"] = answer
    with pytest.raises(SurroundingsError) as caught, one_sentence():
        account.client("sts").get_caller_identity()
    assert str(caught.value) == sentence
    assert caught.value.exit_code == 3


def test_any_other_refusal_is_a_failure_in_awss_own_words(account: Account) -> None:
    account.answers["GetCallerIdentity"] = Answer("ValidationError", "1 validation error\n detected.")
    with pytest.raises(Refused) as caught, one_sentence():
        account.client("sts").get_caller_identity()
    assert str(caught.value) == "AWS refuses GetCallerIdentity: 1 validation error detected [ValidationError]"
    assert caught.value.exit_code == 1


def test_what_is_throttled_is_tried_again_before_anything_is_said(account: Account) -> None:
    answers = [Answer("Throttling", "Rate exceeded"), Answer("Throttling", "Rate exceeded")]
    good = account.answers["GetCallerIdentity"]
    account.answers["GetCallerIdentity"] = lambda: answers.pop() if answers else good
    assert account.client("sts").get_caller_identity()["Account"] == good["Account"]
    assert len(account.calls) == 3


def test_our_own_errors_and_bugs_pass_as_they_are() -> None:
    for error in (StepgluonError("x"), KeyError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, one_sentence():
            raise error
        assert caught.value is error


def call(region: str = REGION) -> str:
    with pytest.raises(SurroundingsError) as caught, one_sentence():
        Aws(region).client("sts").get_caller_identity()
    return str(caught.value)


def test_without_credentials_the_way_to_some_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert call() == ("no AWS credentials were found (run `aws configure sso`, or set AWS_PROFILE if you have several)")


def test_half_of_the_credentials_are_told_apart_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert call() == "the AWS credentials from env lack AWS_SECRET_ACCESS_KEY (add it)"


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "prod")
    assert call() == (
        "the AWS profile prod does not exist (list yours with `aws configure list-profiles`, and set AWS_PROFILE)"
    )


def test_a_session_of_sso_that_has_ended_names_the_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = (
        "[profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = dev\n"
        "[sso-session s]\nsso_start_url = https://example.com/start\nsso_region = eu-west-1\n"
    )
    (tmp_path / "config").write_text(settings, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "sso")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert call() == "the AWS session has expired or was never started (run `aws sso login`, then this command again)"


def test_settings_that_are_no_settings_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile\nx", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert call() == (
        f"the settings of AWS's tools cannot be used: Unable to parse config file: {tmp_path}/config (look at "
        "~/.aws/config)"
    )


def test_an_endpoint_that_nobody_listens_at_is_named(monkeypatch: pytest.MonkeyPatch, account: Account) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert call() == "127.0.0.1:1 cannot be reached (look at the network, the region's name and AWS_ENDPOINT_URL)"


def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, account: Account
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://jo:secret@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert call() == "the proxy 127.0.0.1:1 does not answer (look at HTTPS_PROXY and NO_PROXY)"


def test_a_region_that_is_no_host_name_is_said() -> None:
    assert call("eu west") == (
        "botocore rejects the region: Provided region_name 'eu west' doesn't match a supported format (look at the "
        "config's region)"
    )


def test_the_same_door_leads_to_the_local_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with LocalAws(Settings(tmp_path, "123456789012", "ap-northeast-1")) as local:
        monkeypatch.setenv("AWS_ENDPOINT_URL", local.endpoint)
        assert Aws("ap-northeast-1").client("sts").get_caller_identity()["Account"] == "123456789012"


def test_a_client_is_made_once(account: Account) -> None:
    door = Aws(REGION)
    assert door.client("sts") is door.client("sts")
