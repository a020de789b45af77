"""`redrive` and `watch` on this computer, without the cache of jobs: what does not run was found."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from account import Picky, until
from local_aws import MINUTES
from test_run import User


def redriven(user: User, run: str, *words: str) -> dict[str, Any]:
    code, out, err = user.calls("redrive", run, "--json", *words)
    told: dict[str, Any] = json.loads(out) if out else {}
    return {**told, "code": code, "err": err}


def states(told: dict[str, Any]) -> list[str]:
    return sorted(job["state"] for job in told["jobs"])


def failed(user: User, faults: Picky, job: str) -> str:
    faults.unwanted = job
    told = user.once(job, user.told)
    assert told["code"] == 1, told
    return str(told["run"])


def failed_at_the_gate(user: User) -> tuple[str, Path]:
    """A run whose last job failed, and will wait in a redrive until this file is there."""
    gate = user.shared / "gate"
    gate.touch()
    user.orders(post=f"wait for {gate}, then exit 1")
    run = str(user.once("gate", user.told)["run"])
    gate.unlink()
    return run, gate


def wait_at_the_gate(user: User, run: str) -> None:
    until(lambda: any("waiting" in log.read_text() for log in user.work.glob(f"runs/{run}/logs/[!.]*")))


ALL = ["Post-process", "Predict adelie", "Predict gentoo", "Prepare data", "Train adelie", "Train gentoo"]


@pytest.mark.parametrize(
    ("job", "repeated"),
    [
        ("-post-", ["Post-process", "Prepare data"]),
        ("-predict-gentoo-", ["Post-process", "Predict gentoo", "Prepare data"]),
        ("-prepare-", ALL),
    ],
)
def test_only_what_did_not_finish_is_repeated(user: User, faults: Picky, job: str, repeated: list[str]) -> None:
    run = failed(user, faults, job)
    faults.unwanted = ""
    told = redriven(user, run)
    assert (told["code"], told["status"], states(told)) == (0, "SUCCEEDED", repeated), told["err"]
    assert told["run"] == f"{run}-again-2"
    assert user.result(told)["predicted"] == ["adelie", "gentoo"]
    assert user.kinds()[2 if job == "-prepare-" else 3 :].count("started") == 1
    assert user.kinds().count("finished") == 1


def test_the_panel_tells_what_is_repeated(user: User, faults: Picky) -> None:
    run = failed(user, faults, "-post-")
    assert f"python pipeline.py redrive {run}" in user.mails()[-1][1]
    faults.unwanted = ""
    code, out, err = user.calls("redrive", run)
    assert code == 0, err
    assert f"Run {run}-again-2 repeats {run} (reuses its models and predictions).\n" in err
    assert f"Run {run}-again-2 finished" in out
    assert re.search(r"adelie +200 g +350 +accepted, cached +the trained model, cached", out)
    assert f"python pipeline.py promote {run}-again-2\n" in out


def test_a_redrive_of_a_run_that_was_fresh_runs_every_job(user: User, faults: Picky) -> None:
    user.good()
    faults.unwanted = "-post-"
    run = user.told("--fresh")["run"]
    faults.unwanted = ""
    told = redriven(user, run)
    assert (told["status"], states(told)) == ("SUCCEEDED", ALL)
    assert "fresh: repeats every job" in told["err"]


def test_a_redrive_that_fails_can_be_redriven_by_either_name(user: User, faults: Picky) -> None:
    run = failed(user, faults, "-post-")
    second = redriven(user, run)
    assert (second["code"], second["status"], set(states(second))) == (1, "FAILED", {"Post-process", "Prepare data"})
    faults.unwanted = ""
    third = redriven(user, second["run"])
    assert (third["run"], third["status"]) == (f"{run}-again-3", "SUCCEEDED")
    assert user.calls("redrive", run)[0] == 1
    assert f"{run}-again-3 has finished" in user.calls("redrive", run)[2]


def test_a_redriven_runs_models_are_promoted_by_either_name(user: User, faults: Picky) -> None:
    run = failed(user, faults, "-post-")
    faults.unwanted = ""
    again = redriven(user, run)["run"]
    for name, promoted in ((run, run), (again, again), ("latest", again)):
        code, out, err = user.calls("promote", name)
        assert (code, out) == (0, f"Promoted from run {promoted}: adelie (MAE 200), gentoo (MAE 200).\n"), err


def test_the_models_that_a_failed_run_accepted_can_be_promoted(user: User) -> None:
    user.orders(train_gentoo="exit 1")
    bad = user.told()
    assert bad["failure"]["state"] == "Choose models", "which is before the verdicts are recorded"
    code, out, err = user.calls("promote", bad["run"])
    assert (code, out) == (0, f"Promoted from run {bad['run']}: adelie (MAE 200).\n"), err


def test_a_model_that_was_missing_is_found_after_another_run_was_promoted(user: User) -> None:
    good = user.good()
    user.orders(train_gentoo="exit 1")
    bad = user.told()
    assert "No model can predict for gentoo" in bad["failure"]["sentence"]
    user.calls("promote", good["run"])
    told = redriven(user, bad["run"])
    assert told["status"] == "SUCCEEDED", told["err"]
    assert states(told) == ["Post-process", "Predict adelie", "Predict gentoo", "Prepare data", "Train gentoo"]
    assert told["models"][1]["default_of_run"] == good["run"]


def test_what_cannot_be_redriven_is_told_in_one_sentence(user: User) -> None:
    good = user.good()["run"]
    code, out, err = user.calls("redrive", good)
    assert (code, out) == (1, "")
    assert err == f"error: {good} has finished, so there is nothing to repeat (start a new run)\n"
    assert user.calls("redrive", "nothing")[0] == 2


def test_a_redrive_has_the_models_that_the_config_has_now(user: User, faults: Picky) -> None:
    run = failed(user, faults, "-post-")
    user.config.write_text(user.config.read_text().replace("[adelie, gentoo]", "[adelie, chinstrap]"))
    faults.unwanted = ""
    told = redriven(user, run)
    assert (told["status"], user.result(told)["predicted"]) == ("SUCCEEDED", ["adelie", "chinstrap"]), told["err"]
    assert "Train adelie" not in states(told)


def test_a_server_that_is_at_work_on_the_folder_does_the_redrive(user: User) -> None:
    user.orders(post="exit 1")
    run = user.once("exit", user.told)["run"]
    server = user.process("local", "up")
    until((user.work / "server.json").exists)
    told = redriven(user, run)
    assert (told["code"], told["run"], states(told)) == (1, f"{run}-again-2", ["Post-process", "Prepare data"]), told[
        "err"
    ]
    assert "post does not like the data" in told["failure"]["sentence"]
    assert user.calls("watch", told["run"])[0] == 1
    assert server.poll() is None


def test_a_redrive_is_followed_as_the_run_was(user: User, faults: Picky) -> None:
    run = failed(user, faults, "-predict-gentoo-")
    process = user.process("redrive", run)  # with the cache of jobs, as users have it
    _, err = process.communicate(timeout=MINUTES)
    assert process.returncode == 0, err
    for said in (r"Prepare data +[\d.]+ s  cached", "Train adelie +cached", "Predict adelie +cached"):
        assert re.search(rf"^ +[\d.]+ s  {said}$", err, re.MULTILINE), err
    assert re.search(r"^ +[\d.]+ s  Predict gentoo +[\d.]+ s$", err, re.MULTILINE), err


def test_a_full_disk_is_told_of_a_redrive_too(user: User, faults: Picky) -> None:
    run = failed(user, faults, "-post-")
    faults.unwanted, faults.disk_full_for = "", "-post-"
    told = redriven(user, run)
    assert told["code"] == 3, told
    assert "the disk of .local is full" in told["err"]


@pytest.mark.parametrize(
    ("served", "said", "status"),
    [(False, "Stopping the run and its jobs.", "ABORTED"), (True, "The run continues. Follow it: ", "RUNNING")],
)
def test_ctrl_c_ends_a_redrive_that_is_its_own_and_leaves_one_that_a_server_does(
    user: User, served: bool, said: str, status: str
) -> None:
    run, _ = failed_at_the_gate(user)
    if served:
        user.process("local", "up")
        until((user.work / "server.json").exists)
    process = user.process("redrive", run)
    wait_at_the_gate(user, f"{run}-again-2")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=MINUTES)
    assert process.returncode == 130, err
    assert said in err
    assert json.loads(user.calls("show", f"{run}-again-2", "--json")[1])["status"] == status


def test_watching_a_run_that_has_ended_tells_its_end(user: User, faults: Picky) -> None:
    good = user.good()["run"]
    code, out, _ = user.calls("watch", good)
    assert code == 0
    assert f"Run {good} finished" in out
    faults.unwanted = "-post-"
    bad = user.told()["run"]
    code, out, _ = user.calls("watch", "latest")
    assert code == 1
    assert f"python pipeline.py redrive {bad}" in out


def test_a_redrive_that_was_cut_off_goes_on_when_the_same_command_is_called_again(user: User) -> None:
    run, gate = failed_at_the_gate(user)
    process = user.process("redrive", "latest")
    wait_at_the_gate(user, f"{run}-again-2")
    process.kill()
    process.communicate()
    gate.touch()
    told = redriven(user, "latest")
    assert (told["code"], told["run"], states(told)) == (1, f"{run}-again-2", ["Post-process", "Prepare data"])
    assert f"Continuing run {run}-again-2, which was cut off." in told["err"]


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGKILL, 3, "error: the local AWS of .local has ended; its runs were cut off (`python pipeline.py"),
        (signal.SIGTERM, 1, "-again-2 was stopped"),
    ],
)
def test_who_watches_is_told_when_the_server_has_ended(user: User, number: int, code: int, said: str) -> None:
    run, _ = failed_at_the_gate(user)
    server = user.process("local", "up")
    until((user.work / "server.json").exists)
    following = [user.process("redrive", run)]
    wait_at_the_gate(user, f"{run}-again-2")
    following.append(user.process("watch", f"{run}-again-2"))
    assert following[1].stderr is not None
    following[1].stderr.readline()
    server.send_signal(number)
    for process in following:
        out, err = process.communicate(timeout=MINUTES)
        assert process.returncode == code, err
        assert said in out + err
        assert "Traceback" not in err


def test_a_run_whose_input_is_lost_is_not_looked_for_in_an_account(user: User) -> None:
    user.orders(post="exit 1")
    run = str(user.once("exit", user.told)["run"])
    shutil.rmtree(user.work / "buckets")
    code, out, err = user.calls("redrive", run)
    assert (code, out) == (1, "")
    assert err.endswith(f"error: the input of {run} is gone from the work folder (start a new run)\n")
