"""All access to boto3: clients for an account, and botocore's errors as one sentence with a fix.

    with one_sentence():
        Aws("eu-west-1").client("s3").list_buckets()

Credentials are found as in every AWS tool. AWS_ENDPOINT_URL sets another endpoint, like `local up`'s.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from stepgluon import __version__
from stepgluon.errors import StepgluonError, SurroundingsError

T = TypeVar("T")


class Door(Protocol):
    """Provides clients, for an account or the local AWS."""

    def client(self, service: str) -> Any: ...


class Refused(StepgluonError):
    """AWS was reached, but refuses the request."""


class Denied(SurroundingsError):
    """The caller lacks a permission."""


class Aws:
    def __init__(self, region: str) -> None:
        self.region = region
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()  # creating a client is not thread-safe; using one is

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        if self._session is None:
            self._session = boto3.Session(region_name=self.region)
        config = Config(
            # Adaptive mode slows down early; six attempts take about half a minute.
            retries={"mode": "adaptive", "total_max_attempts": 6},
            connect_timeout=10,
            read_timeout=60,
            tcp_keepalive=True,
            user_agent_extra=f"stepgluon/{__version__}",
            # botocore would sign links to S3 with version 2, which does not open what a KMS key encrypts.
            signature_version="s3v4" if service == "s3" else None,
            # TestState has a separate host, sync-states.…, which other endpoints lack.
            inject_host_prefix=not any(name.startswith("AWS_ENDPOINT_URL") for name in os.environ),
        )
        try:
            client = self._session.client(service, config=config)
            _ = urlsplit(client.meta.endpoint_url).port
            return client
        except ValueError as error:  # from botocore, or about the port, which it checks later
            if not any(name.startswith("AWS_ENDPOINT_URL") for name in os.environ):
                raise
            raise SurroundingsError(
                f"the address of {service} cannot be used: {_stop(str(error))} (expected in AWS_ENDPOINT_URL: like "
                f"http://127.0.0.1:5000)"
            ) from None


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn botocore's user errors into one sentence; let its bugs and ours pass unchanged."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise refusal(error) from None
    except ResponseParserError:
        raise SurroundingsError(
            "something between this computer and AWS answered instead (check the network, HTTPS_PROXY and NO_PROXY)"
        ) from None
    except BotoCoreError as error:
        sentence = _unreached(error)
        if sentence is None:
            raise
        raise SurroundingsError(sentence) from None


def code_of(error: Any) -> str:
    """The code of a ClientError, like NoSuchKey."""
    return str(error.response.get("Error", {}).get("Code", ""))


def answer(ask: Callable[[], T], *without: str) -> T | None:
    """AWS's response, or None if it refuses with one of these codes."""
    from botocore.exceptions import ClientError

    try:
        return ask()
    except ClientError as error:
        if code_of(error) in without:
            return None
        raise


@contextmanager
def instead_of(codes: Collection[str], problem: Exception) -> Iterator[None]:
    """Raise the problem instead of a refusal with one of these codes."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        raise (problem if code_of(error) in codes else error) from None


def message_of(error: Any) -> str:
    """AWS's message of a ClientError, on one line."""
    return " ".join(str(error.response.get("Error", {}).get("Message") or "").split())


# Refusals


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_UNKNOWN = _codes(
    """AuthFailure IncompleteSignature InvalidAccessKeyId InvalidClientTokenId InvalidToken MissingAuthenticationToken
    MissingAuthenticationTokenException NotAuthorizedException SignatureDoesNotMatch UnrecognizedClientException"""
)
_CLOCK = {"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"}
_DENIED = _codes(
    """403 AccessDenied AccessDeniedException AuthorizationError AuthorizationErrorException Forbidden
    UnauthorizedException UnauthorizedOperation"""
)
NO_SUCH_API = {"InvalidAction", "NoSuchResourceException", "NotImplemented", "UnknownOperationException", "404", "501"}
UNANSWERED = _DENIED | NO_SUCH_API  # of a question for advice, which may be denied, or unknown to the local AWS
_BUSY = _codes(
    """429 PriorRequestNotComplete RequestLimitExceeded RequestThrottled RequestThrottledException SlowDown
    ThrottledException Throttling ThrottlingException TooManyRequestsException"""
)
_NOT_ENABLED = {"OptInRequired", "RegionDisabledException", "SubscriptionRequiredException"}
_FAULT = _codes(
    """500 502 503 504 InternalError InternalFailure InternalServerError InternalServiceError InternalServiceException
    ServerException ServiceException ServiceFailure ServiceUnavailable ServiceUnavailableException"""
)


def refusal(error: Any) -> StepgluonError:
    """Convert a ClientError to one of our errors."""
    code, message, operation = code_of(error), message_of(error), error.operation_name
    if code in _EXPIRED or "token included in the request is expired" in message:
        return SurroundingsError(
            "the AWS credentials have expired (get new ones, with SSO by `aws sso login`, and run the command again)"
        )
    if code in _CLOCK or re.search(r"Signature (expired|not yet current)", message):
        return SurroundingsError("AWS refuses what this computer signs: its clock is wrong (set the time)")
    if code in _UNKNOWN:
        return SurroundingsError(
            f"AWS does not know these credentials in this region: {_stop(message)} (look with `aws sts "
            f"get-caller-identity`; a region that is off by default is enabled in the account's settings)"
        )
    if code in _DENIED:
        return Denied(_denied(message, operation))
    if code in _BUSY:
        return SurroundingsError(
            f"AWS is too busy for {operation}, also after several attempts: {_stop(message or code)} "
            f"(run the command again in some minutes)"
        )
    if code in _NOT_ENABLED:
        return SurroundingsError(
            f"{operation} cannot be used in this account and region: {_stop(message)} (enable it in the account's "
            f"settings, or choose another region)"
        )
    if code in _FAULT or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return SurroundingsError(
            f"AWS itself failed at {operation}: {_stop(message or code)} (run the command again in some minutes)"
        )
    return Refused(f"AWS refuses {operation}: {_stop(message or code)} [{code}]")


def _denied(message: str, operation: str) -> str:
    """The caller, action and resource from AWS's message; S3 often only says 'Access Denied'."""
    who = re.search(r"\bUser:? (arn:\S+)", message)
    what = re.search(r"not authorized to perform:? ([\w-]+:\w+)", message)
    on = re.search(r"\bon (?:the )?resource:? (\S+)", message)
    why = re.search(r"\b(?:because|with) (an explicit deny in (?:a|an) [\w -]+? policy)\b", message)
    asked = what[1] if what else operation
    sentence = f"{who[1] if who else 'the user of these credentials'} may not {asked}"
    if on and on[1] != "*":
        sentence += f" on {on[1].rstrip('.,')}"
    if why:
        return f"{sentence}: there is {why[1]} (ask those who look after the account)"
    if "permissions boundary" in message:
        return f"{sentence}: the permissions boundary does not allow it (ask those who look after the account)"
    return f"{sentence} (ask for the permissions in policy/deployer.json)"


def _stop(text: str) -> str:
    return text.rstrip(". ")


# No response


# botocore's exceptions by name, because importing them takes long; an older botocore lacks some.
_UNREACHED = {
    "NoCredentialsError": (
        "no AWS credentials were found (run `aws configure sso`, or set AWS_PROFILE if you have several)"
    ),
    "PartialCredentialsError": "the AWS credentials from {provider} lack {cred_var} (add it)",
    "ProfileNotFound": (
        "the AWS profile {profile} does not exist (list yours with `aws configure list-profiles`, and set AWS_PROFILE)"
    ),
    "ConfigParseError ConfigNotFound InvalidConfigError": (
        "the settings of AWS's tools cannot be used: {text} (look at ~/.aws/config)"
    ),
    "SSOError TokenRetrievalError NoAuthTokenError": (
        "the AWS session has expired or was never started (run `aws sso login`, then this command again)"
    ),
    "CredentialRetrievalError MetadataRetrievalError": (
        "the AWS credentials cannot be loaded: {text} (check with `aws sts get-caller-identity`)"
    ),
    "LoginError": "the AWS session has expired or was never started (run `aws login`, then this command again)",
    "ProxyConnectionError": "the proxy {proxy} does not answer (look at HTTPS_PROXY and NO_PROXY)",
    "SSLError": (
        "the certificate of {place} is not trusted (a proxy that intercepts connections needs its authority's "
        "certificate in AWS_CA_BUNDLE)"
    ),
    "EndpointConnectionError ConnectTimeoutError": (
        "{place} cannot be reached (look at the network, the region's name and AWS_ENDPOINT_URL)"
    ),
    "HTTPClientError ConnectionError ResponseStreamingError IncompleteReadError": (
        "the connection to {server} was lost (run the command again: what was done stays done)"
    ),
    "InvalidRegionError UnknownRegionError NoRegionError": (
        "botocore rejects the region: {text} (look at the config's region)"
    ),
    "EndpointResolutionError": ("no endpoint is known: {text} (look at the config's region and AWS_ENDPOINT_URL)"),
}


def _unreached(error: Any) -> str | None:
    """Why AWS could not be reached; None if that is a bug and not a problem of the environment."""
    from botocore import exceptions

    said = dict(getattr(error, "kwargs", {}))
    place, text = _host(str(said.get("endpoint_url") or "")), _stop(" ".join(str(error).split()))
    said |= {"place": place, "server": place or "AWS", "proxy": _host(str(said.get("proxy_url"))), "text": text}
    for names, sentence in _UNREACHED.items():
        if isinstance(error, tuple(getattr(exceptions, name, ()) for name in names.split())):
            return sentence.format(**said)
    return None


def _host(url: str) -> str:
    """https://sts.eu-west-1.amazonaws.com/?x=y -> sts.eu-west-1.amazonaws.com; never a proxy's user and password."""
    return re.sub(r"^\w+://|/.*$|^[^/]*@", "", re.sub(r"^\w+://", "", url))


def passes(error: Exception) -> bool:
    """Whether botocore's error is likely to pass soon: throttling, AWS's own fault, a lost connection."""
    from botocore import exceptions as botocore

    if isinstance(error, botocore.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code_of(error) in _BUSY | _FAULT or status >= 500
    return isinstance(error, (botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError))


@contextmanager
def transfers(client: Any) -> Iterator[Any]:
    """A manager that transfers large objects in parallel parts; errors are raised by a transfer's future."""
    from s3transfer.manager import TransferManager  # type: ignore[import-untyped]

    with TransferManager(client) as manager:
        yield manager


def there_are_credentials() -> bool:
    """Whether there are credentials; also true if their settings are broken, which is reported on use."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.Session().get_credentials() is not None
    except BotoCoreError:
        return True
