"""Which run of the work folder a name, a prefix or `latest` means; no server is started."""

from __future__ import annotations

import fcntl
import json
import time
from pathlib import Path

import pytest
from test_run import CONFIG

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.runs.run_list import started


class Folder:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        Path("pipeline-config.yml").write_text(CONFIG)
        Path("seals.yml").write_text(CONFIG.replace("name: penguins", "name: seals"))

    def has(self, pipeline: str, run: str, started: float, status: str = "SUCCEEDED") -> None:
        folder = Path(".local/runs") / run
        folder.mkdir(parents=True)
        told = {"run": run, "arn": f"arn:aws:states:eu-west-1:123456789012:execution:{pipeline}:{run}"}
        told |= {"status": status, "started": started, "seconds": 1.0, "data": "", "note": "", "models": []}
        told |= {"jobs": [], "failure": None, "lines": [], "results": None, "folder": str(folder), "outbox": "outbox"}
        told |= dict.fromkeys(("rows", "predictions", "gaps"))  # type: ignore[arg-type] # the values are of any type
        (folder / "run.json").write_text(json.dumps(told))

    def calls(self, *words: str) -> tuple[int, str, str]:
        code = main(workflow, words, {})
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def shows(self, *words: str) -> str:
        code, out, err = self.calls("show", *words, "--json")
        assert code == 0, err
        return str(json.loads(out)["run"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stepgluon.cli.runs.there_are_credentials", lambda: False)
    folder = Folder(capsys)
    folder.has("penguins", "penguins-b1", 1.0)
    folder.has("penguins", "penguins-a2", 2.0)
    folder.has("seals", "seals-3", 3.0)
    return folder


def test_latest_is_the_configs_run_that_started_last(folder: Folder) -> None:
    assert folder.shows("latest") == "penguins-a2"
    assert folder.shows("latest", "--config", "seals.yml") == "seals-3"
    code, out, _ = folder.calls("watch", "latest")
    assert (code, out.splitlines()[1]) == (0, "Run penguins-a2 finished after 1.0 s.")


def test_latest_of_a_pipeline_without_runs_names_it(folder: Folder) -> None:
    Path("whales.yml").write_text(CONFIG.replace("name: penguins", "name: whales"))
    for command in ("show", "watch", "redrive", "promote"):
        assert folder.calls(command, "latest", "--config", "whales.yml") == (
            2,
            "",
            "error: .local has no runs of whales, only of penguins and seals "
            "(name their config with --config, or start a run: "
            "python pipeline.py run --data FILE --config whales.yml)\n",
        )


def test_a_server_that_is_starting_or_ending_keeps_no_run_from_being_shown(folder: Folder) -> None:
    with Path(".local/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert folder.shows("penguins-a2") == "penguins-a2"
        code, out, _ = folder.calls("watch", "penguins-a2")
    assert (code, out.splitlines()[1]) == (0, "Run penguins-a2 finished after 1.0 s.")


def test_a_folder_in_use_names_the_run_that_uses_it(folder: Folder) -> None:
    since = time.time() - 100
    folder.has("penguins", "penguins-now", since, "RUNNING")
    Path("a.csv").write_text("species,y\nAdelie,1\n", "utf-8")
    with Path(".local/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (("run", "--data", "a.csv"), ("local", "up")):
            code, _, err = folder.calls(*words)
            assert code == 3
            assert "error: .local is in use: the run penguins-now has been running for " in err
            assert f", since {started(since)}" in err
            assert "(follow it: python pipeline.py watch penguins-now; or stop it with Ctrl-C in its terminal, " in err


def test_a_unique_prefix_means_its_run_and_an_exact_name_wins(folder: Folder) -> None:
    assert folder.shows("penguins-b") == "penguins-b1"
    folder.has("penguins", "penguins-b1-again-2", 4.0)
    assert folder.shows("penguins-b1") == "penguins-b1"
    assert folder.shows("penguins-b1-") == "penguins-b1-again-2"


def test_an_ambiguous_prefix_names_the_candidates_latest_first(folder: Folder) -> None:
    said = "error: penguins- fits 2 runs of .local: penguins-a2 or penguins-b1 (give more of the name)\n"
    for command in ("show", "watch", "redrive", "promote"):
        assert folder.calls(command, "penguins-") == (2, "", said)


def test_a_prefix_never_means_a_run_of_another_pipeline(folder: Folder) -> None:
    assert folder.shows("seals-3") == "seals-3"
    code, out, err = folder.calls("show", "seals-")
    assert (code, out) == (2, "")
    assert err == "error: .local has no run seals- (did you mean seals-3?)\n"


def test_without_a_valid_config_a_folder_of_several_pipelines_asks_for_one(folder: Folder) -> None:
    Path("pipeline-config.yml").write_text("name: [")
    assert folder.shows("penguins-b1") == "penguins-b1"
    code, _, err = folder.calls("show", "latest")
    assert (code, err) == (2, "error: .local has runs of penguins and seals: choose one with --config and --env\n")
    for file in Path(".local/runs/seals-3").iterdir():
        file.unlink()
    Path(".local/runs/seals-3").rmdir()
    assert folder.shows("latest") == "penguins-a2"


def test_a_folder_that_does_not_exist_is_named(folder: Folder) -> None:
    said = "error: the folder .locla does not exist (--work names the folder of local runs)\n"
    for words in (("runs",), ("show", "latest"), ("promote", "penguins-b1")):
        assert folder.calls(*words, "--work", ".locla") == (2, "", said)


@pytest.mark.parametrize("command", ["show", "watch", "promote", "redrive"])
def test_a_damaged_run_is_named_and_not_looked_for_in_an_account(
    folder: Folder, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepgluon.cli.runs.there_are_credentials", lambda: True)
    Path(".local/runs/penguins-b1/run.json").unlink()
    said = "error: run.json in .local/runs/penguins-b1 is damaged (its history, logs and results are beside it)\n"
    assert folder.calls(command, "penguins-b1") == (2, "", said)


@pytest.mark.parametrize(
    ("run", "advice"),
    [
        ("penguins-9", "  next     python pipeline.py local up\n           continues it, and so does the command that"),
        ("penguins-9-again-2", "  next     python pipeline.py redrive penguins-9-again-2\n           continues it\n"),
    ],
)
def test_a_run_that_was_cut_off_has_a_next_step(folder: Folder, run: str, advice: str) -> None:
    folder.has("penguins", run, 9.0, "RUNNING")
    for command in ("show", "watch"):
        _, out, _ = folder.calls(command, run)
        assert f"Run {run} was cut off after 1.0 s." in out and advice in out


def test_a_run_whose_bucket_is_gone_is_not_promoted(folder: Folder) -> None:
    said = "error: .local/buckets is gone, and the models of its runs with it (start a new run)\n"
    assert folder.calls("promote", "penguins-b1") == (3, "", said)
