"""`init`: from a table to a config that works as it is."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import pytest
import yaml

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.config.load import loads
from stepgluon.config.new_config import new_config, pipeline_name
from stepgluon.config.schema import PipelineConfig

Init = Callable[..., tuple[int, str, str]]
CITIES = ("Bonn", "Köln", "München")


def rents(rows: int = 600, label: str = "rent") -> str:
    """Rents that depend on the city alone; each tenth is empty."""
    lines = [f"id,Stadt,rooms,{label}"]
    for row in range(rows):
        city = row % 3
        lines.append(f"r{row:04d},{CITIES[city]},{row % 5},{'' if row % 10 == 0 else 500 * (city + 1) + row % 7}")
    return "\n".join([*lines, ""])


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Init:
    (tmp_path / "a folder").mkdir()
    monkeypatch.chdir(tmp_path / "a folder")
    forks.arrange(monkeypatch.setattr)
    Path("my rents.csv").write_text(rents(), "utf-8")

    def init(*words: str, answers: str | None = None) -> tuple[int, str, str]:
        stdin: Any = io.StringIO(answers or "")
        stdin.isatty = lambda: answers is not None
        monkeypatch.setattr("sys.stdin", stdin)
        code = main(workflow, ["init", *words], {})
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return init


def config(file: str = "pipeline-config.yml") -> PipelineConfig:
    return loads(Path(file).read_bytes(), file, None, {}).config


def test_a_column_that_splits_the_error_gives_a_model_for_each_of_its_values(init: Init) -> None:
    code, out, err = init("my rents.csv", "--label", "rent")
    assert (code, err) == (0, "")
    assert out == (
        "Label rent: 60 of 600 rows are empty, and will be predicted.\n"
        "3 models, one for each Stadt: guessing each value's median is off by 1.711, the overall median by 333.9.\n"
        "Wrote pipeline-config.yml and pipeline-config.schema.json.\n"
        "Next: python pipeline.py run --data 'my rents.csv'\n"
    )
    made = config()
    assert made.name == "my-rents"
    assert [(model.name, model.where, model.label, model.drop) for model in made.models] == [
        ("Bonn", {"Stadt": "Bonn"}, "rent", ["id"]),
        ("Koln", {"Stadt": "Köln"}, "rent", ["id"]),
        ("Munchen", {"Stadt": "München"}, "rent", ["id"]),
    ]
    lines = Path("pipeline-config.yml").read_text("utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=pipeline-config.schema.json"
    assert len(lines) <= 14
    assert json.loads(Path("pipeline-config.schema.json").read_text("utf-8"))["title"] == "stepgluon pipeline"


def test_the_command_that_comes_next_takes_the_new_config(init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    out = init("my rents.csv", "--label", "rent", "--out", "new configs/rents of june.yml")[1]
    line = out.splitlines()[-1]
    assert line == "Next: python pipeline.py run --data 'my rents.csv' --config 'new configs/rents of june.yml'"
    words = shlex.split(line)[3:]
    assert words[:3] == ["run", "--data", "my rents.csv"]
    assert main(workflow, ["validate", *words[3:]], {}) == 0
    first = Path("new configs/rents of june.yml").read_text("utf-8").splitlines()[0]
    assert first.endswith("$schema=rents%20of%20june.schema.json")


def test_an_existing_file_is_kept_unless_forced(init: Init) -> None:
    Path("pipeline-config.yml").write_text("mine", "utf-8")
    code, out, err = init("my rents.csv", "--label", "rent")
    assert (code, out) == (2, "")
    assert err == (
        "error: pipeline-config.yml exists (write another file with --out my-rents.yml, or overwrite it with --force)\n"
    )
    assert Path("pipeline-config.yml").read_text("utf-8") == "mine"
    assert init("my rents.csv", "--label", "rent", "--force")[0] == 0
    assert config().name == "my-rents"


def test_off_a_terminal_the_columns_to_predict_are_listed_those_with_gaps_first(init: Init) -> None:
    code, out, err = init("my rents.csv")
    assert (code, out) == (2, "")
    assert err == (
        "error: stdin is not a terminal; name the column to predict with --label "
        "(columns with gaps or numbers: rent (60 gaps), rooms)\n"
    )
    assert not list(Path().glob("*.yml"))


def test_on_a_terminal_the_label_is_chosen_by_number_or_name_until_it_fits(init: Init) -> None:
    code, out, err = init("my rents.csv", answers="rend\n1\n")
    assert code == 0 and "Label rent: " in out
    assert err.splitlines() == [
        "Which column should be predicted?",
        "   1  rent   60 of 600 rows empty",
        "   2  rooms",
        "Its name or number (Enter: rent):",
        "'rend': there is no such column (did you mean rent?)",
        "Its name or number (Enter: rent):",
    ]
    assert init("my rents.csv", "--force", answers="rooms\n")[0] == 0
    assert config().models[0].label == "rooms"
    assert init("my rents.csv", "--force", answers="")[0] == 2
    assert init("my rents.csv", "--force", answers="\n")[0] == 0
    assert config().models[0].label == "rent"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("rend", "error: --label 'rend': there is no such column (did you mean rent?)\n"),
        ("", "error: --label '': there is no such column (columns with gaps or numbers: rent (60 gaps), rooms)\n"),
    ],
)
def test_a_label_that_is_not_there_is_named(init: Init, label: str, said: str) -> None:
    assert init("my rents.csv", "--label", label) == (2, "", said)


def test_a_label_of_texts_is_proposed_as_classes_with_a_metric(init: Init) -> None:
    code, out, _ = init("my rents.csv", "--label", "Stadt")
    assert code == 0
    assert "One model of 3 classes: always guessing " in out
    (model,) = config().models
    assert (model.label, model.metric, model.drop) == ("Stadt", "accuracy", ["id"])
    assert config().limit_of(model) == ("at_least", 0.47)


def test_a_label_of_two_values_is_proposed_as_classes(init: Init) -> None:
    Path("t.csv").write_text("a,left\n" + "".join(f"{n % 9},{n % 2}\n" for n in range(50)), "utf-8")
    assert init("t.csv", "--label", "left")[0] == 0
    (model,) = config().models
    assert (model.metric, model.at_least, config().fallback.better_than_median) == ("roc_auc", 0.6, None)


def test_a_date_of_each_row_is_not_an_identifier(init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    days = [f"{n % 28 + 1:02}.{n // 28 + 1:02}.2024" for n in range(60)]
    Path("t.csv").write_text("day,id,y\n" + "".join(f"{day},k{n},{n % 9}\n" for n, day in enumerate(days)), "utf-8")
    assert init("t.csv", "--label", "y")[0] == 0
    assert config().models[0].drop == ["id"]
    assert main(workflow, ["check", "--data", "t.csv"], {}) == 0
    said = capsys.readouterr().out
    assert "'day' looks like a date" in said and "an identifier?" not in said


def test_a_label_of_numbers_with_texts_in_between_is_refused_with_its_rows(init: Init) -> None:
    Path("t.csv").write_text("a,y\n" + "".join(f"1,{n}\n" for n in range(200)) + "1,about 7\n", "utf-8")
    code, _, err = init("t.csv", "--label", "y")
    assert code == 1
    assert "column 'y' is the label of model 'y' and must hold numbers, but 1 row holds text: row 201 (line 202)" in err
    assert "To learn classes, set metric: accuracy." in err
    assert not Path("pipeline-config.yml").exists()


def test_a_label_with_another_sign_for_gaps_is_refused_with_its_rows(init: Init) -> None:
    Path("t.csv").write_text("a,y\n" + "".join(f"1,{n if n % 5 else '-'}\n" for n in range(60)), "utf-8")
    code, _, err = init("t.csv", "--label", "y")
    assert code == 1
    assert "must hold numbers, but 12 rows hold text: row 1 (line 2): '-'" in err


@pytest.mark.parametrize(
    ("table", "code", "said"),
    [
        ("a,y\n", 1, "error: t.csv has a header but no rows; rows are needed to propose a model.\n"),
        ("a,y\n1,2\n3,\n", 2, "error: --label 'y': 1 row has a value (at least 5 are needed to train a model)\n"),
        ("a,y\n1,\n3,\n", 2, "error: --label 'y': 0 rows have a value (at least 5 are needed to train a model)\n"),
        (
            "a,y\n" + "1,7\n2,\n3,7.0\n" * 9,
            *(2, "error: --label 'y': all 18 rows with a value have 7 (choose a column whose values differ)\n"),
        ),
        (
            "a,y\n" + "1,yes\n2,\n" * 9,
            *(2, "error: --label 'y': all 9 rows with a value have 'yes' (choose a column whose values differ)\n"),
        ),
        (
            "a, y \n1,2\n",
            *(2, "error: --label 'y': there is no such column (did you mean ' y '?)\n"),
        ),
        ("y\n1\n2\n", 2, "error: --label 'y': the tables have no other column (add columns to learn from)\n"),
        ("", 1, "error: t.csv is empty; a header line and rows are expected.\n"),
        (None, 2, "error: t.csv: there is no such file\n"),
    ],
)
def test_a_table_that_no_model_can_learn_from_is_refused(init: Init, table: str | None, code: int, said: str) -> None:
    if table is not None:
        Path("t.csv").write_text(table, "utf-8")
    assert init("t.csv", "--label", "y") == (code, "", said)
    assert not Path("pipeline-config.yml").exists()


def test_a_table_without_gaps_and_numbers_has_nothing_to_predict(init: Init) -> None:
    Path("t.csv").write_text("a,b\nx,y\n", "utf-8")
    said = "error: the tables have nothing to predict (no gaps and no numbers)\n"
    assert init("t.csv", answers="a\n") == (2, "", said)


def test_a_column_of_texts_with_gaps_is_offered(init: Init) -> None:
    Path("t.csv").write_text("a,left\n" + "".join(f"{n % 9},{('yes', 'no', '')[n % 3]}\n" for n in range(60)), "utf-8")
    code, _, err = init("t.csv", answers="\n")
    assert code == 0
    assert err.splitlines()[1:] == ["   1  left  20 of 60 rows empty", "   2  a", "Its name or number (Enter: left):"]
    assert config().models[0].metric == "roc_auc"


def test_without_a_column_that_splits_the_error_there_is_one_model(init: Init) -> None:
    Path("flat.csv").write_text("a,b,y\n" + "".join(f"{n % 2},{n % 7},{n % 11}\n" for n in range(200)), "utf-8")
    code, out, _ = init("flat.csv", "--label", "y")
    assert code == 0
    assert "Label y: none of 200 rows is empty, so a run evaluates models and predicts nothing.\nOne model: " in out
    assert [(model.name, model.where) for model in config().models] == [("y", {})]


@pytest.mark.parametrize("value", ["Bonn,,", "Ulm,1,"])
def test_a_column_that_would_leave_rows_without_a_model_does_not_split_them(init: Init, value: str) -> None:
    """With gaps in the column, or a value with too few labelled rows."""
    Path("my rents.csv").write_text(rents() + f"r9999,{value}\n".replace("Bonn,,", ",,"), "utf-8")
    assert init("my rents.csv", "--label", "rent")[0] == 0
    assert [model.where for model in config().models] == [{}]


@pytest.mark.parametrize(
    ("rows", "said"), [(0, "0 rows with Stadt = Ulm have"), (1, "1 row with Stadt = Ulm has"), (99, "99 rows")]
)
def test_a_value_with_too_few_labels_is_named(init: Init, rows: int, said: str) -> None:
    more = "".join(f"s{n},Ulm,1,{900 + n if n < rows else ''}\n" for n in range(100))
    Path("my rents.csv").write_text(rents() + more, "utf-8")
    (line,) = (line for line in init("my rents.csv", "--label", "rent")[1].splitlines() if line.startswith("One model"))
    assert line.startswith(f"One model: Stadt would split the rows well, but {said}")
    assert line.endswith(" a value in rent; a model of its own needs 100.")


def test_values_that_would_give_two_models_one_name_do_not_split_the_rows(init: Init) -> None:
    Path("my rents.csv").write_text(rents().replace("Köln", "a b").replace("Bonn", "a-b"), "utf-8")
    assert init("my rents.csv", "--label", "rent")[0] == 0
    assert len(config().models) == 1


def test_semicolons_and_decimal_commas_are_read_and_said(init: Init) -> None:
    text = "Stadt;Miete\n" + "".join(f"{CITIES[n % 3]};{n}{',5' if n % 10 else ''}\n" for n in range(300))
    Path("german.csv").write_text(text, "utf-8")
    code, out, _ = init("german.csv", "--label", "Miete")
    assert code == 0
    assert out.startswith("german.csv: read with ; as separator (data.separator)\n")


def test_a_wrong_guess_about_a_file_is_corrected_by_an_option_that_the_config_keeps(init: Init) -> None:
    Path("t.csv").write_text("x;y,z\n" + "1;2,5\n1;3,5\n" * 30, "utf-8")
    assert init("t.csv", "--label", "y,z") == (
        *(1, ""),
        "error: t.csv: the columns may be separated by comma or semicolon; set --separator to one.\n",
    )
    code, _, err = init("t.csv", "--label", "y,z", "--separator", "semicolon", "--decimal", "comma")
    assert (code, err) == (0, "")
    data = config().data
    assert (data.separator, data.decimal, data.encoding) == ("semicolon", "comma", "auto")


def test_a_misspelled_file_is_named_with_the_one_beside_it(init: Init) -> None:
    assert init("my rent.csv")[2] == "error: my rent.csv: there is no such file (did you mean my rents.csv?)\n"
    assert (
        init("../a folder")[2]
        == "error: ../a folder: this is a folder (name the tables in it, like '../a folder'/*.csv)\n"
    )


@pytest.mark.parametrize(
    "label",
    [*('say "x"', "it's: #1", "no", "{a}", "${HOME}", "体重", "010", "-", "a\u2028b", "a\u00a0b", "🐧 \\n", "null")],
)
def test_an_odd_label_is_written_so_that_it_is_read_again(label: str) -> None:
    found = {"identifiers": [label + "2"], "splits": False, "best": None, "error_of_median": 1.0}
    text, _ = new_config("p", label, found, "p.json", "init\u2028x", {})
    read = loads(text, "p.yml", None, {}).config
    assert (read.models[0].label, read.models[0].drop) == (label, [label + "2"])
    best = {"column": label, "values": [label, "b"], "error": 0.5}
    text, split = new_config("p", "y", {**found, "identifiers": [], "splits": True, "best": best}, "p.json", "init", {})
    assert split
    assert [model.where for model in loads(text, "p.yml", None, {}).config.models] == [{label: label}, {label: "b"}]
    assert yaml.safe_load(text.replace("$${", "${"))["models"]["values"] == [label, "b"]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("2024 Übersicht", "ubersicht"),
        ("日本", "pipeline"),
        ("sthree-a", "pipeline"),
        ("a" * 30, "a" * 20),
        ("my_data-", "my-data"),
        ("", "pipeline"),
        ("a-name-of-19-chars-and-more", "a-name-of-19-chars-a"),
    ],
)
def test_a_pipeline_is_named_after_its_table(stem: str, name: str) -> None:
    assert pipeline_name(stem) == name
    assert loads(f"name: {name}\nmodels: [{{name: a, label: y}}]\n", "x.yml", None, {}).config.name == name
