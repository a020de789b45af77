"""Functions that really run: deployed through the API, in processes, with what happens when they fail."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
from moto.awslambda.models import LambdaFunction
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

from localaws.base.environment import harmless
from localaws.lambda_.functions import Account, Functions
from localaws.lambda_.worker import Runtime
from localaws.notifications import s3_events
from localaws.s3.store import Objects

ACCOUNT, REGION = "123456789012", "ap-northeast-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/start"
TRUST = '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}'
NAME = "penguins-start"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
PATIENT = 300.0  # seconds that nothing here takes; a test that waits for so long has failed

ECHO = """
import os
def handler(event, context):
    print("got", event)
    if event == "environment":
        return dict(os.environ)
    return {"event": event, "pid": os.getpid(), "version": VERSION}
VERSION = 1
"""

NEVER = """
import os
with open(os.environ["MARKS"], "a") as file:
    file.write("started\\n")
def handler(event, context):
    with open(os.environ["MARKS"], "a") as file:
        file.write(f"{context.aws_request_id}\\n")
    raise ValueError(f"no\\nnever: {event['n']}")
"""


def zipped(source: str, name: str = "main.py") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, source)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def alive(group: int) -> list[str]:
    """The processes of a group that are more than an entry that nobody has collected yet."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], check=True, capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(group) and "Z" not in line]


class Cloud:
    """The services as a user reaches them."""

    def __init__(self, endpoint: str) -> None:
        session = boto3.Session("local", "local", region_name=REGION)
        settings = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120, max_pool_connections=64)
        names = {
            "functions": "lambda",
            "s3": "s3",
            "sqs": "sqs",
            "logs": "logs",
            "states": "stepfunctions",
            "roles": "iam",
            "stacks": "cloudformation",
        }
        self.client = {n: session.client(s, endpoint_url=endpoint, config=settings) for n, s in names.items()}

    def deploy(self, source: str, **other: Any) -> None:
        setup = {
            "FunctionName": NAME,
            "Runtime": "python3.11",
            "Role": ROLE,
            "Handler": "main.handler",
            "Code": {"ZipFile": zipped(source)},
            "Timeout": 30,
        }
        self.client["functions"].create_function(**{**setup, **other})

    def invoke(self, event: Any, kind: str = "RequestResponse") -> dict[str, Any]:
        answer: dict[str, Any] = self.client["functions"].invoke(
            FunctionName=NAME, Payload=json.dumps(event), InvocationType=kind, LogType="Tail"
        )
        body = answer["Payload"].read()
        return {**answer, "Payload": json.loads(body) if body else None}

    def dead(self, queue: str = "dead") -> list[dict[str, Any]]:
        url = self.client["sqs"].get_queue_url(QueueName=queue)["QueueUrl"]
        answer = self.client["sqs"].receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=0
        )
        return list(answer.get("Messages", []))


@pytest.fixture(scope="module")
def services(endpoint: str) -> Cloud:
    return Cloud(endpoint)


@pytest.fixture
def cloud(services: Cloud) -> Cloud:
    moto_api_backend.reset()
    services.client["roles"].create_role(RoleName="start", AssumeRolePolicyDocument=TRUST)
    services.client["sqs"].create_queue(QueueName="dead")
    return services


@pytest.fixture
def groups() -> set[int]:
    return set()


@pytest.fixture
def functions(endpoint: str, cloud: Cloud, groups: set[int], tmp_path: Path) -> Iterator[Functions]:
    objects, harmless_ = Objects(tmp_path / "objects"), harmless(ACCOUNT, REGION, endpoint)
    account = Account(ACCOUNT, REGION, harmless_, objects, tmp_path / "logs", tmp_path / "scratch")
    running = Functions(account, wait_scale=0.0005, began=groups.add, ended=groups.discard)
    patches = running.install()
    yield running
    patches.undo()
    running.close()
    objects.close()
    assert not groups and "function" not in " ".join(thread.name for thread in threading.enumerate())
    assert not (tmp_path / "scratch").exists() or not list((tmp_path / "scratch").iterdir())


# What runs


def test_a_function_runs_from_its_zip_with_its_environment_and_no_way_out(cloud: Cloud, functions: Functions) -> None:
    variables = {"RAW_BUCKET": "raw", "AWS_ENDPOINT_URL": "https://somewhere.example.com"}
    cloud.deploy(ECHO, Environment={"Variables": variables})
    seen = cloud.invoke("environment")["Payload"]
    assert seen["RAW_BUCKET"] == "raw" and seen["AWS_LAMBDA_FUNCTION_NAME"] == NAME
    assert seen["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:") and seen["AWS_ACCESS_KEY_ID"] == "local"
    assert not {"PYTEST_CURRENT_TEST", "VIRTUAL_ENV", "USER"} & seen.keys()


def test_the_process_stays_warm(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO)
    answers = [cloud.invoke(n)["Payload"] for n in range(3)]
    assert [answer["event"] for answer in answers] == [0, 1, 2] and len({answer["pid"] for answer in answers}) == 1


def test_a_spare_process_becomes_the_function_with_its_environment_and_log(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO + "import sys\nVERSION = 'wave' in sys.modules\n")
    with closing(Runtime("missing_module", "wave")) as spare:
        functions.warm(FUNCTION, spare)
        answer = cloud.invoke(0)
        assert answer["Payload"] == {"event": 0, "pid": spare.process.pid, "version": True}
        assert b"got 0" in base64.b64decode(answer["LogResult"])
        seen = cloud.invoke("environment")["Payload"]
        assert seen["AWS_LAMBDA_FUNCTION_NAME"] == NAME and not {"PYTEST_CURRENT_TEST", "VIRTUAL_ENV"} & seen.keys()


def test_a_spare_process_that_has_ended_is_replaced(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO)
    with closing(Runtime()) as spare:
        spare.kill()
        functions.warm(FUNCTION, spare)
        assert cloud.invoke(0)["Payload"]["pid"] != spare.process.pid


def test_new_code_and_new_variables_take_effect_at_the_next_invocation(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO)
    assert cloud.invoke(0)["Payload"]["version"] == 1
    client = cloud.client["functions"]
    client.update_function_code(FunctionName=NAME, ZipFile=zipped(ECHO.replace("VERSION = 1", "VERSION = 2")))
    assert cloud.invoke(0)["Payload"]["version"] == 2
    client.update_function_configuration(FunctionName=NAME, Environment={"Variables": {"NEW": "yes"}})
    assert cloud.invoke("environment")["Payload"]["NEW"] == "yes"


def test_code_can_come_from_a_bucket(cloud: Cloud, functions: Functions) -> None:
    cloud.client["s3"].create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
    cloud.client["s3"].put_object(Bucket="code", Key="a/start.zip", Body=zipped(ECHO))
    cloud.deploy(ECHO, Code={"S3Bucket": "code", "S3Key": "a/start.zip"})
    assert cloud.invoke(7)["Payload"]["event"] == 7


def test_an_alias_leads_to_its_version(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO)
    client = cloud.client["functions"]
    version = client.publish_version(FunctionName=NAME)["Version"]
    client.create_alias(FunctionName=NAME, Name="live", FunctionVersion=version)
    client.update_function_code(FunctionName=NAME, ZipFile=zipped(ECHO.replace("VERSION = 1", "VERSION = 2")))
    assert functions.call(f"{FUNCTION}:live", 0)["result"].endswith('"version": 1}')
    assert functions.call(FUNCTION, 0)["result"].endswith('"version": 2}')


def test_an_error_of_the_handler_is_the_answer(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy("def handler(event, context):\n    raise KeyError('x')")
    answer = cloud.invoke({})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorType"] == "KeyError" and "main.py" in answer["Payload"]["stackTrace"][0]


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("import nowhere", "Runtime.ImportModuleError", "No module named 'nowhere'"),
        ("x = 1", "Runtime.ImportModuleError", "has no attribute 'handler'"),
        ("import os\ndef handler(e, c):\n    os._exit(3)", "Runtime.ExitError", "exit status 3"),
        ("import sys\ndef handler(e, c):\n    sys.exit(4)", "Runtime.ExitError", "exit status 4"),
        ("import os\ndef handler(e, c):\n    os.kill(os.getpid(), 9)", "Runtime.ExitError", "SIGKILL"),
        ("import os\nos.abort()", "Runtime.ExitError", "SIGABRT"),
        ("def handler(e, c):\n    return object()", "TypeError", "not JSON serializable"),
    ],
)
def test_a_function_that_cannot_answer_says_why_and_the_next_invocation_has_a_fresh_process(
    cloud: Cloud, functions: Functions, source: str, kind: str, message: str
) -> None:
    cloud.deploy(source)
    answer = cloud.invoke({})["Payload"]
    assert answer["errorType"] == kind and message in answer["errorMessage"]
    cloud.client["functions"].update_function_code(FunctionName=NAME, ZipFile=zipped(ECHO))
    assert cloud.invoke(1)["Payload"]["event"] == 1


@pytest.mark.parametrize("source", ["while True: pass", "subprocess.run(['sleep', '600'])"])
def test_a_function_that_hangs_is_killed_with_all_that_it_started(
    cloud: Cloud, functions: Functions, groups: set[int], source: str
) -> None:
    cloud.deploy(f"import subprocess\ndef handler(e, c):\n    {source}", Timeout=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cloud.invoke, {})
        while not groups:
            time.sleep(0.01)
        (group,) = groups
        assert "Task timed out after 1.00 seconds" in waiting.result()["Payload"]["errorMessage"]
    assert not groups
    while alive(group):  # the end of what it started may take a moment
        time.sleep(0.01)


def test_a_damaged_zip_is_a_failure_and_not_the_end(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO, Code={"ZipFile": b"no zip"})
    assert cloud.invoke({})["Payload"]["errorType"] == "BadZipFile"
    cloud.client["functions"].update_function_code(FunctionName=NAME, ZipFile=zipped(ECHO))
    assert cloud.invoke(1)["Payload"]["event"] == 1


def test_a_process_that_could_not_be_made_ready_answers_nothing(cloud: Cloud, functions: Functions) -> None:
    refusals = [OSError("too many processes")]

    def began(group: int) -> None:
        if refusals:
            raise refusals.pop()

    cloud.deploy(ECHO)
    other = Functions(functions.account, began=began)
    assert other.call(FUNCTION, 1)["failure"]["errorMessage"] == "too many processes"
    assert json.loads(other.call(FUNCTION, 2)["result"])["event"] == 2
    other.close()


def test_a_function_whose_folder_cannot_be_removed_has_its_next_event_all_the_same(
    cloud: Cloud, functions: Functions, tmp_path: Path
) -> None:
    # A folder in which somebody else goes on writing cannot be removed either, but only nearly always.
    source = "import os\ndef handler(e, c):\n    os.rename(home := os.getcwd(), home + '.away')\n    "
    cloud.deploy(source + "os.symlink(home + '.away', home)\n    os._exit(3)")
    for _ in range(2):
        assert cloud.invoke({})["Payload"]["errorMessage"] == "Runtime exited with error: exit status 3"
    left = list((tmp_path / "scratch").iterdir())
    assert len(left) == 4
    for place in left:
        place.unlink() if place.is_symlink() else shutil.rmtree(place)


# Logs


def test_what_a_function_prints_is_in_its_log_file_in_cloudwatch_and_in_the_tail(
    cloud: Cloud, functions: Functions, tmp_path: Path
) -> None:
    cloud.deploy(ECHO)
    tail = base64.b64decode(cloud.invoke("x")["LogResult"]).decode()
    (stream,) = cloud.client["logs"].describe_log_streams(logGroupName=f"/aws/lambda/{NAME}")["logStreams"]
    found = cloud.client["logs"].get_log_events(
        logGroupName=f"/aws/lambda/{NAME}", logStreamName=stream["logStreamName"], startFromHead=True
    )
    lines = [line["message"] for line in found["events"]]
    assert [line.split()[0] for line in lines] == ["START", "got", "END", "REPORT"]
    assert tail.splitlines() == lines == (tmp_path / "logs" / f"{NAME}.log").read_text().splitlines()
    assert "/[$LATEST]" in stream["logStreamName"]


# Events


def test_an_event_is_tried_three_times_and_then_kept_in_the_dead_letter_queue(
    cloud: Cloud, functions: Functions, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    cloud.deploy(NEVER, DeadLetterConfig={"TargetArn": QUEUE}, Environment={"Variables": {"MARKS": str(marks)}})
    assert cloud.invoke({"n": 1}, "Event")["StatusCode"] == 202
    assert functions.drain(PATIENT)
    started, *requests = marks.read_text().split()
    assert started == "started" and len(requests) == 3 and len(set(requests)) == 1
    (letter,) = cloud.dead()
    assert json.loads(letter["Body"]) == {"n": 1}
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes == {"RequestID": requests[0], "ErrorCode": "200", "ErrorMessage": "no never: 1"}


def test_an_event_that_succeeds_at_last_is_not_kept(cloud: Cloud, functions: Functions, tmp_path: Path) -> None:
    source = NEVER.replace("raise", "if len(open(os.environ['MARKS']).readlines()) < 4: raise")
    variables = {"Variables": {"MARKS": str(tmp_path / "marks")}}
    cloud.deploy(source, DeadLetterConfig={"TargetArn": QUEUE}, Environment=variables)
    cloud.invoke({"n": 1}, "Event")
    assert functions.drain(PATIENT)
    assert len((tmp_path / "marks").read_text().split()) == 4 and cloud.dead() == []


def test_a_process_that_dies_with_an_event_is_tried_again_in_a_fresh_one(
    cloud: Cloud, functions: Functions, tmp_path: Path
) -> None:
    source = NEVER.replace("raise", "if event['n'] == 1: os.kill(os.getpid(), 9)\n    0 and ")
    marks = tmp_path / "marks"
    source = "import os\n" + source.replace("0 and  ValueError(f\"no\\nnever: {event['n']}\")", "return 1")
    cloud.deploy(source, DeadLetterConfig={"TargetArn": QUEUE}, Environment={"Variables": {"MARKS": str(marks)}})
    for n in (1, 2):
        cloud.invoke({"n": n}, "Event")
    assert functions.drain(PATIENT)
    assert [json.loads(letter["Body"]) for letter in cloud.dead()] == [{"n": 1}]
    assert marks.read_text().split().count("started") >= 3


def test_the_number_of_tries_can_be_configured(cloud: Cloud, functions: Functions, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    cloud.deploy(NEVER, DeadLetterConfig={"TargetArn": QUEUE}, Environment={"Variables": {"MARKS": str(marks)}})
    cloud.client["functions"].put_function_event_invoke_config(FunctionName=NAME, MaximumRetryAttempts=0)
    cloud.invoke({"n": 1}, "Event")
    assert functions.drain(PATIENT)
    assert len(marks.read_text().split()) == 2 and len(cloud.dead()) == 1


@pytest.mark.parametrize("target", [{}, {"TargetArn": f"{QUEUE}-gone"}])
def test_without_a_queue_a_failed_event_is_lost_and_the_log_says_so(
    cloud: Cloud, functions: Functions, tmp_path: Path, target: dict[str, str]
) -> None:
    cloud.deploy("def handler(e, c): raise ValueError", DeadLetterConfig=target)
    cloud.invoke({}, "Event")
    assert functions.drain(PATIENT)
    assert "lost" in (tmp_path / "logs" / f"{NAME}.log").read_text().splitlines()[-1]


def test_the_dead_letter_queue_is_shown_and_can_be_changed(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO, DeadLetterConfig={"TargetArn": QUEUE})
    client = cloud.client["functions"]
    assert client.get_function_configuration(FunctionName=NAME)["DeadLetterConfig"] == {"TargetArn": QUEUE}
    changed = client.update_function_configuration(FunctionName=NAME, DeadLetterConfig={"TargetArn": f"{QUEUE}-2"})
    assert changed["DeadLetterConfig"] == {"TargetArn": f"{QUEUE}-2"}
    assert client.get_function(FunctionName=NAME)["Configuration"]["DeadLetterConfig"] == {"TargetArn": f"{QUEUE}-2"}


def test_an_event_for_a_function_that_is_gone_is_dropped(cloud: Cloud, functions: Functions, tmp_path: Path) -> None:
    functions.send(FUNCTION, {})
    assert functions.drain(PATIENT)
    assert "Function not found" in (tmp_path / "logs" / f"{NAME}.log").read_text()


def test_closing_ends_a_function_that_runs_and_its_event_and_those_that_wait_stay_on_disk(
    cloud: Cloud, functions: Functions, groups: set[int]
) -> None:
    cloud.deploy("import time\ndef handler(e, c): time.sleep(600)", Timeout=900)
    for n in range(3):
        functions.send(FUNCTION, n)
    while not groups:
        time.sleep(0.01)
    functions.close()
    assert not groups
    assert [(arn, event) for _, arn, event in functions.pending.left()] == [(FUNCTION, n) for n in range(3)]


def test_closing_does_not_wait_for_a_process_that_is_made_ready(
    cloud: Cloud, functions: Functions, groups: set[int]
) -> None:
    cloud.deploy("import time\ntime.sleep(600)")
    functions.warm(FUNCTION)
    functions.send(FUNCTION, 1)
    while not groups:
        time.sleep(0.01)
    functions.close()
    assert not groups and [event for _, _, event in functions.pending.left()] == [1]


def test_an_event_whose_failure_cannot_be_kept_is_lost_and_the_next_has_its_turn(
    cloud: Cloud, functions: Functions, tmp_path: Path
) -> None:
    url = cloud.client["sqs"].get_queue_url(QueueName="dead")["QueueUrl"]
    cloud.client["sqs"].set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "1024"})
    cloud.deploy("def handler(e, c): raise ValueError", DeadLetterConfig={"TargetArn": QUEUE})
    functions.send(FUNCTION, "x" * 2000)
    assert functions.drain(PATIENT)
    functions.send(FUNCTION, "small")
    assert functions.drain(PATIENT)
    assert [json.loads(letter["Body"]) for letter in cloud.dead()] == ["small"]
    assert list(functions.pending.left()) == []
    log = (tmp_path / "logs" / f"{NAME}.log").read_text()
    assert "is lost: Traceback" in log and "Message must be shorter than 1024 bytes" in log


def test_whoever_waits_for_an_answer_that_cannot_be_given_hears_why(cloud: Cloud, functions: Functions) -> None:
    cloud.deploy(ECHO)
    heard: list[str] = []

    def call() -> None:
        try:
            functions.call(FUNCTION, object())
        except TypeError as error:
            heard.append(str(error))

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(PATIENT)
    assert heard == ["Object of type object is not JSON serializable"]
    assert cloud.invoke(1)["Payload"]["event"] == 1


def test_a_server_that_is_killed_leaves_no_process(endpoint: str, tmp_path: Path) -> None:
    program = """
import io, sys, time, zipfile
from pathlib import Path
from localaws.lambda_.worker import Setup, Worker
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    archive.writestr("main.py", "def handler(event, context): pass")
worker = Worker(Setup("f", "main.handler", code.getvalue(), ()), {}, Path(sys.argv[1]) / "log", "s")
worker.load()
print(worker.group, flush=True)
time.sleep(600)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, cwd=root) as server:
        assert server.stdout
        group = int(server.stdout.readline())
        assert alive(group)
        server.kill()
    while alive(group):
        time.sleep(0.01)


# With S3


@pytest.fixture
def bucket(cloud: Cloud, functions: Functions) -> Iterator[str]:
    patches = s3_events.install(functions.send)
    cloud.client["s3"].create_bucket(Bucket="raw", CreateBucketConfiguration={"LocationConstraint": REGION})
    yield "raw"
    patches.undo()


def notify(cloud: Cloud, bucket: str) -> None:
    """Once the function is there."""
    cloud.client["functions"].add_permission(
        FunctionName=NAME, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
    )
    told = {"LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectCreated:*"]}
    cloud.client["s3"].put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [told]}
    )


def test_an_upload_waits_for_no_function(cloud: Cloud, functions: Functions, bucket: str, groups: set[int]) -> None:
    cloud.deploy("import time\ndef handler(e, c): time.sleep(600)", Timeout=900)
    notify(cloud, bucket)
    for key in "ab":
        cloud.client["s3"].put_object(Bucket=bucket, Key=key, Body=b"")
    assert not functions.drain(0.01)


def test_an_upload_succeeds_although_its_function_fails(cloud: Cloud, functions: Functions, bucket: str) -> None:
    cloud.deploy("import nowhere", DeadLetterConfig={"TargetArn": QUEUE})
    notify(cloud, bucket)
    cloud.client["s3"].put_object(Bucket=bucket, Key="a b", Body=b"")
    assert functions.drain(PATIENT)
    (letter,) = cloud.dead()
    assert json.loads(letter["Body"])["Records"][0]["s3"]["object"]["key"] == "a+b"


def test_a_function_that_cannot_be_made_ready_for_uploads_is_tried_with_each_of_them_all_the_same(
    cloud: Cloud, functions: Functions, bucket: str, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    source = NEVER.partition("def")[0] + "import nowhere"
    cloud.deploy(source, DeadLetterConfig={"TargetArn": QUEUE}, Environment={"Variables": {"MARKS": str(marks)}})
    notify(cloud, bucket)
    functions.warm(FUNCTION)
    assert functions.drain(PATIENT)
    assert marks.read_text().split() == ["started"] and cloud.dead() == []
    cloud.client["s3"].put_object(Bucket=bucket, Key="go.run", Body=b"")
    assert functions.drain(PATIENT)
    assert len(marks.read_text().split()) == 1 + 3 and list(functions.pending.left()) == []
    (letter,) = cloud.dead()
    assert json.loads(letter["Body"])["Records"][0]["s3"]["object"]["key"] == "go.run"


TRIGGER = Path(__file__).parents[2] / "lambda" / "start_pipeline.py"

DIES = """
import os, start_pipeline
def handler(event, context):
    start_pipeline.start = lambda *given, start=start_pipeline.start: (start(*given), died_once())
    return start_pipeline.handler(event, context)
def died_once():
    if not os.path.exists(os.environ["MARKS"]):
        open(os.environ["MARKS"], "w").close()
        os.kill(os.getpid(), 9)
"""


@pytest.fixture
def machine(cloud: Cloud) -> str:
    states = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    made = cloud.client["states"].create_state_machine(name="penguins", definition=states, roleArn=ROLE)
    return str(made["stateMachineArn"])


def deploy_trigger(cloud: Cloud, bucket: str, machine: str, wrapper: str = "", **variables: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(TRIGGER, TRIGGER.name)
        archive.writestr("main.py", wrapper)
    handler = "main.handler" if wrapper else "start_pipeline.handler"
    variables = {"RAW_BUCKET": bucket, "STATE_MACHINE_ARN": machine, **variables}
    code = {"ZipFile": buffer.getvalue()}
    cloud.deploy("", Code=code, Handler=handler, Environment={"Variables": variables})
    notify(cloud, bucket)


def inputs(cloud: Cloud, machine: str) -> list[dict[str, Any]]:
    client = cloud.client["states"]
    pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine)
    arns = [execution["executionArn"] for page in pages for execution in page["executions"]]
    return [json.loads(client.describe_execution(executionArn=arn)["input"]) for arn in arns]


def test_the_trigger_starts_one_execution_for_each_of_100_uploads(
    cloud: Cloud, functions: Functions, bucket: str, machine: str
) -> None:
    deploy_trigger(cloud, bucket, machine)
    for n in range(100):
        cloud.client["s3"].put_object(Bucket=bucket, Key=f"run {n % 10}/go.run", Body=b"note: x" if n % 2 else b"")
    assert functions.drain(PATIENT)
    started = inputs(cloud, machine)
    assert sorted(given["data"] for given in started) == sorted(f"s3://raw/run {n % 10}/" for n in range(100))
    assert sorted(given["note"] for given in started) == [""] * 50 + ["x"] * 50


def test_a_trigger_that_dies_between_two_records_starts_both_once(
    cloud: Cloud, functions: Functions, bucket: str, machine: str, tmp_path: Path
) -> None:
    deploy_trigger(cloud, bucket, machine, DIES, MARKS=str(tmp_path / "died"))
    records = []
    uploads = s3_events.install(lambda arn, event: records.extend(event["Records"]))
    for folder in "ab":
        cloud.client["s3"].put_object(Bucket=bucket, Key=f"{folder}/go.run", Body=b"")
    uploads.undo()
    functions.send(FUNCTION, {"Records": records})
    assert functions.drain(PATIENT)
    assert (tmp_path / "died").exists() and len(records) == 2
    assert sorted(given["data"] for given in inputs(cloud, machine)) == ["s3://raw/a/", "s3://raw/b/"]


def test_after_undo_moto_is_as_it_was(tmp_path: Path) -> None:
    names = ("__init__", "invoke", "update_configuration", "get_configuration", "create_from_cloudformation_json")
    before = [vars(LambdaFunction)[name] for name in names]
    objects = Objects(tmp_path)
    running = Functions(Account(ACCOUNT, REGION, {}, objects, tmp_path))
    running.install().undo()
    running.close()
    objects.close()
    assert [vars(LambdaFunction)[name] for name in names] == before
