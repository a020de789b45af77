"""plan, deploy and destroy as a user calls them: words in; stdout, stderr and the exit code out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_account import CONFIG, Door, Registry

from localaws.server.aws import LocalAws
from pipeline import workflow
from stepgluon.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command against the local AWS, with images that need no Docker."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline-config.yml").write_bytes(CONFIG.read_bytes())
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("stepgluon.deploy.images.Docker", lambda names, tell: Registry(Door(aws)))

    def run(*words: str, typed: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", Keyboard(typed) if typed is not None else io.StringIO())
        code = main(workflow, words, {})
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


DEPLOYED = """houses is deployed in account 123456789012, eu-central-1; {}.
To start a run, upload tables to a folder, and then a file that ends in .run:
  aws s3 cp my.csv s3://houses-raw-123456789012-eu-central-1/june/
  echo | aws s3 cp - s3://houses-raw-123456789012-eu-central-1/june/go.run
"""


def test_plan_deploy_plan_deploy_destroy(run: Run) -> None:
    code, out, err = run("plan")
    assert (code, err) == (0, "") and out.startswith("houses in account 123456789012, eu-central-1:\n")
    code, out, err = run("deploy")
    assert (code, out) == (0, DEPLOYED.format("changed: houses-base, houses-pipeline"))
    assert err.startswith("creating houses-base\n  created WorkBucket\n")
    nothing = "houses in account 123456789012, eu-central-1: nothing to do.\n"
    cost = "The cost of a run of houses is unknown: no price for ml.m5.xlarge in eu-central-1 (`"
    code, out, err = run("plan")
    assert (code, err) == (0, "") and out.startswith(nothing + cost)
    planned = json.loads(run("plan", "--json")[1])
    assert (planned["nothing"], planned["endpoints"]) == (True, [])
    assert run("deploy", "--only", "pipeline")[:2] == (0, DEPLOYED.format("nothing had to be changed"))
    told: dict[str, Any] = json.loads(run("deploy", "--json")[1])
    assert told["changed"] == [] and told["unconfirmed"] == []

    code, out, err = run("destroy", typed="house\n")
    assert (code, out) == (1, "")
    assert err == (
        "This deletes, in account 123456789012, eu-central-1:\n  the stack houses-base\n  the stack houses-pipeline\n"
        "Type houses to continue:\nerror: not done, as the name was not typed (run it again, or add --yes)\n"
    )
    assert run("destroy") == (
        2,
        "",
        "error: stdin is not a terminal, so pass --yes. This deletes, in account 123456789012, eu-central-1: "
        "the stack houses-base; the stack houses-pipeline\n",
    )
    assert "; s3://houses-raw-123456789012-eu-central-1 with ALL DATA in it; " in run("destroy", "--delete-data")[2]
    assert run("plan")[1].startswith(nothing), "so far nothing is deleted"
    code, out, err = run("destroy", typed="houses\n")
    assert (code, out) == (
        0,
        "Deleted: houses-pipeline, houses-base.\nKept: s3://houses-work-123456789012-eu-central-1, "
        "s3://houses-raw-123456789012-eu-central-1, houses-data, houses-autogluon (`python pipeline.py destroy "
        "--delete-data` deletes them too).\n",
    )
    code, out, err = run("destroy", "--yes", "--delete-data", "--json")
    assert json.loads(out)["deleted"][2:] == ["houses-data", "houses-autogluon"]
    assert run("destroy")[1] == "Deleted: nothing, nothing was there.\n", "and nobody has to be asked"


@pytest.mark.parametrize("command", ["plan", "deploy", "destroy"])
def test_a_bad_config_ends_with_2_before_the_account_hears_of_it(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # who asks there gets no answer
    Path("pipeline-config.yml").write_text(CONFIG.read_text().replace("fallback", "falback"), encoding="utf-8")
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert "did you mean fallback?" in err


@pytest.mark.parametrize("command", [("plan",), ("deploy",), ("destroy", "--yes"), ("destroy",)])
def test_no_network_ends_with_3_and_one_sentence(
    run: Run, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *any: 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert run(*command) == (
        3,
        "",
        "error: 127.0.0.1:1 cannot be reached (look at the network, the region's name and AWS_ENDPOINT_URL)\n",
    )


@pytest.mark.parametrize("address", ["notaurl", "localhost:5000", "http://", "http://[", "http://a:b"])
def test_an_endpoint_that_is_no_address_ends_with_3_and_one_sentence(
    run: Run, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    for command in (("plan",), ("deploy",), ("destroy", "--yes"), ("status",), ("start", "--folder", "june")):
        code, out, err = run(*command)
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert err.endswith("(expected in AWS_ENDPOINT_URL: like http://127.0.0.1:5000)\n")


def test_another_account_than_the_configs_ends_with_3(run: Run) -> None:
    Path("pipeline-config.yml").write_text(CONFIG.read_text().replace("123456789012", "999999999999"), "utf-8")
    code, out, err = run("deploy")
    assert (code, out) == (3, "")
    assert err.startswith("error: these credentials are of the account 123456789012, and the config's is 999999999999 ")


def test_an_unknown_part_is_a_wrong_call(run: Run) -> None:
    code, _, err = run("deploy", "--only", "bse")
    assert code == 2 and "'bse'" in err


def test_cicd_alone_is_for_a_config_that_has_it(run: Run) -> None:
    for command in ("plan", "deploy"):
        assert run(command, "--only", "cicd") == (
            2,
            "",
            "error: --only cicd: the config has no cicd (add it, or leave --only out)\n",
        )
    assert run("destroy", "--only", "cicd")[:2] == (0, "Deleted: nothing, nothing was there.\n")


def with_key(key: str) -> None:
    Path("pipeline-config.yml").write_text(f"{CONFIG.read_text()}encryption: {{kms_key: '{key}'}}\n", "utf-8")


def test_a_key_that_is_not_there_or_is_switched_off_is_named_before_anything_is_made(run: Run, aws: LocalAws) -> None:
    key = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    with_key(key)
    for command in ("plan", "deploy"):
        assert run(command) == (
            3,
            "",
            f"error: there is no key {key} (correct encryption.kms_key in the config)\n",
        )
    made = aws.client("kms").create_key()["KeyMetadata"]
    aws.client("kms").disable_key(KeyId=made["KeyId"])
    with_key(made["Arn"])
    assert run("deploy")[2].startswith(f"error: the key {made['Arn']} is Disabled, and must be Enabled (")


def test_a_key_is_given_before_the_first_deploy_or_not_at_all(run: Run, aws: LocalAws) -> None:
    assert run("deploy")[0] == 0
    with_key(aws.client("kms").create_key()["KeyMetadata"]["Arn"])
    for command in ("plan", "deploy"):
        assert run(command) == (
            1,
            "",
            "error: the repositories houses-autogluon, houses-data keep the encryption that they were made with, and "
            "nothing was changed (leave encryption.kms_key as it was, or begin anew: `python pipeline.py destroy "
            "--delete-data` deletes all data, then deploy)\n",
        )
    Path("pipeline-config.yml").write_bytes(CONFIG.read_bytes())
    assert ": nothing to do.\n" in run("plan")[1]
    with_key(aws.client("kms").create_key()["KeyMetadata"]["Arn"])
    assert run("destroy", "--yes", "--delete-data")[0] == 0
    assert run("deploy")[0] == 0
    assert run("destroy", "--yes", "--delete-data")[0] == 0
