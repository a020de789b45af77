"""`prices`, against a server with an excerpt of AWS's list; the codes in it and some prices are made up."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from golden import HERE, config_of

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.cost import prices
from stepgluon.cost.prices import KINDS, parsed, prices_of, usd

EXCERPT = HERE / "prices" / "index.csv"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder whose `REGION/index.csv` the command reads."""
    folder = tmp_path / "offers"
    (folder / "eu-central-1").mkdir(parents=True)
    (folder / "eu-central-1" / "index.csv").write_bytes(EXCERPT.read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Quiet(*given, directory=os.fspath(folder)))
    thread = threading.Thread(target=server.serve_forever, name="_read")
    thread.start()
    monkeypatch.setattr(prices, "LIST", f"http://127.0.0.1:{server.server_port}/{{}}/index.csv")
    file = tmp_path / "prices.json"
    file.write_bytes(prices.FILE.read_bytes())
    monkeypatch.setattr(prices, "FILE", file)
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_list_gives_the_prices_on_demand_of_an_hour() -> None:
    found = parsed("eu-central-1", EXCERPT.read_text("utf-8").splitlines(keepends=True))
    assert found.published == "2026-10-07"
    assert found.hours == {
        "Training": {"ml.m5.xlarge": 0.276},
        "Processing": {"ml.m5.xlarge": 0.276},
        "Hosting": {"ml.m5.large": 0.138},
    }


def test_prices_adds_the_region_to_the_file_and_keeps_the_others(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = prices_of("us-east-1")
    assert prices_of("eu-central-1").of("Training", "ml.m5.xlarge") is None
    assert main(workflow, ["prices", "--config", os.fspath(config_of("one-model"))], {}) == 0
    said = capsys.readouterr().out
    assert said.startswith("Prices of 2026-10-07 in eu-central-1: 1 for Training, 1 for Processing, 1 for Hosting.")
    found = prices_of("eu-central-1")
    assert (found.published, found.of("Training", "ml.m5.xlarge")) == ("2026-10-07", 0.276)
    assert prices_of("us-east-1") == before and before.published


def test_a_list_that_cannot_be_read_or_has_no_prices_changes_nothing(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prices", "--config", os.fspath(config_of("one-model"))]
    stored, index = prices.FILE.read_bytes(), listed / "eu-central-1" / "index.csv"
    lines = index.read_text("utf-8").splitlines(keepends=True)
    for wrong, reason in (
        ("", "has no prices in USD"),
        ("".join(lines[:6]), "has no prices in USD"),
        ("".join(lines).replace('"USD"', '"CNY"'), "has no prices in USD"),
        (None, "HTTP Error 404"),
    ):
        index.unlink() if wrong is None else index.write_text(wrong)
        assert main(workflow, words, {}) == 3
        assert reason in capsys.readouterr().err
        assert prices.FILE.read_bytes() == stored


@pytest.mark.parametrize("form", ["file:///etc/{}", "http://pricing.example.com/{}", "ftp://127.0.0.1/{}"])
def test_the_list_is_only_read_over_https(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prices, "LIST", form)
    assert main(workflow, ["prices", "--config", os.fspath(config_of("one-model"))], {}) == 3
    assert f"the price list can only be read over https ({form.format('eu-central-1')})" in capsys.readouterr().err


def test_the_file_has_a_day_and_prices_above_0_for_each_region() -> None:
    stored = json.loads(prices.FILE.read_text("utf-8"))
    assert stored["us-east-1"]["Training"]["ml.m5.xlarge"] > 0
    for region in stored.values():
        assert region.keys() - {"published"} <= set(KINDS) and region["published"] > "2026"
        assert all(price > 0 for kind in region.keys() - {"published"} for price in region[kind].values())


def test_amounts_have_two_digits_of_less_than_a_dollar() -> None:
    said = [usd(amount) for amount in (None, 0, 0.00001, 0.00384, 0.23, 1.844, 12345.678)]
    assert said == ["no price", "0.00", "less than 0.0001", "0.0038", "0.23", "1.84", "12,345.68"]
