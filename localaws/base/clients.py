"""boto3 clients for the local AWS, created once per role or for the administrator. They cannot call anything else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from localaws.base.in_process import Application, call

ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


@cache
def models() -> Any:
    """Loads the services' models, once per process."""
    from botocore.loaders import Loader

    return Loader()


class Clients:
    """With an application, calls go to it without a socket; `credentials` returns a role's credentials."""

    def __init__(
        self,
        endpoint: str,
        application: Application | None = None,
        credentials: Callable[[str], Mapping[str, str]] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._application = application
        self._credentials = credentials
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._lock = threading.Lock()
        self._session: Any = None

    def get(self, service: str, region: str, role: str = "") -> Any:
        """The administrator's client, or a role's, given its ARN."""
        with self._lock:
            client = self._clients.get((service, region, role))
            if client is None:
                client = self._clients[service, region, role] = self._make(service, region, role)
            return client

    def _make(self, service: str, region: str, role: str) -> Any:
        from botocore.config import Config
        from botocore.session import Session

        if self._session is None:
            self._session = Session()
            self._session.register_component("data_loader", models())
        config = Config(
            retries={"total_max_attempts": 1},
            proxies={},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=50,
            parameter_validation=False,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        known = self._credentials(role) if role and self._credentials else ADMINISTRATOR
        client = self._session.create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=known.get("AWS_SESSION_TOKEN"),
            config=config,
        )
        if self._application:
            application = self._application
            client.meta.events.register("before-send.*.*", lambda request, **more: call(application, request))
        return client

    def close(self) -> None:
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
