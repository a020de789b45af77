"""What a local AWS reads and makes before its first request, done once by the fork server of those that tests start."""

from __future__ import annotations

import boto3
import botocore_models
import moto_shared
from moto.moto_server import werkzeug_app

SERVICES = "cloudformation cloudwatch ecr events iam kms lambda logs s3 sagemaker sns sqs stepfunctions sts"

botocore_models.share()
moto_shared.share()
session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="eu-west-1")
for service in SERVICES.split():
    session.client(service)
werkzeug_app.DISABLE_GLOBAL_CORS = True  # as the local AWS has it
for service in SERVICES.split():
    werkzeug_app.create_backend_app(service)
werkzeug_app.DISABLE_GLOBAL_CORS = False
