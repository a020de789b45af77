"""The models that functions and the AWS command line read, loaded once by their fork servers."""

from __future__ import annotations

import boto3
import botocore_models

botocore_models.share()
session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="eu-west-1")
for service in ("s3", "stepfunctions", "sns"):
    session.client(service)
