"""What a command with a local AWS loads before its work begins, from modules to the services' models.

Imported by the server of forks alone.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from local_aws import settings

import pipeline
from localaws.server.aws import LocalAws
from stepgluon.cli import main
from stepgluon.config import source
from stepgluon.local import run, serve

__all__ = ["main", "pipeline", "run", "serve", "source"]

CLIENTS = "cloudformation ecr events iam kms lambda logs s3 service-quotas sns sqs stepfunctions sts cloudwatch"
MOTO = "awslambda cloudwatch ecr events iam kms logs s3 servicequotas sns sqs stepfunctions sts"

with tempfile.TemporaryDirectory() as folder, LocalAws(settings(Path(folder))) as aws:
    for service in CLIENTS.split():
        aws.client(service)
for service in MOTO.split():
    importlib.import_module(f"moto.{service}.urls")
sys.path.pop(0)
