"""start, watch, show, redrive and promote in an account that a local AWS stands for; test_versions.py has the rest."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import nullcontext
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from account import Account, Picky, deployed_for, until
from botocore.exceptions import ClientError
from local_aws import stop_jobs
from test_run import CONFIG

from stepgluon import Run
from stepgluon.cost import prices
from stepgluon.local import data_check
from stepgluon.local.deployed import Deployed, end_executions
from stepgluon.runs import status, watch
from stepgluon.runs.executions import last_words, read_usage
from stepgluon.runs.fetch import download
from stepgluon.runs.job_log import LAST_LINES


@pytest.fixture(scope="module")
def all_faults() -> Picky:
    return Picky()


@pytest.fixture
def faults(all_faults: Picky) -> Picky:
    return all_faults


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, all_faults: Picky) -> Iterator[Deployed]:
    with deployed_for(tmp_path_factory.mktemp("account"), all_faults) as place:
        yield place


@pytest.fixture
def account(
    tmp_path: Path,
    place: Deployed,
    all_faults: Picky,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Account]:
    """The account of all these tests, in which nothing runs and no model is known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "SOON", 0.05)
    yield Account(place, tmp_path, capsys)
    all_faults.clear()
    all_faults.unwanted = ""
    end_executions(place)
    stop_jobs(place.aws)
    for folder in ("markers/", "promoted"):
        for entry in place.aws.objects.below(place.names.work_bucket, folder):
            place.aws.client("s3").delete_object(Bucket=place.names.work_bucket, Key=entry.key)


# start and watch


def test_a_run_whose_short_name_is_taken_gets_a_longer_one(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    run, others = account.starts(), secrets.token_hex
    short = run.rpartition("-")[2][:3]
    monkeypatch.setattr(secrets, "token_hex", lambda count: f"{short}{'f' * 17}" if count == 10 else others(count))
    assert re.fullmatch(rf"penguins-\d{{6}}-{short}fffff", account.starts())


def test_tables_of_this_computer_are_uploaded_and_a_run_started(account: Account) -> None:
    code, out, err = account.calls("start", "--data", "orders.json", "--note", "by hand", "--threshold", "400")
    assert code == 0, err
    (run,) = re.findall(r"^Run (\S+) has started\.$", out, re.MULTILINE)
    assert f"python pipeline.py watch {run}\n" in out
    code, out, err = account.calls("watch", run)
    assert code == 0, err
    assert f"Run {run} finished" in out
    assert re.search(r"adelie +200 g +400 +accepted", out)
    assert f"python pipeline.py promote {run}\n" in out
    assert "Train adelie" in err
    assert account.told("show", run)["note"] == "by hand"


def test_the_same_tables_are_uploaded_once(account: Account) -> None:
    first = account.told("start", "--data", "orders.json")
    key = first["data"].removeprefix(f"s3://{account.names.raw_bucket}/") + "orders.json"
    before = account.s3.head_object(Bucket=account.names.raw_bucket, Key=key)["LastModified"]
    assert account.told("start", "--data", "orders.json")["data"] == first["data"]
    assert account.s3.head_object(Bucket=account.names.raw_bucket, Key=key)["LastModified"] == before


def test_bad_tables_are_named_before_they_are_uploaded(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"problems": ["a.csv is empty.", "b.csv is empty."]}
    monkeypatch.setattr(data_check, "started", lambda names, files: nullcontext(lambda: found))
    (account.folder / "new.json").write_text("{}")
    assert account.calls("start", "--data", "new.json") == (
        1,
        "",
        "error: the data:\n  a.csv is empty.\n  b.csv is empty.\n",
    )
    assert not any("new" in entry.key for entry in account.place.aws.objects.below(account.names.raw_bucket, ""))


def test_the_last_files_of_a_folder_are_downloaded_up_to_a_number_of_bytes(account: Account, tmp_path: Path) -> None:
    bucket = account.names.work_bucket
    for hour in range(5):
        account.s3.put_object(Bucket=bucket, Key=f"captured/x/{hour}/a.jsonl", Body=b"12345")
    got = [download(account.s3, f"s3://{bucket}/captured/x/", tmp_path / f"{most}", most) for most in (10, 11, 1, 99)]
    assert [[file.parent.name for file in files] for files in got] == [["3", "4"], ["2", "3", "4"], ["4"], [*"01234"]]


def test_nothing_is_uploaded_before_there_is_a_pipeline(account: Account) -> None:
    config = account.folder / "others.yml"
    config.write_text(CONFIG.replace("name: penguins", "name: others", 1))
    bucket = f"others-raw-{account.names.config.account}-{account.names.config.region}"
    account.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    code, out, err = account.calls("start", "--data", "orders.json", "--config", "others.yml")
    assert (code, out) == (1, "")
    assert "has no pipeline others" in err
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_the_first_mail_says_what_the_run_may_cost(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = {kind: {"ml.m5.xlarge": 0.2, "ml.m5.2xlarge": 0.4} for kind in prices.KINDS}
    file = account.folder / "prices.json"
    file.write_text(json.dumps({account.names.config.region: {"published": "2026-09-21", **hours}}))
    monkeypatch.setattr(prices, "FILE", file)
    assert account.ended(account.starts()) == "SUCCEEDED"
    run = account.starts("--data", "orders.json", "--note", "again")
    assert account.ended(run) == "SUCCEEDED"
    mails = (message_from_bytes(one.read_bytes(), policy=default) for one in account.place.outbox.glob("*.eml"))
    texts = [body.get_content() for mail in mails if (body := mail.get_body(("plain",)))]
    text = next(text for text in texts if text.startswith(f"Run {run} of the pipeline penguins has started."))
    cost = "Cost:   about .+ USD on AWS, by earlier runs and the prices of 2026-09-21"
    assert re.search(rf"\nModels: adelie, gentoo\n{cost}\nNote:   again\n\n", text), text


@pytest.mark.parametrize("words", [("--folder", "june"), ("--data", "s3://penguins-raw-123456789012-eu-west-1/june")])
def test_a_folder_of_the_raw_bucket_is_used_as_it_is(account: Account, words: tuple[str, str]) -> None:
    account.s3.put_object(Bucket=account.names.raw_bucket, Key="june/orders.json", Body=b"{}")
    told = account.told("start", *words)
    assert told["data"] == f"s3://{account.names.raw_bucket}/june/"
    assert account.ended(told["run"]) == "SUCCEEDED"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--folder", "july"), "july/ is empty"),
        (("--data", "s3://elsewhere/june/"), "the jobs may read only s3://penguins-raw-"),
        (("--data", "s3://a/b", "s3://a/c"), "--data takes one s3:// folder"),
        (("--data", "no.csv"), "there is no such file"),
    ],
)
def test_data_that_cannot_be_used_start_nothing(account: Account, words: tuple[str, ...], said: str) -> None:
    before = account.told("runs", "--aws")
    code, out, err = account.calls("start", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert account.told("runs", "--aws") == before


def test_watching_a_run_that_fails_ends_with_its_reason_and_1(account: Account, faults: Picky) -> None:
    account.orders(train_adelie="exit 1", train_gentoo="exit 1")
    run = account.starts()
    code, out, _ = account.calls("watch", "latest", "--aws")
    assert code == 1
    assert f"python pipeline.py redrive {run}" in out
    assert "repeats only what did not finish: trained models and predictions are reused" in out


def test_the_last_words_are_those_of_all_instances_of_the_job_that_failed_last(account: Account) -> None:
    aws = account.place.aws
    first, second = (aws.logs.stream("processing", "penguins-prepare-1", number) for number in (0, 1))
    for number in range(LAST_LINES):
        for stream, name in ((second, "second"), (first, "first")):
            stream(f"{name} {number}")
            time.sleep(0.002)  # a log's time has milliseconds
    jobs = [{"status": "Failed", "kind": "processing", "name": "penguins-prepare-1"}]
    said = last_words(aws, {"jobs": jobs})
    assert [line.partition(": ")[2] for line in said[-3:]] == [
        f"first {LAST_LINES - 2}",
        f"second {LAST_LINES - 1}",
        f"first {LAST_LINES - 1}",
    ]
    assert {line.partition(": ")[0] for line in said} == {"algo-1", "algo-2"}
    assert len(said) == LAST_LINES


def test_what_the_jobs_of_a_run_used_is_in_the_ends_of_their_logs(account: Account) -> None:
    used = "12:00:00 used: 1.3 of 15.4 GB memory, 8.1 s of processor time in 23 s on 4 cores, 0.2 GB of disk"
    jobs = [
        {"status": status, "kind": "training", "name": f"penguins-train-{number}", "cached": cached}
        for number, (status, cached) in enumerate([("Completed", False), ("Completed", True), ("Failed", False)])
    ]
    for job in jobs:
        account.place.aws.logs.stream("training", str(job["name"]), 0)(used)
    silent = {"status": "Completed", "kind": "transform", "name": "penguins-test", "cached": False}
    read_usage(account.place.aws, {"jobs": [*jobs, silent]})
    assert [job.get("used", {}).get("memory") for job in (*jobs, silent)] == [1.3, None, None, None]


def test_ctrl_c_leaves_the_run_alone(account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    account.orders(prepare=f"wait for {tmp_path / 'go'}, then end")
    run = account.starts()
    monkeypatch.setattr("stepgluon.cli.runs.time", SimpleNamespace(sleep=interrupt))  # the others may sleep
    code, out, err = account.calls("watch", run)
    (tmp_path / "go").touch()
    assert (code, out) == (130, "")
    assert f"The run continues. Follow it: python pipeline.py watch {run}" in err
    assert account.ended(run) == "SUCCEEDED"


# redrive and promote


def test_a_note_is_what_the_triggers_file_could_have_said(account: Account) -> None:
    run = account.starts("--data", "orders.json", "--note", "two\nlines \x1b[31m" + "x" * 600)
    given = json.loads(account.machines.describe_execution(executionArn=account.names.execution_arn(run))["input"])
    assert given["note"].startswith("two lines [31mxxx")
    assert (len(given["note"]), given["note"][-1]) == (500, "…")
    account.ended(run)


def test_a_failed_run_is_redriven(account: Account, faults: Picky) -> None:
    faults.unwanted = "-post-"
    run = account.starts()
    assert account.ended(run) == "FAILED"
    shown = account.calls("show", run)[1]
    assert "python pipeline.py show" not in shown, "it is what was called"
    assert f"again    python pipeline.py redrive {run}\n" in shown
    assert re.search(
        r"logs tail /aws/sagemaker/(Training|Processing)Jobs --log-stream-name-prefix \S+ "
        r"--since \S+Z --region eu-west-1\n",
        account.told("show", run)["logs"] + "\n",
    )
    faults.unwanted = ""
    told = account.told("redrive", run)
    again = f"{run}-again-2"
    assert told == {"run": again, "of": run}
    assert account.calls("watch", again)[0] == 0
    assert [job["state"] for job in account.told("show", again)["jobs"]] == ["Prepare data", "Post-process"]
    assert account.told("promote", again) == {"run": again, "promoted": {"adelie": 200, "gentoo": 200}}


def test_a_run_that_is_incomplete_shows_its_result_and_is_redriven(
    account: Account, faults: Picky, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.unwanted = "-predict-gentoo-"
    run = account.starts()
    assert account.ended(run) == "FAILED"
    shown = account.calls("show", run)[1]
    assert f"Run {run} is incomplete after " in shown
    assert f"results  s3://{account.names.work_bucket}/runs/{run}/result/\n" in shown
    assert shown.count("No such job is wanted.") == 1, shown
    assert [model["outcome"] for model in account.told("show", run)["models"]] == ["predicted", "failed"]
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append(url))
    assert account.calls("show", run, "--open")[0] == 0
    page = Path(opened[0].removeprefix("file://")).read_text()
    assert f"run {run} · " in page and "Predict gentoo" in page
    assert account.mails()[-1].endswith("-incomplete")
    faults.unwanted = ""
    again = account.told("redrive", run)["run"]
    assert account.calls("watch", again)[0] == 0
    states = [job["state"] for job in account.told("show", again)["jobs"]]
    assert states == ["Prepare data", "Predict gentoo", "Post-process"]
    account.calls("show", again, "--open")
    page = Path(opened[1].removeprefix("file://")).read_text()
    about = page.partition("<h")[0]
    assert f"Compared with run {run}: same config." in about, about  # the stand-ins for jobs do not hash the data


def test_models_of_a_run_that_failed_before_its_verdicts_were_recorded_are_promoted(account: Account) -> None:
    account.orders(train_gentoo="exit 1")
    run = account.starts()
    assert account.ended(run) == "FAILED"
    assert account.told("promote", run) == {"run": run, "promoted": {"adelie": 200}}


def test_a_fresh_run_reuses_nothing(account: Account) -> None:
    for words, jobs in (((), 6), ((), 2), (("--fresh",), 6)):
        run = account.starts("--data", "orders.json", *words)
        assert account.ended(run) == "SUCCEEDED"
        assert len(account.told("show", run)["jobs"]) == jobs


def test_a_running_run_is_not_redriven(account: Account) -> None:
    account.orders(prepare="hang")
    run = account.starts()
    code, _, err = account.calls("redrive", run)
    account.machines.stop_execution(executionArn=account.names.execution_arn(run))
    assert (code, err) == (1, f"error: {run} is still running (follow it: python pipeline.py watch {run})\n")


def test_a_stopped_run_is_redriven(account: Account) -> None:
    account.orders(post="hang")

    def stopped_in_its_last_job(run: str) -> str:
        until(lambda: "Post-process" in [job["state"] for job in account.told("show", run)["jobs"]])
        account.machines.stop_execution(executionArn=account.names.execution_arn(run))
        return account.ended(run)

    run = account.starts()
    assert stopped_in_its_last_job(run) == "ABORTED"
    again = account.told("redrive", run)["run"]
    assert stopped_in_its_last_job(again) == "ABORTED"
    assert [job["state"] for job in account.told("show", again)["jobs"]] == ["Prepare data", "Post-process"]


def test_models_that_were_cleaned_up_are_trained_again(account: Account, faults: Picky) -> None:
    faults.unwanted = "-post-"
    run = account.starts()
    assert account.ended(run) == "FAILED"
    bucket = account.names.work_bucket
    for folder in ("markers/", f"runs/{run}/"):
        for entry in account.s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]:
            account.s3.delete_object(Bucket=bucket, Key=entry["Key"])
    faults.unwanted = ""
    again = account.told("redrive", run)["run"]
    assert account.ended(again) == "SUCCEEDED"
    assert len(account.told("show", again)["jobs"]) == 6


def test_an_input_that_was_not_usable_is_not_tried_again(account: Account) -> None:
    account.machines.start_execution(stateMachineArn=account.names.live, name="odd", input="[1]")
    assert account.ended("odd") == "FAILED"
    code, _, err = account.calls("redrive", "odd")
    assert (code, err) == (1, "error: the input of odd is unusable (start a new run)\n")


# status


def test_who_may_not_see_the_stacks_is_not_told_to_deploy_them(account: Account) -> None:
    def denied(**given: Any) -> None:
        message = "User: arn:aws:iam::123456789012:user/one is not authorized to perform: cloudformation:DescribeStacks"
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "DescribeStacks")

    class Door:
        def client(self, service: str) -> Any:
            blind = SimpleNamespace(describe_stacks=denied)
            return blind if service == "cloudformation" else account.place.aws.client(service)

    found = status.status(Door(), account.names)
    assert set(found.unknown) == {"base stack", "pipeline stack", "cicd stack"}
    assert not any("deploy" in step for step in found.next)
    assert "cloudformation:DescribeStacks" in status.words(found, "").splitlines()[2]


def test_without_a_pipeline_each_command_says_so_in_one_sentence(account: Account) -> None:
    config = account.folder / "pipeline-config.yml"
    config.write_text(config.read_text().replace("name: penguins", "name: seals"))
    said = "error: the account 123456789012 has no pipeline seals in eu-west-1 (`python pipeline.py deploy` makes it)\n"
    for words in (("runs", "--aws"), ("watch", "latest", "--aws"), ("rollback",)):
        assert account.calls(*words)[::2] == (1, said)
    assert account.calls("start", "--data", "orders.json")[::2] == (1, said)
    assert account.calls("start", "--folder", "june")[::2] == (1, said)
    code, out, _ = account.calls("status")
    assert code == 0
    assert "python pipeline.py deploy " in out
    assert re.search("mails +no topic yet\n", out)


def test_what_a_command_advises_repeats_which_config_and_environment_it_was_called_with(account: Account) -> None:
    config = account.folder / "pipeline-config.yml"
    named = account.folder / "another one.yml"
    named.write_text(config.read_text() + "environments: {prod: {}}\n")
    said = f"python pipeline.py deploy --config '{named}' --env prod"
    for words in (
        ("watch", "latest", "--aws"),
        ("rollback",),
        ("start", "--folder", "june"),
        ("redrive", "r", "--aws"),
    ):
        _, _, err = account.calls(*words, "--config", str(named), "--env", "prod")
        assert f"(`{said}` makes it)" in err
    assert f"  {said}   (there is no stack " in account.calls("status", "--config", str(named), "--env", "prod")[1]


def test_runs_has_the_models_the_note_and_the_reason_of_a_failure(account: Account, faults: Picky) -> None:
    good = account.starts("--data", "orders.json", "--note", "by hand")
    assert account.ended(good) == "SUCCEEDED"
    account.orders(prepare="exit 1")
    bad = account.starts()
    assert account.ended(bad) == "FAILED"
    _, out, _ = account.calls("runs", "--aws")
    assert re.search(rf"\n{bad} +penguins .* failed\n    prepare does not like the data", out)
    assert re.search(rf"\n{good} +penguins .* finished +2 of 2 +by hand\n", out)
    rows = {row["run"]: row for row in account.told("runs", "--aws")}
    assert [model["verdict"] for model in rows[good]["models"]] == ["accepted", "accepted"]
    assert rows[bad]["failure"]["sentence"].startswith("prepare does not like the data")


def test_logs_fetch_and_compare_work_in_an_account(account: Account) -> None:
    run = account.starts()
    assert account.ended(run) == "SUCCEEDED"
    code, out, err = account.calls("logs", run, "adelie")
    assert code == 0, err
    assert re.match(r"Train adelie \(penguins-train-\S+\):\n", out)
    code, out, err = account.calls("fetch", run)
    assert code == 0, err
    assert set(out.split()) >= {f"{run}/predictions.csv", f"{run}/summary.json"}
    code, out, err = account.calls("fetch", run, "--model", "adelie", "--to", "models")
    assert code == 0, err
    assert "models/adelie/" in out
    code, out, err = account.calls("compare", run, "latest")
    assert code == 0, err
    assert "Both have the same config." in out


def test_advice_on_a_run_of_an_account_is_from_the_logs_of_its_jobs(account: Account) -> None:
    run = account.starts()
    assert account.ended(run) == "SUCCEEDED"
    job = next(job for job in account.told("show", run)["jobs"] if job["state"] == "Prepare data")
    used = "12:00:00 used: 1.3 of 15.4 GB memory, 4 s of processor time in 23 s on 4 cores, 0.2 GB of disk"
    account.place.aws.logs.stream("processing", job["name"], 0)(used)
    code, out, err = account.calls("advise", run, "--aws")
    assert code == 0, err
    assert f"Advice from what the jobs of {run} used, measured on AWS:\n" in out
    assert "  prepare.instance      ml.m5.xlarge -> ml.m5.large (no price): needs 1.3 of 16 GB memory" in out
    assert re.search("  predict.instance      keep ml.m5.xlarge: Predict (adelie|gentoo) logged no figures;", out)


def test_a_run_of_an_account_is_an_object(account: Account) -> None:
    run = account.starts()
    assert account.ended(run) == "SUCCEEDED"
    found = Run(run, aws=True)
    assert (found.name, found.status) == (run, "SUCCEEDED")
    assert [model.verdict for model in found.models] == ["accepted", "accepted"]
    assert (found._result / "summary.json").is_file() and list(found._model("adelie").iterdir())
