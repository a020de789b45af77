"""What a request may hold, and what it is answered: the application without a server, on a model that counts."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import invocations
import numpy as np
import predict
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import request_rows
from invocations import Application

FEATURES = {"a": "int64", "b": "bool", "day": "date32[day]", "t": "string"}
ROW = {"a": 1, "b": True, "day": "2026-03-04", "t": "x"}
LINE = b"1,true,2026-03-04,x\n"


class Kept:
    """Remembers its rows, and answers with their numbers or classes."""

    def __init__(self, *classes: str, answer: float = 0.0) -> None:
        self.features, self.classes, self.answer, self.rows = list(FEATURES), classes, answer, pa.table({})

    def inputs(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        assert batch.schema.names == self.features
        table = pa.Table.from_batches([batch])
        self.rows = pa.concat_tables([self.rows, table]) if self.rows.num_columns else table
        return batch

    def answers(self, inputs: pa.RecordBatch) -> Any:
        if not self.classes:
            return np.arange(len(inputs)) + self.answer
        chances = np.full(len(inputs), 0.75)
        return {"prediction": np.array([self.classes[0]] * len(inputs), object), "probability": chances} | {
            f"probability_{self.classes[-1]}": 1 - chances
        }


def asked(
    body: bytes, kind: str = "text/csv", accept: str = "", model: Kept | None = None, most: int = 10_000, **environ: Any
) -> tuple[int, str, str]:
    """Status, content type and text of the answer."""
    model, got = model or Kept(), []
    schema = predict.schema_of(list(model.classes))
    known = {"MaxPayloadInMB": 6}
    application = Application(model, "all", FEATURES, schema, most, "text/csv", known, lambda client: None)
    given = {"REQUEST_METHOD": "POST", "PATH_INFO": "/invocations", "CONTENT_TYPE": kind, "HTTP_ACCEPT": accept}
    given |= {"wsgi.input": io.BytesIO(body), **environ}
    (content,) = application(given, lambda status, headers: got.extend([status, dict(headers)]))
    status, headers = got
    assert headers["Content-Length"] == str(len(content))
    return int(status[:3]), headers["Content-Type"], content.decode()


def parquet(rows: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue()


GOOD = {"a": [1], "b": [True], "day": ["2026-03-04"], "t": ["x"]}


@pytest.mark.parametrize(
    ("kind", "body", "rows"),
    [
        ("text/csv", LINE, 1),
        ("text/csv", LINE * 3, 3),
        ("text/csv", LINE.strip(), 1),
        ("text/csv; charset=utf-8", b"\xef\xbb\xbf" + LINE, 1),
        ("text/csv", LINE.replace(b"\n", b"\r\n") * 2, 2),
        ("text/csv", b",,,\n" * 2, 2),
        ("text/csv", b'1,true,2026-03-04,"two\nlines, and ""quotes"""\n', 1),
        ("text/csv", b"day,t,new,b,a,new\n2026-03-04,x,?,true,1,?\n", 1),
        ("text/csv;header=present", b"day,t,b,a\n2026-03-04,x,true,1\n", 1),
        ("text/csv; header=absent", b"1,true,2026-03-04,a\n", 1),
        ("text/csv", b"a,b,day,t\n", 0),
        ("text/csv", b" 1.5 ,1,2026-03-04 12:00:00,NA\nNA,0,,x\n", 2),
        ("Application/JSON", json.dumps([ROW, ROW]).encode(), 2),
        ("application/json", json.dumps(ROW).encode(), 1),
        ("application/json", b"[]", 0),
        ("application/json", b'{"instances": [[1, null, null, "x"]]}', 1),
        ("application/json", b'[{"a": 1e400, "b": 1, "day": null, "t": null, "new": [{}]}]', 1),
        ("application/jsonlines", json.dumps(ROW).encode() + b"\n\n" + json.dumps(list(ROW.values())).encode(), 2),
        ("application/x-ndjson", json.dumps(ROW).encode(), 1),
        ("application/x-parquet", parquet({**GOOD, "day": pa.array([20_000], pa.date32()), "new": [{"x": 1}]}), 1),
        ("application/vnd.apache.parquet", parquet({**GOOD, "day": pa.array([0], pa.timestamp("ns"))}), 1),
        ("application/x-parquet", parquet({"t": pa.array(["x"]).dictionary_encode(), "a": pa.array([1], pa.int8()),
                                           "b": [0.5], "day": pa.array([0], pa.date64())}), 1),
    ],
)  # fmt: skip
def test_each_row_gets_an_answer(kind: str, body: bytes, rows: int) -> None:
    status, _, text = asked(body, kind)
    assert (status, text) == (200, "".join(f"{n}.0\n" for n in range(rows)))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", b"t,day,b,a\nx,2026-03-04,true,1\nNA,,,\n"),
        ("application/json", b'[{"a": 1, "b": true, "day": "2026-03-04", "t": "x"}, [null, null, null, "NA"]]'),
    ],
)
def test_values_reach_the_model_as_the_columns_types(kind: str, body: bytes) -> None:
    model = Kept()
    assert asked(body, kind, model=model)[0] == 200
    rows = model.rows.to_pylist()
    assert [str(row["day"])[:10] for row in rows] == ["2026-03-04", "None"]
    assert [(row["a"], row["b"], row["t"]) for row in rows] == [(1, True, "x"), (None, None, "NA")]


@pytest.mark.parametrize(
    ("kind", "body", "status", "words"),
    [
        ("text/csv", b"", 400, "The body is empty"),
        ("text/csv", b"\n\n", 400, "only empty lines"),
        ("text/csv", b"a,b,t\n1,true,x\n", 400, "The header lacks the column 'day'"),
        ("text/csv", b"a,b,day,t,a\n1,true,,x,2\n", 400, "must have only one column 'a'"),
        ("text/csv", b"1,true,a,x\n", 400, "header=absent"),
        ("text/csv", b"1,true\n", 400, "have 2 columns, but the model learnt from 4: 'a', 'b', 'day', 't'"),
        ("text/csv", LINE + b"1,2\n", 400, "Expected 4 columns, got 2"),
        ("text/csv", LINE + b"x,true,,\n", 400, "Row 2: column 'a' holds 'x', but the model learnt from numbers there"),
        ("text/csv", b"1,yes,,\n", 400, "Row 1: column 'b' holds 'yes', but"),
        ("text/csv", b"007,,,\n", 400, "holds '007'"),
        ("text/csv", b"1,,4.3.2026,\n", 400, "holds '4.3.2026', but the model learnt from dates there"),
        ("text/csv", b"1,,,\xff\xfe\n", 400, "not UTF-8"),
        ("text/csv", b"\x00\x01\x02", 400, ""),
        ("text/csv; charset=utf-16", LINE, 415, "text/csv, application/json, application/jsonlines, application/x-pa"),
        ("", LINE, 415, "application/x-parquet"),
        ("image/png", LINE, 415, "'image/png' is not supported"),
        ("application/json", b'[{"a": NaN}]', 400, "holds NaN, which JSON does not have; send null"),
        ("application/json", b'[{"a": -Infinity}]', 400, "holds -Infinity"),
        ("application/json", b"{", 400, "The body is not JSON"),
        ("application/json", b"3", 400, "must be a list of rows"),
        ("application/json", b'["x"]', 400, "Row 1 is 'x'; it must be an object"),
        ("application/json", b"[" * 9000, 400, "nested too deeply"),
        ("application/json", b"[[1, 2]]", 400, "Row 1 has 2 values"),
        ("application/json", b"[[1" + b"0" * 400 + b", null, null, null]]", 400, "more than 308 digits"),
        ("application/json", b"[[" + b"1" * 5000 + b"]]", 400, "not JSON"),
        ("application/json", b'[[1, null, null, "\\ud800"]]', 400, "not UTF-8"),
        ("application/json", json.dumps([ROW, {**ROW, "a": "1"}]).encode(), 400, "Row 2: column 'a' holds '1', but"),
        ("application/json", json.dumps([{**ROW, "t": 5}]).encode(), 400, "holds 5, but the model learnt from text"),
        ("application/json", json.dumps([{**ROW, "day": 5}]).encode(), 400, "holds 5, but the model learnt from dates"),
        ("application/json", json.dumps([{**ROW, "a": [1]}]).encode(), 400, "holds [1], but"),
        ("application/json", json.dumps([{"a": 1}]).encode(), 400, "Row 1 lacks the column 'b'; send null"),
        ("application/jsonlines", json.dumps(ROW).encode() + b"\nnull", 400, "Row 2 is None"),
        ("application/jsonlines", b"\n[1\n", 400, "Line 2 is not JSON"),
        ("application/x-parquet", LINE, 400, "not Parquet"),
        ("application/x-parquet", parquet(GOOD)[:-30], 400, "not Parquet"),
        ("application/x-parquet", parquet({"a": [1]}), 400, "Model all learnt from the column 'b', which the rows do"),
        ("application/x-parquet", parquet(GOOD), 400, "learnt from 'day' as date32[day], but the rows hold string"),
        ("application/x-parquet", parquet({**GOOD, "t": [[1]]}), 400, "hold"),
        ("application/x-parquet", parquet({n: pa.nulls(1_000_001, pa.int8()) for n in FEATURES}), 413, "1,000,000"),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_with_its_reason(kind: str, body: bytes, status: int, words: str) -> None:
    found, _, text = asked(body, kind, most=100_000)
    assert (found, text.count("\n")) == (status, 1), text
    assert words in text, text


@pytest.mark.parametrize(
    ("accept", "kind", "text"),
    [
        ("", "text/csv", 'yes,0.75,0.75,"no, never"\n'),
        ("*/*", "text/csv", ""),
        ("text/html, application/json;q=0.9", "application/json", ""),
        ("application/x-ndjson", "application/jsonlines", ""),
    ],
)
def test_answers_come_as_accepted(accept: str, kind: str, text: str) -> None:
    assert asked(LINE, accept=accept)[:2] == (200, kind)


def test_classes_have_their_probabilities_in_each_format() -> None:
    model = Kept("no, never", "yes")
    answer = {"prediction": "no, never", "probability": 0.75, "probability_yes": 0.25}
    assert asked(LINE, model=model)[2] == '"no, never",0.75,0.25\n'
    named = asked(LINE, accept="text/csv; header=present", model=model)[2]
    assert named == '"prediction","probability","probability_yes"\n"no, never",0.75,0.25\n'
    assert json.loads(asked(LINE, accept="application/json", model=model)[2]) == {"predictions": [answer]}
    assert json.loads(asked(LINE, accept="application/jsonlines", model=model)[2]) == answer


def test_an_answer_that_cannot_be_written_says_what_can() -> None:
    status, _, text = asked(LINE, accept="image/png")
    assert (status, text) == (
        406,
        "The type 'image/png' cannot be written; accept text/csv, application/json, application/jsonlines.\n",
    )


def test_a_number_that_is_not_finite_is_the_models_failure() -> None:
    status, _, text = asked(LINE, model=Kept(answer=float("nan")))
    assert (status, text) == (500, "Model all predicts nan for row 1 of the request; train it again.\n")


def test_a_bug_fails_one_request_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, text = asked(LINE, model=Kept("unknown", "classes", "of", "three"), **{"wsgi.input": None})
    assert status == 500 and text.startswith("This is a bug in stepgluon, please report it")
    assert "Traceback" in capsys.readouterr().err


class Endless(io.RawIOBase):
    """A body without end; counts what was read."""

    size = 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0
        self.size += size
        return b"1" * size


def test_no_more_of_a_body_is_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invocations, "_DISCARDED", 1_000_000)
    source = Endless()
    status, _, text = asked(b"", **{"wsgi.input": source, "CONTENT_LENGTH": "5"})
    assert (status, text) == (413, "The body is larger than 0.00953674 MB; send the rows in several requests.\n")
    assert source.size < 1_200_000


def test_a_body_that_ends_early_is_not_predicted() -> None:
    assert asked(LINE, CONTENT_LENGTH=str(len(LINE) + 1))[0] == 408


def test_a_json_document_that_needs_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_rows, "JSON_BYTES", 10)
    status, _, text = asked(json.dumps([ROW]).encode(), "application/json")
    assert status == 413 and "application/jsonlines" in text


def test_other_paths_and_methods_are_refused() -> None:
    assert asked(b"", PATH_INFO="/ping", REQUEST_METHOD="GET") == (200, "text/plain; charset=utf-8", "")
    assert asked(b"", PATH_INFO="/execution-parameters", REQUEST_METHOD="GET")[2] == '{"MaxPayloadInMB": 6}'
    assert asked(b"", PATH_INFO="/models")[0] == 404
    assert asked(b"", REQUEST_METHOD="GET")[0] == 405


def test_many_rows_are_predicted_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_rows, "rows_at_once", lambda columns: 1000)
    for kind, body in (("text/csv", LINE * 2500), ("application/jsonlines", (json.dumps(ROW).encode() + b"\n") * 2500)):
        status, _, text = asked(body, kind, most=sys.maxsize)
        assert (status, text.count("\n")) == (200, 2500)
        assert asked(body + b"1,2\n", kind, most=sys.maxsize)[0] == 400
