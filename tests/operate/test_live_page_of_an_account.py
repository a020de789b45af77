"""The live page of an account's runs, as `watch --open` serves it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from account import Account
from local_aws import MINUTES
from test_account import account, all_faults, faults, place

from stepgluon.live import page
from stepgluon.live.account import AccountRuns

__all__ = ["account", "all_faults", "faults", "place"]


def got(address: str) -> tuple[int, str]:
    """What a browser gets for an address that a person opens."""
    request = urllib.request.Request(address, headers={"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"})
    try:
        with urllib.request.urlopen(request, timeout=MINUTES) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, ""


def states(root: str, token: str, run: str) -> Iterator[dict[str, Any]]:
    """The page's events until the server ends."""
    query = urllib.parse.urlencode({"token": token, "run": run})
    request = urllib.request.Request(f"{root}/_live/events?{query}", headers={"Sec-Fetch-Site": "same-origin"})
    with urllib.request.urlopen(request, timeout=MINUTES) as stream:
        yield from (json.loads(line[6:])["state"] for line in stream if line.startswith(b"data: {"))


def test_watch_open_serves_the_page_until_the_run_has_ended(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    go, seen, over = account.folder / "go", dict[str, Any](), threading.Event()

    def look(address: str) -> None:
        """In place of a browser."""
        address, _, seen["run"] = address.partition("#")
        root, _, token = address.partition("/?token=")
        seen["states"] = []
        try:
            seen["page"], seen["without a token"] = got(address), got(f"{root}/")
            for state in states(root, token, seen["run"]):
                seen["states"].append(state)
                go.touch()
        except Exception as problem:  # a thread's: the test shows it
            seen["problem"] = repr(problem)
        finally:
            go.touch()
            over.set()

    monkeypatch.setattr(page, "CLOSING_SECONDS", MINUTES)
    account.orders(train_adelie=f"wait for {go}, then ")
    monkeypatch.setattr("webbrowser.open", look)
    run = account.starts()
    code, _, err = account.calls("watch", run, "--open")
    assert over.wait(MINUTES), err
    assert seen.get("problem") is None, err
    assert code == 0 and "The live page is at http://127.0.0.1:" in err
    assert seen["run"] == run and seen["page"][0] == 200 and "<!doctype html>" in seen["page"][1]
    assert seen["without a token"] == (403, ""), "another user of this computer has none"
    first, last = seen["states"][0], seen["states"][-1]
    assert first["run"]["stop"] and not last["run"]["stop"] and last["run"]["promote"]
    assert last["headline"].endswith("2 of 2 models accepted")
    assert last["place"] == "account 123456789012, eu-west-1"
    assert last["recipients"] == ", ".join(account.names.config.notify) and last["mails"] == []
    assert first["run"].get("report") is None
    with urllib.request.urlopen(last["run"]["report"], timeout=MINUTES) as report:
        assert report.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "predictions" in report.read().decode()
    assert "X-Amz-Expires=3600" in last["run"]["report"], "an older signature would not open an encrypted file"

    runs = AccountRuns(account.place.aws, account.names)
    told = runs.run(run)
    assert told is not None
    job = next(job for job in told["jobs"] if job["state"] == "Train adelie")
    assert [line.partition(" on ")[0] for line in runs.log(told, job)] == ["waiting", "training adelie"]
    assert runs.promote(run) == "Promoted adelie (MAE 200), gentoo (MAE 200)."


def test_stop_ends_a_run_of_the_account(account: Account) -> None:
    account.orders(prepare="hang")
    run = account.starts()
    runs = AccountRuns(account.place.aws, account.names)
    assert runs.stop(run) == "Stopping the run and its jobs."
    assert account.ended(run) == "ABORTED"
