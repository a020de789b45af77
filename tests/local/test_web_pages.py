"""A web page that is open in a browser of this computer gets nothing from the local AWS, and changes nothing in it."""

from __future__ import annotations

import http.client
import http.server
import json
import queue
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from browser import command as browser
from browser import opened
from local_aws import MINUTES, REGION, ROLE, Jobs, input_of, until

from localaws.server.aws import LocalAws
from stepgluon.live.page import LivePage

SCRIPT = b"open('/tmp/attacked', 'w')"
JOB = json.dumps({"ProcessingJobName": "attack", "RoleArn": ROLE})
FORM = "application/x-www-form-urlencoded"


def signed(service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=local/20260101/{REGION}/{service}/aws4_request, Signature=0"


# What a page would try: method, path, headers, body.
ATTACKS: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "list buckets": ("GET", "/", {}, b""),
    "list a bucket": ("GET", "/data", {}, b""),
    "read an object": ("GET", "/data/secret", {}, b""),
    "upload a script": ("PUT", "/data/sitecustomize.py", {}, SCRIPT),
    "upload by a form": ("POST", "/data", {"Content-Type": "multipart/form-data; boundary=x"}, SCRIPT),
    "delete": ("DELETE", "/data/secret", {}, b""),
    "run a job": ("POST", "/", {"X-Amz-Target": "SageMaker.CreateProcessingJob"}, JOB.encode()),
    "run a job, signed": (
        "POST",
        "/",
        {"X-Amz-Target": "SageMaker.CreateProcessingJob", "Authorization": signed("sagemaker")},
        JOB.encode(),
    ),
    "list functions": ("GET", "/2015-03-31/functions/", {"Authorization": signed("lambda")}, b""),
    "list stacks": (
        "POST",
        "/",
        {"Content-Type": FORM, "Authorization": signed("cloudformation")},
        b"Action=ListStacks&Version=2010-05-15",
    ),
    "forget everything": ("POST", "/moto-api/reset", {}, b""),
    "ask what is allowed": ("OPTIONS", "/data/x", {"Access-Control-Request-Method": "PUT"}, b""),
}
# How a request of a page differs from one of a program.
PAGES = {
    "origin": {"Origin": "http://evil.example"},
    "origin of a file": {"Origin": "null"},
    "origin on another port": {"Origin": "http://127.0.0.1:1"},
    "origin of a page that lies in a bucket": {"Origin": "http://127.0.0.1:{port}"},
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "another port": {"Sec-Fetch-Site": "same-site"},
    "a page that lies in a bucket": {"Sec-Fetch-Site": "same-origin"},
    "rebinding": {"Host": "evil.example:{port}"},
    "rebinding without a port": {"Host": "evil.example"},
    "a name of another server": {"Host": "127.0.0.1:1"},
    "a name that only begins like ours": {"Host": "127.0.0.1:{port}.evil.example"},
    "a bucket's name": {"Host": "data.localhost:{port}"},
    "no name": {"Host": ""},
}


@pytest.fixture
def bucket(aws: LocalAws) -> Iterator[LocalAws]:
    """What must be there afterwards as it was before."""
    s3 = aws.client("s3")
    s3.put_object(Bucket="data", Key="secret", Body=b"a secret")
    keys = Jobs(aws).keys("")
    yield aws
    assert Jobs(aws).keys("") == keys
    assert aws.sagemaker.jobs() == []
    assert s3.get_object(Bucket="data", Key="secret")["Body"].read() == b"a secret"


def answer(
    aws: LocalAws, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", aws.port, timeout=MINUTES)) as connection:
        connection.request(method, path, body, headers)
        told = connection.getresponse()
        return told.status, {name.lower(): value for name, value in told.getheaders()}, told.read()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_another_site_is_refused_whatever_it_asks_for(bucket: LocalAws, page: str) -> None:
    header = {name: value.format(port=bucket.port) for name, value in PAGES[page].items()}
    for attack, (method, path, headers, body) in ATTACKS.items():
        status, told, content = answer(bucket, method, path, {**headers, **header}, body)
        assert status in (400, 403), attack
        assert not [name for name in told if name.startswith("access-control-")], attack
        assert b"local AWS answers no web pages" in content or b"The Host of the request is" in content, attack


def test_a_body_of_a_refused_request_is_not_taken_for_the_next_request(bucket: LocalAws) -> None:
    inner = f"PUT /data/sitecustomize.py HTTP/1.1\r\nHost: 127.0.0.1:{bucket.port}\r\nContent-Length: 1\r\n\r\nx"
    told = f"Host: 127.0.0.1:{bucket.port}\r\nOrigin: http://evil.example\r\nContent-Length: {len(inner)}"
    with socket.create_connection(("127.0.0.1", bucket.port), MINUTES) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\n{told}\r\nConnection: keep-alive\r\n\r\n{inner}".encode())
        content = b"".join(iter(lambda: connection.recv(65536), b""))
    assert content.count(b"HTTP/1.1 ") == 1


def test_a_foreign_address_in_the_request_line_is_a_foreign_host(bucket: LocalAws) -> None:
    with socket.create_connection(("127.0.0.1", bucket.port), MINUTES) as connection:
        request = f"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:{bucket.port}\r\n\r\n"
        connection.sendall(request.encode())
        content = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"The Host of the request is 'evil.example'" in content


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_programs_of_this_computer_are_answered_and_no_page_may_read_the_answers(bucket: LocalAws, name: str) -> None:
    for header in ({}, {"Sec-Fetch-Site": "none"}):
        host = {"Host": f"{name}:{bucket.port}", **header}
        status, told, content = answer(bucket, "GET", "/", host, b"")
        assert status == 200 and b"<Name>data</Name>" in content
        assert not [header for header in told if header.startswith("access-control-")]


# A real browser

PAGE = """<!DOCTYPE html><form id=form method=post enctype=multipart/form-data target=frame
action="{aws}/data"><input name=key value=sitecustomize.py><input name=file value="{script}"></form>
<iframe name=frame></iframe><script>
const job = {{method: 'POST', body: '{{}}', headers: {{'X-Amz-Target': 'SageMaker.CreateProcessingJob'}}}};
const tries = {{
  'list buckets': ['{aws}/', {{}}],
  'read an object': ['{aws}/data/secret', {{}}],
  'upload a script': ['{aws}/data/sitecustomize.py', {{method: 'PUT', body: 'x'}}],
  'upload without asking': ['{aws}/data', {{method: 'POST', body: 'x', mode: 'no-cors'}}],
  'run a job': ['{aws}/', job],
  'forget everything': ['{aws}/moto-api/reset', {{method: 'POST', mode: 'no-cors'}}],
}};
async function all() {{
  const told = {{}};
  for (const [name, [address, options]] of Object.entries(tries)) {{
    try {{ const answer = await fetch(address, options); told[name] = answer.type + ' ' + await answer.text(); }}
    catch (error) {{ told[name] = error.name; }}
  }}
  const frame = document.querySelector('iframe'), loaded = new Promise(done => frame.onload = done);
  document.getElementById('form').submit();
  await loaded;
  try {{ told['upload by a form'] = frame.contentDocument.body.innerText; }}
  catch (error) {{ told['upload by a form'] = error.name; }}
  await fetch('/told', {{method: 'POST', body: JSON.stringify(told)}});
}}
all();
</script>"""


class _Site(http.server.ThreadingHTTPServer):
    """Another server of this computer, with a page that attacks; the page sends back what it got."""

    def __init__(self, page: str) -> None:
        self.page, self.told = page, queue.Queue[dict[str, str]]()
        super().__init__(("127.0.0.1", 0), _Request)


class _Request(http.server.BaseHTTPRequestHandler):
    server: _Site

    def do_GET(self) -> None:
        self._answer(self.server.page.encode())

    def do_POST(self) -> None:
        self.server.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values: Any) -> None:
        """A test's output is for its failures."""


@contextmanager
def site(page: str) -> Iterator[_Site]:
    with _Site(page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_a_page_in_a_browser_gets_nothing_and_changes_nothing(bucket: LocalAws, tmp_path: Path, host: str) -> None:
    with site(PAGE.format(aws=bucket.endpoint, script=SCRIPT.decode())) as server:
        command = browser(tmp_path, f"http://{host}:{server.server_port}/")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                told = server.told.get(timeout=MINUTES)
            finally:
                process.terminate()
    blind = {"upload without asking", "forget everything"}  # a page does not see how these ended
    assert {name: told[name] for name in blind} == dict.fromkeys(blind, "opaque ")
    assert set(told) - blind == {
        *("list buckets", "read an object", "upload a script", "run a job", "upload by a form")
    }
    assert {told[name] for name in set(told) - blind} == {"TypeError"}, told


def test_a_page_whose_name_was_pointed_at_this_computer_gets_nothing(bucket: LocalAws, tmp_path: Path) -> None:
    address = f"http://evil.example:{bucket.port}/data/secret"
    done = subprocess.run(browser(tmp_path, "--dump-dom", address), capture_output=True, text=True, timeout=MINUTES)
    assert "The Host of the request is" in done.stdout, done.stderr
    assert "a secret" not in done.stdout


# The live page has the origin of the buckets' objects

OF_THE_LIVE_PAGE = {
    "read the page": ("GET", "/", {"Sec-Fetch-Dest": "document"}, b""),
    "read the events": ("GET", "/_live/events?token=x", {}, b""),
    "read the events without a token": ("GET", "/_live/events", {}, b""),
    "stop a run": ("POST", "/_live/stop", {"X-Live-Token": "x"}, b"run"),
    "promote its models": ("POST", "/_live/promote", {}, b"run"),
    "run a job beside it": ("POST", "/_live/x", {"X-Amz-Target": "SageMaker.CreateProcessingJob"}, JOB.encode()),
}


class NoRuns:
    """A source that nobody may reach."""

    title, place, pause = "pipeline", "this computer", 0.01

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a page reached {name}")


@pytest.fixture
def live(bucket: LocalAws) -> Iterator[LocalAws]:
    source: Any = NoRuns()
    bucket.page = LivePage(source)
    yield bucket
    bucket.page = None


@pytest.mark.parametrize("page", PAGES)
def test_no_other_page_reaches_the_live_page(live: LocalAws, page: str) -> None:
    header = {name: value.format(port=live.port) for name, value in PAGES[page].items()}
    for attack, (method, path, headers, body) in {**ATTACKS, **OF_THE_LIVE_PAGE}.items():
        status, told, content = answer(live, method, path, {**headers, **header}, body)
        assert status in (400, 403), attack
        assert not [name for name in told if name.startswith("access-control-")], attack
        assert b"<html" not in content, attack


def test_a_person_gets_the_live_page_and_programs_get_the_buckets(live: LocalAws) -> None:
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}
    status, told, content = answer(live, "GET", "/", typed, b"")
    assert status == 200 and content.startswith(b"<!doctype html>")
    policy = told["content-security-policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy
    for headers in ({}, {"Authorization": signed("s3")}):
        assert b"<Name>data</Name>" in answer(live, "GET", "/", headers, b"")[2]


def test_without_a_live_page_nothing_below_its_address_is_answered(bucket: LocalAws) -> None:
    method, path, headers, body = OF_THE_LIVE_PAGE["run a job beside it"]
    status, _, content = answer(bucket, method, path, {**headers, "Sec-Fetch-Site": "same-origin"}, body)
    assert status == 400 and b"local AWS answers no web pages" in content


# It reads what it can of the live page: as a window, in a frame, by a request.
THIEF = """<!DOCTYPE html><title>waits</title><body><script>
const read = async () => {
  const told = {};
  for (const [name, options] of [['/', {}], ['/_live/events', {}], ['/_live/stop', {method: 'POST', body: 'run'}]]) {
    try { told[name] = await (await fetch(name, options)).text(); } catch (error) { told[name] = error.name; }
  }
  const frame = document.createElement('iframe');
  const loaded = new Promise(done => frame.onload = done);
  frame.src = '/';
  document.body.append(frame);
  await loaded;
  try { told.frame = frame.contentDocument.documentElement.outerHTML; } catch (error) { told.frame = error.name; }
  return told;
};
</script>"""


def test_an_object_in_a_bucket_that_is_opened_as_a_page_cannot_read_the_live_page(
    aws: LocalAws, tmp_path: Path
) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket="data", Key="thief.html", Body=THIEF.encode(), ContentType="text/html")
    signing = boto3.client(  # the server's own clients sign nothing
        "s3", REGION, endpoint_url=aws.endpoint, aws_access_key_id="local", aws_secret_access_key="local"
    )
    source: Any = NoRuns()
    aws.page = LivePage(source)
    try:
        with opened(tmp_path) as browser:
            page = browser.page(signing.generate_presigned_url("get_object", {"Bucket": "data", "Key": "thief.html"}))
            until(lambda: page.js("document.title") == "waits")
            told = page.js("read()")
    finally:
        aws.page = None
        s3.delete_object(Bucket="data", Key="thief.html")
    assert set(told) == {"/", "/_live/events", "/_live/stop", "frame"}
    assert "local AWS answers no web pages" in told["/"] and "local AWS answers no web pages" in told["frame"]
    assert told["/_live/events"] == told["/_live/stop"] == "The token is missing or expired."


# What such a page was after


def test_a_variable_of_a_job_does_not_make_it_run_one_of_its_inputs(aws: LocalAws, jobs: Jobs) -> None:
    jobs.s3.put_object(Bucket="data", Key="evil/sitecustomize.py", Body=b"import os; os.environ['EVIL'] = 'yes'")
    evil = input_of("evil", "s3://data/evil/")
    variables = {"PYTHONPATH": "processing/input/evil", "LD_PRELOAD": "x.so", "HOME": "processing", "MINE": "yes"}
    do = "print(*[os.environ.get(name) for name in ('EVIL', 'PYTHONPATH', 'LD_PRELOAD', 'MINE')], os.environ['HOME'])"
    name = jobs.processing(do, inputs=[evil], Environment=variables)
    assert jobs.ended(name)["status"] == "Completed"
    first, second = aws.logs.lines("processing", name)
    assert first == "The local AWS does not set HOME, LD_PRELOAD, PYTHONPATH."
    assert second.startswith("None None None yes /") and second.endswith("/home")
