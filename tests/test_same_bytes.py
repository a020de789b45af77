"""The definition depends on the config alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden import HERE

ROOT = HERE.parent
CONFIG = HERE / "golden" / "everything" / "config.yml"
EXPECTED = (HERE / "golden" / "everything" / "definition.asl.json").read_bytes()

# Any attempt to reach another computer ends the process with a traceback.
NO_NETWORK = """
import socket, sys, runpy
def refuse(*_):
    raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
BARE = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"AWS_DEFAULT_REGION": "cn-north-1", "AWS_REGION": "us-gov-east-1"},
        {
            "AWS_PROFILE": "nobody",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "y",
            "AWS_ENDPOINT_URL": "http://x",
        },
        {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "4711", "PYTHONOPTIMIZE": "2"},
    ],
    ids=["bare", "regions", "credentials", "ascii", "turkish", "seed", "optimised"],
)
def test_no_shell_network_or_credential_changes_a_byte(tmp_path: Path, variables: dict[str, str]) -> None:
    out = tmp_path / "out"
    words = ["compile", "--config", str(CONFIG), "--env", "prod", "--out", str(out)]
    command = [sys.executable, "-c", NO_NETWORK, str(ROOT / "pipeline.py"), *words]
    environment = {**BARE, "HOME": str(tmp_path), **variables}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (out / "definition.asl.json").read_bytes() == EXPECTED
