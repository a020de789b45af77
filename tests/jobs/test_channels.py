"""What prepare writes for trainers other than AutoGluon, and that XGBoost reads from it what the encoding means."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import channels
import encoding
import numpy as np
import part_files
import prepare
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from channels import Channels
from job_sandbox import MODEL, Sandbox, config

XGBOOST: dict[str, Any] = {"name": "xgboost", "version": "3.0-5", "image": "i", "set": {"num_round": 10}}
XGBOOST |= {"channels": ["train"], "encoded": True}
STOPPING = XGBOOST | {"channels": ["train", "validation"]}
OWN: dict[str, Any] = {"name": "container", "image": "i", "set": {}, "channels": STOPPING["channels"], "encoded": False}
HEADER = "when,y,side,a,ok,empty\n"


def table(count: int) -> str:
    lines = [
        f"2026-03-{1 + n % 28:02},{n if n % 10 else ''},{'north' if n % 3 else 'south'},{n / 4},{n % 2 == 0},"
        for n in range(count)
    ]
    return HEADER + "\n".join(lines) + "\n"


def prepared(box: Sandbox, algorithm: dict[str, Any] | None, rows: str | None = None, **model: Any) -> Path:
    """The model's folder after the job."""
    box.write("rows.csv", rows or table(200))
    box.configure(config(model | ({"algorithm": algorithm} if algorithm else {})))
    prepare.main()
    return box.out / "models/all"


def lines(folder: Path, channel: str) -> list[list[str]]:
    files = sorted((folder / "channels" / channel).iterdir())
    return [line for file in files for line in csv.reader(file.read_text().splitlines())]


def training_rows(folder: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in part_files.part_paths(folder / "train"))


def test_a_model_of_autogluon_has_no_channels(sandbox: Sandbox) -> None:
    folder = prepared(sandbox, None)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "test", "train"]


def test_xgboost_gets_the_label_and_the_encoded_columns_of_the_training_rows_alone(sandbox: Sandbox) -> None:
    folder = prepared(sandbox, XGBOOST)
    assert [path.name for path in (folder / "channels").iterdir()] == ["train"]
    rows, made = training_rows(folder), encoding.load(folder / "encoding.json")
    assert made.types() == {"when": "date32[day]", "side": "string", "a": "double", "ok": "bool"}
    wanted = np.column_stack([rows["y"].to_numpy(), made.matrix(rows)])
    assert np.array_equal(np.array(lines(folder, "train"), np.float64), wanted)
    assert lines(folder, "train")[0] == ["1", "1", "0", "0.25", "0"]


def test_xgboost_itself_reads_the_numbers_and_the_missing_ones(sandbox: Sandbox) -> None:
    import xgboost

    rows = "a,b,y,c\n" + "".join(
        f"{'' if n % 4 == 0 else n / 10},{'' if n % 3 == 0 else n * 1e7},{n},{'' if n % 5 == 0 else n}\n"
        for n in range(60)
    )
    folder = prepared(sandbox, XGBOOST, rows)
    file = folder / "channels/train/part-00000.csv"
    with xgboost.config_context(verbosity=0):  # it warns that AWS's container still reads text files
        read = xgboost.DMatrix(f"{file}?format=csv&label_column=0&delimiter=,")
    known = training_rows(folder)
    wanted = encoding.load(folder / "encoding.json").matrix(known)
    assert (read.num_row(), read.num_col()) == wanted.shape
    assert read.num_nonmissing() == (~np.isnan(wanted)).sum()
    # XGBoost's reader of CSV rounds some decimals to the neighbouring number
    assert np.allclose(read.get_data().toarray(), np.nan_to_num(wanted), rtol=2e-7)
    assert read.get_label().tolist() == known["y"].to_pylist()


@pytest.mark.parametrize("algorithm", [STOPPING, OWN])
def test_validation_rows_are_a_share_of_the_training_rows(sandbox: Sandbox, algorithm: dict[str, Any]) -> None:
    folder = prepared(sandbox, algorithm)
    header = 0 if algorithm["encoded"] else 1
    train, validation = (lines(folder, channel)[header:] for channel in ("train", "validation"))
    labels = [{float(line[0]) for line in part} for part in (train, validation)]
    assert (len(train), len(validation)) == (115, 29), "144 rows to learn from, a fifth of them for validation"
    assert labels[0] | labels[1] == set(training_rows(folder)["y"].to_pylist())
    assert not labels[0] & labels[1]


def test_the_encoding_knows_nothing_of_validation_rows(sandbox: Sandbox) -> None:
    rows = "t,y\n" + "".join(f"t{n},{n}\n" for n in range(100))
    folder = prepared(sandbox, STOPPING, rows)
    known = {line[0] for line in lines(folder, "train")}
    assert all(line[1] == "" for line in lines(folder, "validation"))
    texts = json.loads((folder / "encoding.json").read_text())["features"][0]["texts"]
    assert {text.removeprefix("t") for text in texts} == known


def test_an_own_container_gets_values_as_they_are_below_a_header(sandbox: Sandbox) -> None:
    folder = prepared(sandbox, OWN, 'a,t,y\n1,"x, ""y""",5\n2,,6\n3,z,7\n', drop=[])
    assert (folder / "channels/train/part-00000.csv").read_text() == '"y","a","t"\n5,1,"x, ""y"""\n'
    assert not (folder / "encoding.json").exists()


def test_each_part_has_its_file_and_none_is_empty(tmp_path: Path) -> None:
    """One row alone cannot be in both channels."""
    model = MODEL | {"algorithm": STOPPING}
    parts = [pa.table({"a": [n / 2], "y": [n]}) for n in range(3)] + [pa.table({"a": [3.0] * 40, "y": [3] * 40})]
    (tmp_path / "train").mkdir()
    made = Channels(tmp_path, parts[0].schema, model, {"test_fraction": 0.25, "seed": 1})
    for number, rows in enumerate(parts):
        pq.write_table(rows, tmp_path / "train" / part_files.part_name(number))
        made.learn(rows)
    made.write()
    files = [sorted((tmp_path / "channels" / channel).iterdir()) for channel in ("train", "validation")]
    assert [[path.stem for path in each] for each in files] == [
        ["part-00000", "part-00002", "part-00003"],
        ["part-00001", "part-00003"],
    ]
    assert files[0][0].read_text() == "0,0\n" and files[1][0].read_text() == "1,0.5\n"
    assert sum(len(path.read_text().splitlines()) for each in files for path in each) == 43


def test_without_training_rows_there_is_an_empty_file(sandbox: Sandbox) -> None:
    folder = prepared(sandbox, XGBOOST, "a,y\n1,\n2,\n")
    (file,) = (folder / "channels/train").iterdir()
    assert file.stat().st_size == 0


def fingerprint(box: Sandbox, algorithm: dict[str, Any] | None) -> str:
    prepared(box, algorithm)
    found: str = json.loads((box.out / "profile.json").read_text())["models"][0]["train_fingerprint"]
    return found


def test_settings_and_formats_of_an_algorithm_are_in_the_fingerprint(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    autogluon, first = fingerprint(sandbox, None), fingerprint(sandbox, XGBOOST)
    assert fingerprint(sandbox, XGBOOST) == first
    found = {autogluon, first, fingerprint(sandbox, XGBOOST | {"set": {"num_round": 11}})}
    for module in (channels, encoding):
        with monkeypatch.context() as patch:
            patch.setattr(module, "FORMAT", 2)
            found |= {fingerprint(sandbox, XGBOOST)}
            assert fingerprint(sandbox, None) == autogluon
    assert len(found) == 5
