"""The items of a Distributed Map: read from S3 or evaluated, selected, and combined into batches."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localaws.stepfunctions.jsonata import QueryEvaluationError, evaluate

Evaluated = Callable[[Any, str], Any]
"""The value of a template of the Map state; the second argument names its field in errors."""


class ItemReaderFailed(Exception):
    """States.ItemReaderFailed; the message is its cause."""


def evaluated(template: Any, variables: Mapping[str, Any], field: str, failed: Callable[[str, str], Exception]) -> Any:
    """A template with the values of its expressions; `failed` makes the exception from the cause and the field."""
    if isinstance(template, dict):
        return {key: evaluated(value, variables, f"{field}/{key}", failed) for key, value in template.items()}
    if isinstance(template, list):
        return [evaluated(value, variables, f"{field}/{index}", failed) for index, value in enumerate(template)]
    if isinstance(template, str) and template.startswith("{%") and template.endswith("%}"):
        try:
            return evaluate(template[2:-2].strip(), variables)
        except QueryEvaluationError as problem:
            raise failed(problem.cause(field), field) from None
    return template


def read(reader: dict[str, Any], value: Evaluated, s3: Any) -> list[Any]:
    """[sfn] ItemReader: the items, at most MaxItems."""
    config = value(reader.get("ReaderConfig", {}), "ItemReader/ReaderConfig")
    given = value(reader.get("Arguments", {}), "ItemReader/Arguments")
    try:
        items = READERS[reader["Resource"].rpartition(":::")[2], config.get("InputType")](s3, given, config)
    except (ValueError, csv.Error) as problem:  # not JSON, not UTF-8, not CSV
        raise ItemReaderFailed(str(problem)) from problem
    except s3.exceptions.ClientError as problem:
        raise ItemReaderFailed(str(problem)) from problem
    return items[: int(config.get("MaxItems") or len(items))]


def _text(s3: Any, given: dict[str, Any]) -> str:
    return str(s3.get_object(**given)["Body"].read().decode("utf-8-sig"))


def _json(s3: Any, given: dict[str, Any], config: dict[str, Any]) -> list[Any]:
    items = json.loads(_text(s3, given))
    if not isinstance(items, list):
        raise ItemReaderFailed("Attempting to map over non-iterable node.")  # as recorded on AWS
    return items


def _json_lines(s3: Any, given: dict[str, Any], config: dict[str, Any]) -> list[Any]:
    return [json.loads(line) for line in _text(s3, given).splitlines() if line.strip()]


def _csv(s3: Any, given: dict[str, Any], config: dict[str, Any]) -> list[Any]:
    """Missing cells are empty and extra cells are dropped, as recorded on AWS."""
    rows = csv.reader(io.StringIO(_text(s3, given)), delimiter=_DELIMITERS[config.get("CSVDelimiter", "COMMA")])
    headers = config["CSVHeaders"] if config.get("CSVHeaderLocation") == "GIVEN" else next(rows, [])
    if len(set(headers)) < len(headers):
        raise ItemReaderFailed("CSV headers cannot contain duplicates.")
    return [{name: row[i] if i < len(row) else "" for i, name in enumerate(headers)} for row in rows]


def _objects(s3: Any, given: dict[str, Any], config: dict[str, Any]) -> list[Any]:
    found = [one for page in s3.get_paginator("list_objects_v2").paginate(**given) for one in page.get("Contents", ())]
    return [{**one, "LastModified": int(one["LastModified"].timestamp())} for one in found]


_DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}
READERS: dict[tuple[str, str | None], Callable[[Any, dict[str, Any], dict[str, Any]], list[Any]]] = {
    ("s3:getObject", "JSON"): _json,
    ("s3:getObject", "JSONL"): _json_lines,
    ("s3:getObject", "CSV"): _csv,
    ("s3:listObjectsV2", None): _objects,
}


def batches(items: list[Any], batcher: dict[str, Any] | None, value: Evaluated) -> Iterator[tuple[Any, int]]:
    """[sfn] ItemBatcher: each child execution's input, with its number of items."""
    if batcher is None:
        yield from ((item, 1) for item in items)
        return
    values = value(batcher, "ItemBatcher")
    most, most_bytes = int(values.get("MaxItemsPerBatch") or 0), int(values.get("MaxInputBytesPerBatch") or 0)
    fixed = {"BatchInput": values["BatchInput"]} if "BatchInput" in values else {}
    batch: list[Any] = []
    for item in items:
        full = most and len(batch) == most
        if batch and (full or (most_bytes and _size({**fixed, "Items": [*batch, item]}) > most_bytes)):
            yield {**fixed, "Items": batch}, len(batch)
            batch = []
        batch.append(item)
    if batch:
        yield {**fixed, "Items": batch}, len(batch)


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
