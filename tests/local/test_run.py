"""`run --local` and what comes after it, driven as a user does: words in; files, mails, words and the exit code out."""

from __future__ import annotations

import email
import email.policy
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import forks
import pytest
from configs import penguins
from local_aws import MINUTES, Scripted, until
from stand_in import HERE, SCRIPTS, arrange

from localaws.base import api_model
from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.cli.terminal import Terminal
from stepgluon.config.load import load
from stepgluon.local.work_folder import buckets_of
from stepgluon.names import Names

CONFIG = penguins("fallback: {threshold: 350, if_missing: fail}", "retries: {job: 0}")
MODELS = ("adelie", "gentoo")


class User:
    """Sits in a folder with a config and data, and calls commands."""

    def __init__(self, folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.shared, self._capsys = folder, shared, capsys
        self.work = folder / ".local"
        self.code = SCRIPTS
        self._processes: list[subprocess.Popen[str]] = []
        self.config = folder / "pipeline-config.yml"
        self.config.write_text(CONFIG)
        self.orders()

    def orders(self, **orders: Any) -> None:
        """What the stand-in jobs do, by their stage; _ may stand for -."""
        text = json.dumps({stage.replace("_", "-"): order for stage, order in orders.items()})
        (self.folder / "orders.json").write_text(text)

    def calls(self, *words: str, **variables: str) -> tuple[int, str, str]:
        try:
            code = main(workflow, words, variables)
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def runs(self, *words: str) -> tuple[int, str, str]:
        """Locally, which needs no flag."""
        return self.calls("run", "--data", "orders.json", *words)

    def told(self, *words: str) -> dict[str, Any]:
        """What a run tells to a script."""
        code, out, err = self.runs("--json", *words)
        told: dict[str, Any] = json.loads(out) if out else {}
        assert "run" in told, f"exit code {code}, {told}: {err}"
        return {**told, "code": code}

    def good(self) -> dict[str, Any]:
        return self.once("good", self.told)

    def once(self, what: str, does: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `does` gives, and the work folder that it leaves: the first test does it, the others get a copy."""
        kept = self.shared / f"once{what}"
        if not kept.exists():
            told = does()
            shutil.copytree(self.work, kept)
            (kept / "told.json").write_text(json.dumps([str(self.folder), told]))
            return told
        shutil.copytree(kept, self.work)
        came = json.loads((self.work / "told.json").read_text())[0]
        for file in (self.work / "told.json", *self.work.glob("runs/*/run.json")):
            file.write_text(file.read_text().replace(came, str(self.folder)))
        told = json.loads((self.work / "told.json").read_text())[1]
        (self.work / "told.json").unlink()
        return told

    def process(self, *words: str, start: Any = forks.Popen, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "stand_in.py"), str(self.shared), str(self.code), *words]
        environment = {**os.environ, **variables}
        process: subprocess.Popen[str] = start(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._processes.append(process)
        return process

    def leaves(self) -> None:
        """Ends what a failed test has left."""
        for process in self._processes:
            with process:
                process.kill()

    def mails(self) -> list[tuple[str, str]]:
        """Kind and text of each mail, in their order."""
        letters = [
            email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            for file in sorted((self.work / "outbox").glob("*.eml"))
        ]
        return [(str(letter["Subject"]).rpartition(": ")[2], letter.get_content()) for letter in letters]

    def statuses(self) -> dict[str, str]:
        """Of the only run's jobs, by their states."""
        (run,) = json.loads(self.calls("runs", "--json")[1])
        return {job["state"]: job["status"] for job in run["jobs"]}

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.mails()]

    def objects(self, prefix: str) -> dict[str, tuple[bytes, datetime]]:
        """Content and time of each object below a prefix of the work bucket."""
        loaded = load(self.config, None, {})
        bucket = Names(loaded.config).work_bucket
        with buckets_of(loaded, self.work) as s3:
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
            return {
                one["Key"]: (s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read(), one["LastModified"])
                for one in listed
            }

    def result(self, told: dict[str, Any]) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((Path(told["folder"]) / "summary.json").read_text())
        return summary


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def faults() -> Scripted:
    return Scripted()


@pytest.fixture
def user(
    tmp_path: Path,
    shared: Path,
    faults: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[User]:
    monkeypatch.chdir(tmp_path)
    user = User(tmp_path, shared, capsys)
    arrange(shared, monkeypatch.setattr, lambda: user.code, faults=faults)
    yield user
    user.leaves()


# A run that ends well


def test_a_run_leaves_its_result_logs_history_and_mails(user: User) -> None:
    code, out, err = user.runs("--note", "by hand")
    assert code == 0, err
    (folder,) = (user.work / "runs").iterdir()
    assert {"predictions.csv", "summary.json", "history.json", "run.json", "logs"} <= set(os.listdir(folder))
    assert (folder / "predictions.csv").read_text() == "adelie\ngentoo"
    assert [path for path in (user.work, *user.work.rglob("*")) if path.stat().st_mode & 0o077] == []
    logs = {re.sub(r"-[0-9a-f]{10}-0-0-0\.log$", "", log.name): log.read_text() for log in (folder / "logs").iterdir()}
    stages = {"prepare", "train-adelie", "train-gentoo", "predict-adelie", "predict-gentoo", "post"}
    assert set(logs) == {f"penguins-{stage}" for stage in stages}
    assert logs["penguins-train-adelie"].startswith("training adelie")
    assert json.loads((folder / "history.json").read_text())[-1]["type"] == "ExecutionSucceeded"
    assert user.kinds() == ["started", "models", "finished"]
    assert "Note:   by hand" in user.mails()[0][1]
    assert f"Report:  .local/runs/{folder.name}/report.html\n" in user.mails()[2][1]
    assert "console" not in user.mails()[0][1]
    assert f"Run {folder.name} finished" in out
    assert f"  report   .local/runs/{folder.name}/report.html\n" in out
    page = (folder / "report.html").read_text()
    assert f"run {folder.name} · " in page and page.index("predictions") < page.index("Train adelie</a>")
    assert re.search(r"adelie +200 g +350 +accepted +the trained model", out)
    for state in ("Prepare data", "Train adelie", "Predict gentoo", "Post-process"):
        assert re.search(rf"^ +[\d.]+ s  {state} +[\d.]+ s$", err, re.MULTILINE), err
    assert "\033" not in out + err, "colours belong on terminals"


def test_a_script_gets_the_run_as_json(user: User) -> None:
    told = user.told("--threshold", "250")
    assert (told["code"], told["status"]) == (0, "SUCCEEDED")
    assert [(m["name"], m["mae"], m["threshold"], m["uses"]) for m in told["models"]] == [
        (name, 200, 250, "trained") for name in MODELS
    ]
    assert {job["status"] for job in told["jobs"]} == {"Completed"}


def test_the_same_command_after_a_finished_run_is_a_new_run_that_reuses_models_and_predictions(user: User) -> None:
    first, second = user.good(), user.told()
    assert first["run"] != second["run"]
    assert not any(one["cached"] for one in (*first["jobs"], *first["models"]))
    assert {job["state"]: job["cached"] for job in second["jobs"]} == {"Prepare data": True, "Post-process": False}
    assert [(model["cached"], model["predictions_cached"], model["mae"]) for model in second["models"]] == [
        (True, True, 200) for _ in MODELS
    ]
    assert user.result(first)["predicted"] == user.result(second)["predicted"]
    assert user.kinds() == ["started", "models", "finished"] * 2
    log = next(Path(second["folder"]).glob("logs/*prepare*")).read_text()
    assert log.startswith("This job did not run again")
    shown = user.calls("show", second["run"])[1]
    for state in ("Train adelie", "Train gentoo", "Predict adelie", "Predict gentoo"):
        assert re.search(rf"^ +[\d.]+ s  {state} +cached$", shown, re.MULTILINE), shown
    assert re.search(r"adelie +200 g +350 +accepted, cached +the trained model, cached", shown)


def test_of_six_models_only_the_one_whose_rows_changed_is_trained_and_predicted(user: User) -> None:
    names = [f"m{number:02}" for number in range(6)]
    user.config.write_text(CONFIG.replace("[adelie, gentoo]", json.dumps(names)))
    user.orders(rows=dict.fromkeys(names, 1))
    first, before = user.told(), user.objects("predictions/")
    user.orders(rows={**dict.fromkeys(names, 1), "m03": 2})
    second, after = user.told(), user.objects("predictions/")
    assert (first["code"], len(first["jobs"]), second["code"]) == (0, 14, 0)
    ran = sorted(job["state"] for job in second["jobs"])
    assert ran == ["Post-process", "Predict m03", "Prepare data", "Train m03"]
    assert not any(job["cached"] for job in second["jobs"])
    assert {key: after[key] for key in before} == before, "no prediction was written again"
    (new,) = after.keys() - before.keys()
    assert len(before) == 6 and new.startswith("predictions/m03/")
    assert user.result(second)["predicted"] == names


def test_other_code_reuses_no_model_and_no_prediction(user: User) -> None:
    gate = Gate(user, "never")
    gate.open()
    for changed, count in ((None, 6), ("train", 6), ("predict", 6), (None, 2)):
        if changed:
            with (user.code / f"{changed}.py").open("a") as script:
                script.write("\n# changed\n")
        assert len(user.told()["jobs"]) == count, changed


@pytest.mark.parametrize("edited", [None, b"{}  "])
def test_a_table_may_be_removed_or_edited_once_it_was_uploaded(
    user: User, faults: Scripted, monkeypatch: pytest.MonkeyPatch, edited: bytes | None
) -> None:
    table = user.folder / "orders.json"
    plain = table.read_bytes()

    def change(*job: Any) -> None:
        table.unlink(missing_ok=True)
        if edited is not None:
            table.write_bytes(edited)

    with monkeypatch.context() as during:
        during.setattr(faults, "upload", change)
        first = user.told()
    assert first["code"] == 0, first
    table.write_bytes(plain)
    second = user.told()
    assert second["run"] != first["run"], "the first command was done"


def test_fresh_repeats_every_job(user: User) -> None:
    user.good()
    told = user.told("--fresh")
    assert (told["code"], [job["cached"] for job in told["jobs"]]) == (0, [False] * 6)
    assert not any(model["cached"] or model["predictions_cached"] for model in told["models"])


def test_a_rejected_model_is_replaced_by_the_promoted_one(user: User) -> None:
    good = user.good()
    code, out, err = user.calls("promote", good["run"])
    assert (code, out) == (0, f"Promoted from run {good['run']}: adelie (MAE 200), gentoo (MAE 200).\n"), err
    user.orders(train_gentoo="exit 1")
    code, out, err = user.runs()
    assert code == 0, err
    assert re.search(rf"gentoo +- +350 +rejected +the model promoted from {good['run']}, MAE 200", out)
    assert "Train gentoo" in err
    assert "failed: train-gentoo does not like the data" in err
    assert "train-gentoo does not like the data" in user.mails()[-2][1]


# A run that fails


def test_a_failing_job_is_told_with_state_sentence_log_and_the_next_command(user: User) -> None:
    user.orders(prepare="exit 1")
    raw = (user.folder / "orders.json").read_bytes()
    code, out, _ = user.runs()
    assert code == 1
    assert "failed in the state Prepare data" in out
    assert "\n  prepare does not like the data\n" in out
    assert "  again    python pipeline.py run --data orders.json\n" in out
    assert user.kinds() == ["started", "failed"]
    assert not list(user.work.glob("runs/*/predictions.csv"))
    (page,) = user.work.glob("runs/*/report.html")
    assert page.read_text().count("prepare does not like the data") == 1
    assert (user.folder / "orders.json").read_bytes() == raw


@pytest.mark.parametrize(
    ("orders", "state"),
    [
        ({"train-adelie": "SIGKILL", "train-gentoo": "SIGSEGV"}, "Choose models"),
        ({"post": "SIGKILL"}, "Post-process"),
    ],
)
def test_whatever_goes_wrong_there_is_one_mail_of_failure_and_exit_1(
    user: User, orders: dict[str, str], state: str
) -> None:
    user.orders(**orders)
    told = user.told()
    assert (told["code"], told["status"]) == (1, "FAILED")
    assert told["failure"]["state"] == state
    assert told["failure"]["sentence"]
    assert user.kinds()[0] == "started"
    assert user.kinds()[-1] == "failed"
    assert (user.kinds().count("started"), user.kinds().count("failed"), user.kinds().count("finished")) == (1, 1, 0)


def test_a_prediction_that_fails_leaves_the_others_result_and_is_named_once(user: User) -> None:
    user.orders(predict_gentoo="exit 1")
    code, out, _ = user.runs()
    (folder,) = (user.work / "runs").iterdir()
    assert code == 1
    assert re.search(
        f"^Run {folder.name} is incomplete after .*: the rows of gentoo are not predicted", out, re.MULTILINE
    )
    assert re.search("gentoo +200 g +350 +accepted +the trained model, which failed", out)
    assert "results  .local/runs/" in out
    assert "again    python pipeline.py run --data orders.json" in out
    assert (folder / "predictions.csv").read_text() == "adelie"
    assert user.kinds() == ["started", "models", "incomplete"]
    shown = user.calls("show", "latest")[1]
    for screen in (out, shown):
        assert screen.count("predict-gentoo does not like the data") == 1, screen
    user.orders()
    assert user.told()["code"] == 0


@pytest.mark.parametrize("flag", [[], ["--json"]], ids=["panel", "json"])
def test_what_no_state_handles_ends_the_run_and_is_said(
    user: User, monkeypatch: pytest.MonkeyPatch, flag: list[str]
) -> None:
    plain = api_model.problems

    def problems(service: str, action: str, request: dict[str, Any]) -> list[str]:
        if action == "CreateTrainingJob":
            raise RecursionError("maximum recursion depth exceeded")
        return plain(service, action, request)

    monkeypatch.setattr(api_model, "problems", problems)
    said = r"^ +[\d.]+ s  Train (adelie|gentoo) +failed: States.Runtime: maximum recursion depth exceeded$"
    code, out, err = user.runs(*flag)
    assert code == 1 and re.search(said, err, re.MULTILINE), err
    assert flag or re.search("^Run .* failed in the state Train (adelie|gentoo) after", out, re.MULTILINE), out
    code, _, err = user.calls("watch", "latest", *flag)
    assert code == 1 and re.search(said, err, re.MULTILINE), err


def test_what_passes_is_waited_for(user: User, faults: Scripted) -> None:
    user.config.write_text(CONFIG.replace("{job: 0}", "{job: 1}"))
    faults.refusals = [("ThrottlingException", "Rate exceeded"), ("ResourceLimitExceeded", "The limit is 0 instances")]
    faults.lost = ["CapacityError: Unable to provision requested ML compute capacity."]
    told = user.told()
    assert (told["code"], user.kinds()) == (0, ["started", "models", "finished"])
    names = [job["name"] for job in told["jobs"]]
    assert len(set(names)) == len(names), "SageMaker takes each name once"


def test_what_does_not_pass_fails_the_run_in_the_end(user: User, faults: Scripted) -> None:
    user.config.write_text(CONFIG.replace("{job: 0}", "{job: 0, quota: 3}"))
    faults.for_ever = ("ResourceLimitExceeded", "The account-level service limit is 0 instances")
    told = user.told()
    assert (told["code"], user.kinds()) == (1, ["started", "failed"])
    assert told["failure"]["state"] == "Prepare data"
    assert "The account-level service limit is 0 instances" in told["failure"]["sentence"]
    assert len(faults.refused) == 4


def test_after_the_reason_is_gone_only_what_had_failed_is_repeated(user: User, faults: Scripted) -> None:
    faults.disk_full_for = "predict-gentoo"
    code, _, err = user.runs()
    assert code == 3, "the disk is this computer's problem"
    assert re.fullmatch(r"error: the disk of \.local is full, .*\(make room, .*\)", err.splitlines()[-1])
    assert user.kinds()[-1] == "incomplete"
    faults.disk_full_for = ""
    told = user.told()
    assert told["code"] == 0
    assert {job["state"] for job in told["jobs"] if not job["cached"]} == {"Predict gentoo", "Post-process"}


# Usage


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "no.csv"], "--data no.csv: there is no such file"),
        (["--data", "."], "--data .: this is a folder"),
        (["--data", "orders.json", "other/orders.json"], "--data other/orders.json: orders.json has the same name"),
        (["--data", ".hidden.csv"], "--data .hidden.csv: the pipeline ignores files with such a name"),
        (["--data", "orders.json", "--threshold", "0"], "argument --threshold: '0' is not a threshold"),
        (["--data", "\udcff.json"], "argument --data: '\\udcff.json' is not UTF-8"),
        (["--data", "orders.json", "--work", "\udcff"], "argument --work: '\\udcff' is not UTF-8"),
        (["--data", "orders.json", "--threshold", "nan"], "argument --threshold: 'nan' is not a threshold"),
        ([], "the following arguments are required: --data"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_starts_nothing(user: User, words: list[str], told: str) -> None:
    Path("other").mkdir()
    Path("other/orders.json").write_text("{}")
    Path(".hidden.csv").write_text("")
    code, out, err = user.calls("run", "--local", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {told}")
    assert err.count("\n") == 1
    assert not user.work.exists()


def test_what_is_neither_a_file_nor_a_folder_is_no_table(user: User) -> None:
    os.mkfifo("pipe")
    _, _, err = user.calls("run", "--local", "--data", "pipe")
    assert err == "error: --data pipe: not a regular file; save its output to a file first\n"


def test_a_bad_config_starts_nothing(user: User) -> None:
    user.config.write_text(CONFIG.replace("threshold", "treshold"))
    code, out, err = user.runs()
    assert (code, out) == (2, "")
    assert "did you mean threshold?" in err
    assert not user.work.exists()


def test_promote_and_show_name_what_they_do_not_find(user: User) -> None:
    assert user.calls("runs")[1].startswith("No runs yet.")
    assert user.calls("promote", "nothing")[0] == 2
    user.orders(train_adelie='score {"mae": 900}', train_gentoo='score {"mae": "low"}')
    told = user.told()
    code, out, err = user.calls("promote", told["run"])
    assert (code, out) == (1, "")
    assert "has no accepted model: adelie was rejected, gentoo was rejected" in err
    for name in ("no-such-run", "../../etc", "a" * 300):
        for command in ("promote", "show", "watch", "redrive"):
            code, out, err = user.calls(command, name, "--work", ".local")
            assert (code, out) == (2, "")
            assert f"has no run {name}" in err
    (user.folder / "other.yml").write_text(CONFIG.replace("name: penguins", "name: seals"))
    for command in ("promote", "redrive"):
        code, out, err = user.calls(command, told["run"], "--config", "other.yml")
        assert (code, out) == (2, "")
        assert f"{told['run']} is a run of penguins in 123456789012, eu-west-1, but the config is of seals" in err
    code, out, err = user.calls("show", told["run"][1:])
    assert (code, out) == (2, "")
    assert f"did you mean {told['run']}?" in err


def test_show_and_runs_tell_of_a_run_without_a_server(user: User) -> None:
    user.orders(post="exit 1")
    told = user.told("--note", "my note")
    code, out, _ = user.calls("show", told["run"])
    assert code == 0
    assert "Post-process" in out
    assert "post does not like the data" in out
    assert re.search(r"Failed +[\d.]+ s  penguins-post-", out)
    assert json.loads(user.calls("show", told["run"], "--json")[1])["failure"]["state"] == "Post-process"
    assert re.search(rf"{told['run']}  penguins  .* failed .* my note\n    post does not", user.calls("runs")[1])
    assert [run["run"] for run in json.loads(user.calls("runs", "--json")[1])] == [told["run"]]


def test_show_opens_the_report_of_a_run(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    there = iter([True, False])
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or next(there))
    user.orders(prepare="exit 1")
    told = user.told()
    code, out, _ = user.calls("show", told["run"], "--open")
    assert (code, opened) == (0, [(user.work / "runs" / told["run"] / "report.html").as_uri()])
    assert "prepare does not like the data" in out
    assert "No browser was found; the report is " in user.calls("show", told["run"], "--open")[2]
    (user.work / "runs" / told["run"] / "report.html").unlink()
    code, _, err = user.calls("show", told["run"], "--open")
    assert (code, err) == (2, f"error: {told['run']} has no report (a run has one once it has ended)\n")


EDITED = ("arn", "started", "seconds", "models", "jobs", "failure", "lines")


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", *EDITED, '{"models": [{}]}', '{"jobs": [{}]}'])
def test_a_run_whose_file_is_damaged_hides_no_other(user: User, damaged: str) -> None:
    good, bad = user.good()["run"], user.work / "runs" / "bad"
    shutil.copytree(user.work / "runs" / good, bad)
    if damaged in EDITED or damaged.startswith('{"'):
        edits = {damaged: "edited"} if damaged in EDITED else json.loads(damaged)
        damaged = json.dumps({**json.loads((bad / "run.json").read_text()), "run": "bad", **edits})
    (bad / "run.json").write_text(damaged)
    assert [run["run"] for run in json.loads(user.calls("runs", "--json")[1])] == [good]
    assert user.calls("show", "latest")[0] == 0
    assert user.calls("promote", good)[0] == 0
    code, out, err = user.calls("show", "bad")
    assert (code, out) == (2, "")
    assert err == "error: run.json in .local/runs/bad is damaged (its history, logs and results are beside it)\n"
    assert "did you mean" not in user.calls("show", "")[2]


def test_what_goes_on_has_lasted_until_now_and_what_was_cut_off_until_the_last_look(user: User) -> None:
    told = user.good()
    file = Path(told["folder"]) / "run.json"
    told |= {"status": "RUNNING", "seconds": 7.0, "jobs": [{**told["jobs"][0], "status": "InProgress", "seconds": 5.0}]}
    file.write_text(json.dumps(told))
    os.utime(file, (0, file.stat().st_mtime - 100))
    (run,) = json.loads(user.calls("runs", "--json")[1])
    assert (run["status"], run["seconds"], run["jobs"][0]["seconds"]) == ("CUT OFF", 7.0, 5.0)
    with (user.work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (run,) = json.loads(user.calls("runs", "--json")[1])
    assert run["seconds"] >= 107 and run["jobs"][0]["seconds"] >= 105


def test_promoting_keeps_what_was_promoted_of_other_models(user: User) -> None:
    first = user.good()
    user.calls("promote", first["run"])
    user.orders(train_gentoo="exit 1", train_adelie='score {"mae": 100}')
    second = user.told()
    promoted = json.loads(user.calls("promote", second["run"], "--json")[1])
    assert promoted["promoted"] == {"adelie": 100}
    user.orders(train_gentoo="exit 1", train_adelie="exit 1")
    third = user.told()
    assert [m["default_of_run"] for m in third["models"]] == [second["run"], first["run"]]


# This computer


def test_an_odd_and_long_folder_name_works(user: User) -> None:
    name = "データ 🐧 & 'quotes' \"x\" %41 #?".ljust(200, "x")
    code, _, err = user.runs("--work", name)
    assert code == 0, err
    assert list(Path(name).glob("runs/*/predictions.csv"))


@pytest.mark.parametrize("work", ["orders.json", "orders.json/below", "/proc/here", "y" * 300])
def test_a_folder_that_cannot_be_used_is_one_sentence_and_exit_3(user: User, work: str) -> None:
    code, out, err = user.runs("--work", work)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith("error: ")
    assert "--work" in err


def test_a_port_in_use_is_one_sentence_and_exit_3(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = user.calls("local", "up", "--port", str(port), "--work", "new")
    assert (code, out) == (3, "")
    assert not Path("new").exists()
    assert err == f"error: port {port} of this computer is used by another program (name another with --port)\n"


# Ends that nobody wanted


def test_ctrl_c_stops_the_jobs_and_exits_130(user: User) -> None:
    user.orders(train_adelie="ignore SIGTERM", train_gentoo="ignore SIGTERM")
    process = user.process("run", "--local", "--data", "orders.json", start=forks.plain)
    until(lambda: sum("hanging" in log.read_text() for log in user.work.glob("runs/*/logs/*train*")) == 2)
    hanging = _processes(user)
    assert len(hanging) >= 2, "a process for each job, at least"
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=MINUTES)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Stopping the run and its jobs.\nStopped. The same command reuses the jobs that finished.\n" in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in hanging)
    assert not list(user.work.glob(".jobs-*"))
    kinds = user.kinds()
    assert len(kinds) == 2, "one of the start, one of the end"
    assert user.mails()[1][1].startswith("penguins was stopped by Ctrl-C.\n\n")
    (run,) = json.loads(user.calls("runs", "--json")[1])
    assert run["status"] == "ABORTED"
    user.orders()
    assert user.told()["code"] == 0


def _processes(user: User) -> list[int]:
    """The processes of jobs that run in the user's work folder."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                words, folder = (place / "cmdline").read_bytes(), os.readlink(place / "cwd")
            except OSError:
                continue
            if folder.startswith(str(user.work / ".jobs-")) or str(user.work / ".jobs-").encode() in words:
                found.append(int(place.name))
    return found


class Gate:
    """Jobs of a stage wait while the gate is closed; they do not know it, so they stay the same jobs.

    Several stages are separated by blanks.
    """

    def __init__(self, user: User, stage: str) -> None:
        self._file = user.folder / "gate"
        self._file.write_text(stage)
        user.code = user.folder / "scripts"  # forks.py knows stand-in jobs, which import little, by this name
        shutil.copytree(SCRIPTS, user.code, ignore=shutil.ignore_patterns("__pycache__"))
        with (user.code / "stage.py").open("a") as script:
            script.write(GATE.format(file=str(self._file)))

    def open(self) -> None:
        self._file.unlink()


GATE = """

gate, plain = {file!r}, obey


def closed(stage: str) -> bool:
    try:
        return stage in read(gate).split()
    except FileNotFoundError:
        return False


def obey(stage: str, folder: str) -> str:
    while closed(stage):
        print("waiting", flush=True)
        time.sleep(0.02)
    return plain(stage, folder)
"""


def test_after_kill_9_the_same_command_goes_on_and_repeats_nothing_that_was_finished(user: User) -> None:
    gate = Gate(user, "predict-gentoo")
    process = user.process("run", "--local", "--data", "orders.json", "--note", "the one", start=forks.plain)
    until(lambda: any("waiting" in log.read_text() for log in user.work.glob("runs/*/logs/*predict-gentoo*")))
    until(lambda: user.statuses().get("Predict adelie") == "Completed")
    process.kill()
    process.communicate()
    until(lambda: not _processes(user))
    (cut,) = json.loads(user.calls("runs", "--json")[1])
    assert cut["status"] == "CUT OFF"
    assert user.kinds() == ["started", "models"]
    gate.open()
    code, out, err = user.runs("--note", "the one", "--json")
    assert code == 0, err
    assert f"Continuing run {cut['run']}, which was cut off." in err
    told = json.loads(out)
    assert told["run"] == cut["run"]
    assert {job["state"] for job in told["jobs"] if not job["cached"]} == {"Predict gentoo", "Post-process"}
    assert user.result(told)["predicted"] == list(MODELS)
    assert user.kinds() == ["started", "models", "finished"]
    assert not list(user.work.glob(".jobs-*"))


@pytest.mark.parametrize("moment", ["", "Prepare data", "Announce results", "Run "])
def test_at_whatever_moment_it_is_killed_the_command_ends_well_when_it_is_called_again(user: User, moment: str) -> None:
    late = moment in ("Announce results", "Run ")
    gate = None if late else Gate(user, "post")  # however slowly its lines are read, it does not end before
    process = user.process("run", "--local", "--data", "orders.json")
    stream = process.stdout if moment == "Run " else process.stderr
    assert stream is not None
    if moment:
        assert any(moment in line for line in stream), "it ended before"
    else:
        until((user.work / "buckets" / "index.sqlite").exists)
    process.kill()
    process.communicate()
    until(lambda: not _processes(user))  # its guard, too, which clears the jobs' folder away
    if gate:
        gate.open()
    told = user.told()
    assert told["code"] == 0, told
    assert user.result(told)["predicted"] == list(MODELS)
    runs = len(json.loads(user.calls("runs", "--json")[1]))
    # Killed after its result was printed it is a new run, with mails of its own.
    assert user.kinds() == ["started", "models", "finished"] * runs
    assert runs == 1 or late


def test_a_command_that_is_killed_before_its_result_is_printed_prints_it_when_it_is_called_again(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Passes every handler, as a kill does."""

    def killed(*values: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Terminal, "result", killed)
        user.runs()
    code, out, err = user.runs("--json")
    told = json.loads(out)
    assert (code, told["status"]) == (0, "SUCCEEDED")
    assert f"Run {told['run']} has ended; this is its result." in err
    assert user.kinds() == ["started", "models", "finished"]
    assert user.told()["run"] != told["run"], "once it was printed, the same command is a new run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_was_stopped_is_a_new_run_when_it_is_called_again(user: User, number: int) -> None:
    gate = Gate(user, "train-gentoo")
    process = user.process("run", "--local", "--data", "orders.json")
    until(lambda: _trains(user))
    process.send_signal(number)
    _, err = process.communicate(timeout=MINUTES)
    assert process.returncode == 130, err
    gate.open()
    assert_new(user)


def test_a_run_that_was_stopped_with_the_server_that_went_on_with_it_stays_stopped(user: User) -> None:
    gate = Gate(user, "train-gentoo")
    for words in (("run", "--local", "--data", "orders.json"), ("local", "up")):
        process = user.process(*words)
        until(lambda: _trains(user))
        process.kill() if words[0] == "run" else process.terminate()
        process.communicate(timeout=MINUTES)
    gate.open()
    assert_new(user)


def _trains(user: User) -> bool:
    """Whether a job of this server, and not of an earlier one, waits."""
    here = list(user.work.glob(".jobs-*/*train-gentoo*"))
    return bool(here) and any("waiting" in log.read_text() for log in user.work.glob("runs/*/logs/*train-gentoo*"))


def assert_new(user: User) -> None:
    """The same command again is a run of its own, and what was finished is not repeated."""
    (stopped,) = json.loads(user.calls("runs", "--json")[1])
    assert stopped["status"] == "ABORTED"
    code, out, err = user.runs("--json")
    assert code == 0, err
    assert "Continuing" not in err
    told = json.loads(out)
    assert told["run"] != stopped["run"]
    assert "Prepare data" in {job["state"] for job in told["jobs"] if job["cached"]}


def shell(user: User, profile: str = "work") -> dict[str, str]:
    """What a shell may say about AWS."""
    (user.folder / "credentials").write_text("[work]\naws_access_key_id = AKIAREAL\naws_secret_access_key = real\n")
    (user.folder / "config").write_text("[profile work]\nregion = us-west-2\nendpoint_url = http://127.0.0.1:9\n")
    nowhere = "http://127.0.0.1:9"
    return {
        "AWS_PROFILE": profile,
        "AWS_SHARED_CREDENTIALS_FILE": str(user.folder / "credentials"),
        "AWS_CONFIG_FILE": str(user.folder / "config"),
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": nowhere,
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), nowhere),
    }


def test_what_the_shell_says_about_aws_never_gets_here(user: User) -> None:
    process = user.process("run", "--local", "--data", "orders.json", start=forks.plain, **shell(user))
    _, err = process.communicate(timeout=MINUTES)
    assert process.returncode == 0, err
    for file in user.work.rglob("*"):
        if file.is_file():
            assert b"AKIAREAL" not in file.read_bytes(), file


def test_what_the_shell_says_about_aws_reaches_no_command_that_talks_to_a_server(user: User) -> None:
    user.orders(post=f"wait for {user.folder / 'go'}, then exit 1")
    (user.folder / "go").touch()
    failed = user.told()["run"]
    (user.folder / "go").unlink()
    user.process("local", "up")
    until((user.work / "server.json").exists)

    def calls(profile: str, *words: str) -> subprocess.Popen[str]:
        return user.process(*words, "--work", ".local", **shell(user, profile))

    for profile in ("work", "nope"):
        promote = calls(profile, "promote", failed)
        out, err = promote.communicate(timeout=MINUTES)
        assert (promote.returncode, out[:13]) == (0, "Promoted from"), err
    redrive = calls("work", "redrive", failed)
    until(lambda: list(user.work.glob(f"runs/{failed}-again-2/run.json")))
    watches = [calls(profile, "watch", f"{failed}-again-2") for profile in ("work", "nope")]
    for watch in watches:
        assert watch.stderr is not None
        assert "Announce start" in watch.stderr.readline()
    (user.folder / "go").touch()
    for process in (redrive, *watches):
        out, err = process.communicate(timeout=MINUTES)
        assert process.returncode == 1, err
        assert "post does not like the data" in out
        assert "Traceback" not in err
    again = calls("nope", "redrive", f"{failed}-again-2")
    out, err = again.communicate(timeout=MINUTES)
    assert again.returncode == 1 and "post does not like the data" in out, err


def test_two_stacks_at_once_do_not_meet(user: User) -> None:
    processes = [user.process("run", "--local", "--data", "orders.json", "--work", work) for work in ("one", "two")]
    for process in processes:
        _, err = process.communicate(timeout=MINUTES)
        assert process.returncode == 0, err
    for work in ("one", "two"):
        assert len(list(Path(work).glob("runs/*/predictions.csv"))) == 1
        assert len(list(Path(work).glob("outbox/*.eml"))) == 3


def test_two_servers_at_once_have_ports_and_folders_of_their_own(user: User) -> None:
    servers = {work: user.process("local", "up", "--work", work) for work in ("one", "two")}
    files = {work: user.folder / work / "server.json" for work in servers}
    until(lambda: all(file.exists() for file in files.values()))
    ports = {json.loads(file.read_text())["endpoint"].rpartition(":")[2] for file in files.values()}
    assert len(ports) == 2
    for work in servers:
        code, _, err = user.calls("local", "up", "--work", work)
        assert code == 3 and "is in use by another local AWS" in err
        assert f"stop it: python pipeline.py local down --work {work};" in err
    code, out, _ = user.calls("local", "down", "--work", "one")
    assert code == 0 and out.startswith(f"Ended the local AWS of one (process {servers['one'].pid}).")
    _, err = servers["one"].communicate(timeout=MINUTES)
    assert "Traceback" not in err and not files["one"].exists()
    assert user.calls("local", "down", "--work", "one")[1] == "No local AWS is running in one.\n"
    assert servers["two"].poll() is None


def test_a_server_ends_when_its_folder_is_deleted(user: User) -> None:
    server = user.process("local", "up")
    until((user.work / "server.json").exists)
    shutil.rmtree(user.work)
    _, err = server.communicate(timeout=MINUTES)
    assert server.returncode == 3 and ".local was deleted" in err and "Traceback" not in err, err


def test_a_folder_in_use_is_one_sentence_and_exit_3(user: User) -> None:
    user.work.mkdir()
    with (user.work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, out, err = user.runs()
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "is in use by another local AWS" in err
