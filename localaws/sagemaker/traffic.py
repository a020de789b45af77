"""Which server of an endpoint answers a request: fleets with shares of the traffic, variants with weights.

The choice is a smooth weighted round robin, so that after any number of requests each server has had its share, give or
take one request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from localaws.sagemaker.model_server import ModelServer, Unavailable


class UnknownVariant(Exception):
    """No fleet has the variant that a request names."""


@dataclass(eq=False)
class Member:
    """A variant in a fleet."""

    config: str  # the name of the fleet's endpoint configuration
    variant: dict[str, Any]  # of that configuration
    server: ModelServer
    weight: float  # of the variant
    capture: Mapping[str, Any] = field(default_factory=dict)  # the configuration's DataCaptureConfig
    role: str = ""  # of the model
    share: float = 0.0  # of its fleet, between 0 and 1
    peers: Fleet = field(default_factory=list, repr=False)  # its fleet, with itself
    turn: float = 0.0  # grows with each request that another one answers

    @property
    def name(self) -> str:
        return str(self.variant["VariantName"])

    @property
    def part(self) -> float:
        """Of the requests to its fleet."""
        return self.weight / (sum(peer.weight for peer in self.peers) or 1.0)

    @property
    def at_most(self) -> int:
        """The requests that may run at the same time."""
        return int(self.variant.get("ServerlessConfig", {}).get("MaxConcurrency", 10**9))


Fleet = list[Member]


class Traffic:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: list[Member] = []

    def set(self, shares: Iterable[tuple[Fleet, float]]) -> None:
        """Give each fleet its share; fleets that are left out get no more requests."""
        with self._lock:
            self._members = []
            for fleet, share in shares:
                for member in fleet:
                    member.share, member.peers = share, fleet
                    self._members.append(member)

    def weigh(self, weights: Mapping[str, float]) -> None:
        with self._lock:
            for member in self._members:
                member.weight = weights.get(member.name, member.weight)

    def __iter__(self) -> Iterator[Member]:
        with self._lock:
            return iter(list(self._members))

    def admitted(self, variant: str = "") -> Member:
        """The member whose turn it is, with the request counted; raises UnknownVariant, Unavailable or Overloaded."""
        with self._lock:
            among = [member for member in self._members if variant in ("", member.name)]
            if variant and not among:
                raise UnknownVariant(variant)
            weights = [member.share * (1.0 if variant else member.part) for member in among]
            if not sum(weights):
                raise Unavailable
            for member, weight in zip(among, weights, strict=True):
                member.turn += weight
            chosen = max((m for m, w in zip(among, weights, strict=True) if w), key=lambda member: member.turn)
            chosen.turn -= sum(weights)
            try:
                chosen.server.admit(chosen.at_most)
            except Unavailable:
                raise Unavailable(chosen) from None
            return chosen
