"""No test sees the credentials, profiles and regions of whoever runs it: there is no account to reach by mistake."""

from __future__ import annotations

import os

for variable in [name for name in os.environ if name.upper().startswith("AWS_")]:
    del os.environ[variable]
os.environ |= {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
