"""Data capture: what an endpoint was asked and what it answered, as JSON lines in the bucket."""

from __future__ import annotations

import base64
import json
import re
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import MINUTES, until
from served import Served, served

__all__ = ["served"]  # a fixture


def capture(prefix: str, *modes: str, percent: int = 100, **more: Any) -> dict[str, Any]:
    return {
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": f"s3://data/{prefix}",
        "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        **more,
    }


def captured(served: Served, prefix: str) -> list[dict[str, Any]]:
    served.aws.capture.flush()
    return [json.loads(line) for key in served.jobs.keys(prefix) for line in served.jobs.text(key).splitlines()]


def test_requests_and_answers_are_json_lines_below_endpoint_variant_and_hour(served: Served) -> None:
    prefix = f"captured/{served.jobs.name()}"
    config = served.config(served.saying("x"), DataCaptureConfig=capture(prefix, "Input", "Output"))
    name = served.endpoint(config)
    given = {"EnableCapture": True, "CaptureStatus": "Started", "CurrentSamplingPercentage": 100}
    assert served.described(name)["DataCaptureConfig"].items() >= given.items()
    served.ask(name, "1,é\n".encode(), ContentType="text/csv; header=absent", InferenceId="seven")
    served.ask(name, b'{"a": 1}', ContentType="application/json")
    served.ask(name, b"\xff\x00", ContentType="application/x-image")
    lines = until(lambda: captured(served, prefix))
    keys = served.jobs.keys(prefix)
    pattern = rf"{prefix}/{name}/a/\d{{4}}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{{3}}-[-0-9a-f]{{36}}\.jsonl"
    assert all(re.fullmatch(pattern, key) for key in keys), keys
    first, second, third = lines
    assert first["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv; header=absent",
        "mode": "INPUT",
        "data": "1,é\n",
        "encoding": "CSV",
    }
    output = first["captureData"]["endpointOutput"]
    assert (output["mode"], output["encoding"]) == ("OUTPUT", "BASE64")
    assert base64.b64decode(output["data"]) == "x:1,é\n".encode()
    assert first["eventVersion"] == "0"
    assert first["eventMetadata"]["inferenceId"] == "seven"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["eventMetadata"]["inferenceTime"])
    assert second["captureData"]["endpointInput"]["encoding"] == "JSON"
    assert base64.b64decode(third["captureData"]["endpointInput"]["data"]) == b"\xff\x00"


def test_lines_that_another_thread_is_writing_are_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = f"captured/{served.jobs.name()}"
    name = served.endpoint(served.config(served.saying("x"), DataCaptureConfig=capture(prefix, "Input")))
    plain, writes, over = served.aws.buckets.put_content, threading.Event(), threading.Event()

    def slowly(*given: Any) -> None:
        writes.set()
        over.wait(0.2)
        plain(*given)

    monkeypatch.setattr(served.aws.buckets, "put_content", slowly)
    served.ask(name)
    other = threading.Thread(target=served.aws.capture.flush)
    other.start()
    assert writes.wait(MINUTES)
    found = captured(served, prefix)
    over.set()
    other.join()
    assert len(found) == 1


def test_one_side_a_share_and_answers_alone_are_captured(served: Served) -> None:
    prefix = f"captured/{served.jobs.name()}"
    do = "def respond(body): return (500 if body == b'bad' else 200), body"
    config = served.config(served.model(do), DataCaptureConfig=capture(prefix, "Input", percent=30))
    name = served.endpoint(config)
    for _ in range(120):
        served.ask(name)
    with pytest.raises(ClientError):
        served.ask(name, b"bad")
    served.aws.capture.flush()
    lines = captured(served, prefix)
    assert 6 <= len(lines) <= 66, "30 % of 120, within six standard deviations"
    assert {tuple(line["captureData"]) for line in lines} == {("endpointInput",)}
    assert "bad" not in {line["captureData"]["endpointInput"]["data"] for line in lines}


def test_capture_that_is_off_or_may_not_be_written_keeps_the_endpoint_answering(served: Served) -> None:
    prefix = f"captured/{served.jobs.name()}"
    off = capture(prefix, "Input", EnableCapture=False)
    name = served.endpoint(served.config(served.saying("x"), DataCaptureConfig=off))
    assert served.described(name)["DataCaptureConfig"]["CaptureStatus"] == "Stopped"
    nowhere = capture(prefix, "Input", DestinationS3Uri="s3://no-such-bucket/x")
    other = served.endpoint(served.config(served.saying("x"), DataCaptureConfig=nowhere))
    assert served.ask(name) == served.ask(other) == b"x:1"
    assert captured(served, prefix) == []
    assert "the bucket no-such-bucket does not exist" in served.log(other)
