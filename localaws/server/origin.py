"""Refuses requests from web pages, and accepts those of local programs.

A browser lets any page send requests to 127.0.0.1, so a page of any site could otherwise upload a script and run it as
a job. Three headers that a page cannot change reveal it: Origin, Sec-Fetch-Site, and the Host if the site's owner has
pointed a name at 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localaws.base import requests
from localaws.base.in_process import Application
from localaws.iam.enforce import refusal

NAMES = ("127.0.0.1", "localhost")


def no_web_pages(port: int, others: Application) -> Application:
    hosts = {f"{name}:{port}" for name in NAMES} | {name for name in NAMES if port == 80}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").lower()
        if host not in hosts:
            reason = f"The Host of the request is {host!r} (expected: {NAMES[0]}:{port} or {NAMES[1]}:{port})."
        # A typed address or a bookmark has "none"; aws, curl and the SDKs send neither header.
        elif "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
            reason = "The local AWS answers no web pages."
        else:
            return others(environ, start_response)
        return refusal(requests.signed_by(environ)[1], reason, environ, start_response)

    return application
