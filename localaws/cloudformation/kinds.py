"""What a type of resource is here: how one is made, changed and removed, by calls of its service's API."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from localaws.base.in_process import show
from localaws.cloudformation.template import Invalid

Properties = dict[str, Any]
KINDS: dict[str, type[Kind]] = {}


@dataclass(frozen=True)
class Place:
    """Where a stack is deployed, and the clients of its services there."""

    account: str
    region: str
    partition: str
    stack: str
    client: Callable[[str], Any]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


class Failed(Exception):
    """The resource cannot be made, changed or removed, for this reason."""


class Kind(ABC):
    """One type. `known` are the properties that can be given; of these, `fixed` cannot be changed afterwards."""

    type: ClassVar[str]
    known: ClassVar[frozenset[str]]
    fixed: ClassVar[frozenset[str]] = frozenset()
    name: ClassVar[str] = ""  # the property that names the resource

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        KINDS[cls.type] = cls

    def __init__(self, place: Place, logical: str) -> None:
        self.place = place
        self.logical = logical

    @abstractmethod
    def make(self, given: Properties) -> str:
        """Makes the resource with what must be there from the beginning; gives its physical id."""

    def configure(self, physical: str, old: Properties, new: Properties) -> None:  # noqa: B027 - many need no more
        """All that can be changed later; `old` is empty for a resource that has just been made."""

    def remove(self, physical: str, given: Properties) -> None:  # noqa: B027 - some go with another
        """The resource goes; it is no error if it is not there any more."""

    def there(self, given: Properties) -> str | None:
        """The physical id of a resource of this name that exists already and can be taken into a stack."""
        return None

    def attributes(self, physical: str, given: Properties) -> dict[str, Any]:
        """What GetAtt gives."""
        return {}

    def named(self, given: Properties, longest: int = 64) -> str:
        """The name as given, or one of CloudFormation's kind."""
        return str(given.get(self.name) or f"{self.place.stack}-{self.logical}"[:longest])


def lower_first(value: Any) -> Any:
    """CloudFormation's `LogGroupArn` as the JSON APIs' `logGroupArn`, through and through."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lower_first(item) for key, item in value.items()}
    return [lower_first(item) for item in value] if isinstance(value, list) else value


def tags_as_dict(given: Properties) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in given.get("Tags", [])}


def text_of(value: Any) -> str:
    """CloudFormation's booleans and numbers as the text that query APIs take."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def reason(error: Exception) -> str:
    """A refusal of a service, as CloudFormation tells it; what is none is a bug, and is told and shown as one."""
    from botocore.exceptions import BotoCoreError

    response = getattr(error, "response", None)
    if response is None:
        if isinstance(error, (Failed, Invalid, BotoCoreError)):
            return str(error)
        show(error)
        return f"a bug of the local AWS: {type(error).__name__}: {error}"
    told = response["Error"]
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    service = re.sub(r"^.*\.", "", str(getattr(error, "operation_name", "")))
    code = "AlreadyExists" if "AlreadyExist" in told["Code"] else "GeneralServiceException"
    return (
        f'Resource handler returned message: "{told["Message"]} (Operation: {service}, Error: {told["Code"]}, Status '
        f'Code: {status})" (HandlerErrorCode: {code})'
    )
