"""What each server of the local AWS would otherwise make anew: moto's applications, the administrator's clients."""

from __future__ import annotations

from functools import cache
from typing import Any

from moto.moto_server import werkzeug_app

from localaws.base.clients import Clients


def share_applications() -> None:
    """Every server has the same of moto's."""
    plain = werkzeug_app.create_backend_app

    @cache
    def made(service: str, without_cors: bool) -> Any:
        return plain(service)

    werkzeug_app.create_backend_app = lambda service: made(service, werkzeug_app.DISABLE_GLOBAL_CORS)


def share_clients() -> None:
    """Every server has the same administrator's clients: making one takes as long as ten calls."""
    plain, made, latest = Clients._make, {}, {}

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        return latest["of"]._application(environ, start_response)

    def make(self: Clients, service: str, region: str, role: str) -> Any:
        if role or self._application is None:
            return plain(self, service, region, role)
        latest["of"] = self
        client = made.get((service, region))
        if client is None:
            client = made[service, region] = plain(Clients(self._endpoint, application), service, region, role)
        return client

    Clients._make = make  # type: ignore[method-assign]


@cache
def share() -> None:
    share_applications()
    share_clients()
