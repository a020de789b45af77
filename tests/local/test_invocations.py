"""InvokeEndpoint by the real aws command line: bodies, types, errors, variants, and its rights."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import ACCOUNT, MINUTES, REGION, until
from served import SAYS, Cli, Served, cli, refused, served

from localaws.sagemaker import model_server
from localaws.sagemaker.invocations import MOST_BYTES

__all__ = ["cli", "served"]  # fixtures
DAY = timedelta(days=1)
ECHO = """
def respond(body): return 200, body
import json
def do_POST(self):
    body = self.rfile.read(int(self.headers['Content-Length']))
    seen = {name.lower(): value for name, value in self.headers.items()}
    answer = json.dumps({'length': len(body), **seen}).encode()
    self.send_response(200); self.send_header('Content-Type', 'application/x-seen')
    self.send_header('X-Amzn-SageMaker-Custom-Attributes', 'back=1')
    self.send_header('Content-Length', str(len(answer))); self.end_headers(); self.wfile.write(answer)
Handler.do_POST = do_POST
"""


def invoke(cli: Cli, name: str, body: Path, *words: str, **more: Any) -> Any:
    out = body.with_name("out")
    command = ("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", name, "--body", f"fileb://{body}")
    told = cli(*command, *words, str(out), **more)
    return (told, out.read_bytes()) if isinstance(told, dict) else told


def test_the_command_line_gets_the_answer_with_its_types(served: Served, cli: Cli, tmp_path: Path) -> None:
    name, body = served.endpoint(served.config(served.model(ECHO))), tmp_path / "body"
    body.write_bytes(b"x" * MOST_BYTES)
    words = ("--content-type", "text/csv", "--accept", "application/json", "--custom-attributes", "trace=7")
    told, seen = invoke(cli, name, body, *words)
    assert told == {"ContentType": "application/x-seen", "InvokedProductionVariant": "a", "CustomAttributes": "back=1"}
    found = json.loads(seen)
    assert (found["length"], found["content-type"], found["accept"]) == (MOST_BYTES, "text/csv", "application/json")
    assert found["x-amzn-sagemaker-custom-attributes"] == "trace=7"
    body.write_bytes(b"x" * (MOST_BYTES + 1))
    assert "(413) when calling the InvokeEndpoint operation: HTTP content length exceeded 6291456 bytes." in invoke(
        cli, name, body
    )


def test_the_container_s_errors_are_model_errors(served: Served, cli: Cli, tmp_path: Path) -> None:
    do = "def respond(body): return int(body), b'no such row'"
    name, body = served.endpoint(served.config(served.model(do))), tmp_path / "body"
    for status, kind in ((400, "client"), (500, "server")):
        body.write_bytes(str(status).encode())
        told = invoke(cli, name, body)
        assert f"(ModelError) when calling the InvokeEndpoint operation: Received {kind} error ({status}) from" in told
        assert 'with message "no such row". See https://' in told
        assert f"logEventViewer:group=/aws/sagemaker/Endpoints/{name} in account {ACCOUNT}" in told
        with pytest.raises(ClientError) as problem:
            served.runtime.invoke_endpoint(EndpointName=name, Body=str(status).encode())
        found: dict[str, Any] = problem.value.response
        assert (found["OriginalStatusCode"], found["OriginalMessage"]) == (status, "no such row")
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_the_command_line_gets_the_metrics_of_an_endpoint(served: Served, cli: Cli) -> None:
    do = "def respond(body): return int(body), b'answer'"
    name = served.endpoint(served.config(served.model(do)))
    for status in (200, 200, 400, 500):
        with suppress(ClientError):
            served.ask(name, str(status).encode())
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "a"}]
    variant = [f"Name={one['Name']},Value={one['Value']}" for one in dimensions]
    now = datetime.now(timezone.utc)
    since = ["--start-time", f"{now - DAY:%Y-%m-%dT%H:%M:%SZ}", "--end-time", f"{now + DAY:%Y-%m-%dT%H:%M:%SZ}"]
    statistics = ["SampleCount", "Sum", "Average", "Minimum", "Maximum"]

    def statistics_of(metric: str) -> dict[str, Any]:
        words = ["--namespace", "AWS/SageMaker", "--metric-name", metric, "--dimensions", *variant, *since]
        told = cli("cloudwatch", "get-metric-statistics", *words, "--period", "86400", "--statistics", *statistics)
        (point,) = told["Datapoints"]
        return {key: value for key, value in point.items() if key != "Timestamp"}

    errors = {"SampleCount": 4, "Sum": 1, "Average": 0.25, "Minimum": 0, "Maximum": 1, "Unit": "None"}
    assert statistics_of("Invocations") == {**errors, "Sum": 4, "Average": 1, "Minimum": 1}
    assert statistics_of("Invocation4XXErrors") == statistics_of("Invocation5XXErrors") == errors
    for metric in ("ModelLatency", "OverheadLatency"):
        found = statistics_of(metric)
        assert (found["SampleCount"], found["Unit"]) == (4, "Microseconds")
        assert 0 <= found["Minimum"] <= found["Average"] <= found["Maximum"]
    of = {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions}
    query = [{"Id": "asked", "MetricStat": {"Metric": of, "Period": 86400, "Stat": "Sum"}}]
    told = cli("cloudwatch", "get-metric-data", "--metric-data-queries", json.dumps(query), *since)
    assert sum(told["MetricDataResults"][0]["Values"]) == 4
    told = cli("cloudwatch", "list-metrics", "--namespace", "AWS/SageMaker", "--dimensions", variant[0])
    assert {one["MetricName"] for one in told["Metrics"]} == {
        *("Invocations", "InvocationsPerInstance", "Invocation4XXErrors", "Invocation5XXErrors"),
        *("ModelLatency", "OverheadLatency"),
    }


def test_a_container_that_takes_too_long_is_a_model_error(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_server, "INVOKE_SECONDS", 1.0)  # also for what is fast
    do = "import time\ndef respond(body):\n    time.sleep(600 if body == b'slow' else 0)\n    return 200, body"
    name = served.endpoint(served.config(served.model(do)))
    told = refused(served.runtime.invoke_endpoint, EndpointName=name, Body=b"slow")
    assert 'ModelError: Received server error (0) from primary with message "Your invocation timed out' in told
    assert served.ask(name, b"fast") == b"fast"


def test_variants_share_the_traffic_by_weight_unless_one_is_named(served: Served) -> None:
    one, two = served.saying("one"), served.saying("two")
    config = served.config(one, two, variants=[{"InitialVariantWeight": 3.0}, {"InitialVariantWeight": 1.0}])
    name = served.endpoint(config)
    assert sorted(served.ask(name) for _ in range(40)) == [b"one:1"] * 30 + [b"two:1"] * 10
    assert {served.ask(name, TargetVariant="b") for _ in range(5)} == {b"two:1"}
    assert "Variant c of endpoint" in refused(
        served.runtime.invoke_endpoint, EndpointName=name, Body=b"1", TargetVariant="c"
    )
    weights = [{"VariantName": "a", "DesiredWeight": 0.0}, {"VariantName": "b", "DesiredInstanceCount": 3}]
    served.api.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=weights)
    assert {served.ask(name) for _ in range(10)} == {b"two:1"}
    first, second = served.settled(name)["ProductionVariants"]
    assert (first["CurrentWeight"], second["DesiredInstanceCount"], second["CurrentInstanceCount"]) == (0.0, 3, 3)


def test_a_serverless_endpoint_refuses_more_requests_than_it_may_run(served: Served, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    wait = (
        f"import time, pathlib\ndef respond(body):\n    while not pathlib.Path({gate!r}).exists(): time.sleep(0.01)\n"
    )
    model = served.model(wait + "    print('waited', flush=True)\n    return 200, body")
    variant = {
        "VariantName": "a",
        "ModelName": model,
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1},
    }
    config = served.jobs.name()
    served.api.create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant])
    name = served.endpoint(config)
    first = threading.Thread(target=served.ask, args=(name,))
    first.start()
    member = next(iter(served.aws.sagemaker.endpoints.endpoints[name].traffic))
    until(lambda: member.server._running)
    assert refused(served.runtime.invoke_endpoint, EndpointName=name, Body=b"2") == "ThrottlingException: Rate exceeded"
    Path(gate).touch()
    first.join()
    assert served.ask(name, b"3") == b"3"


def test_a_role_may_invoke_only_what_its_policy_allows(served: Served, cli: Cli, tmp_path: Path) -> None:
    name, other = (served.endpoint(served.config(served.model(SAYS.format(name="x")))) for _ in range(2))
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint"
    iam, role = served.aws.client("iam"), served.jobs.name()
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    right = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": f"{arn}/{name}"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    iam.put_role_policy(RoleName=role, PolicyName="one", PolicyDocument=document)
    body = tmp_path / "body"
    body.write_bytes(b"1")
    keys = served.aws.permissions.credentials(f"arn:aws:iam::{ACCOUNT}:role/{role}")
    assert invoke(cli, name, body, credentials=keys)[1] == b"x:1"
    told = invoke(cli, other, body, credentials=keys)
    assert "(AccessDeniedException) when calling the InvokeEndpoint operation" in told
    assert f"not authorized to perform: sagemaker:InvokeEndpoint on resource: {arn}/{other}" in told


def test_a_connection_is_kept_for_the_next_request(served: Served) -> None:
    name = served.endpoint(served.config(served.saying("x")))
    with closing(http.client.HTTPConnection("127.0.0.1", served.aws.port, timeout=MINUTES)) as connection:

        def answer(path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

        assert answer(f"/endpoints/{name}/invocations", b"1") == (200, b"x:1")
        kept = connection.sock
        assert answer(f"/endpoints/{name}/invocations", b"", Origin="http://evil.example")[0] == 400
        assert answer("/endpoints/missing/invocations", b"y" * 100_000)[0] == 400
        assert answer(f"/endpoints/{name}/invocations", b"2") == (200, b"x:2")
        assert connection.sock is kept
        assert answer("/", b"Action=GetCallerIdentity&Version=2011-06-15")[0] == 200  # STS, by moto's server
        assert connection.sock is None
        body = b"3" * (MOST_BYTES + 1)
        assert answer(f"/endpoints/{name}/invocations", body)[0] == 413
        assert answer(f"/endpoints/{name}/invocations", b"4") == (200, b"x:4")
