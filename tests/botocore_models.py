"""Read botocore's models of the services once per process: each session reads them anew, the tests make thousands."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.hooks import EventAliaser
from botocore.loaders import JSONFileLoader


def share() -> None:
    """Keep what was read, and the names that each client computes for its events."""
    load, begin = JSONFileLoader.load_file, EventAliaser.__init__
    loaded, names = cache(load), {}
    loader = JSONFileLoader()

    def init(aliaser: Any, *given: Any, **named: Any) -> None:
        begin(aliaser, *given, **named)
        aliaser._alias_name_cache = names

    JSONFileLoader.load_file = lambda self, path: loaded(loader, path)
    EventAliaser.__init__ = init
