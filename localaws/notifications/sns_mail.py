"""SNS's mails: each publish to a topic becomes one .eml file, addressed to all email subscribers.

Subscriptions need no confirmation. Requests that AWS refuses but moto accepts are refused.
"""

from __future__ import annotations

import contextlib
import email.policy
import email.utils
import hashlib
import os
import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from localaws.base.patches import Patches

SENDER = "no-reply@sns.amazonaws.com"
NO_SUBJECT = "AWS Notification Message"  # [sns] when published without a subject
LONGEST_LINE = 998  # [RFC 5322] bytes
MESSAGE_BYTES = 256 * 1024  # [sns]

Once = Callable[[str, str], str]
"""A mail's key, from its subject and text: of mails with the same key only the first is kept, "" keeps all."""


class Outbox:
    """A folder of mails whose names sort by time. With `once`, a resumed run sends no mail twice; `fit` edits texts."""

    def __init__(
        self,
        folder: Path,
        once: Once = lambda subject, text: "",
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        fit: Callable[[str], str] = str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._once, self._clock, self._fit = once, clock, fit
        self._last = datetime.min.replace(tzinfo=timezone.utc)
        self._lock = threading.Lock()
        self._keys = {
            match[1] for path in folder.glob("*.eml") if (match := re.search(r"-([0-9a-f]{16})\.eml", path.name))
        }

    def put(self, to: list[str], sender: str, subject: str, text: str, message_id: str) -> Path | None:
        """Write the mail's file atomically; return it, or None if the outbox already has its key."""
        key = self._once(subject, text)
        digest = hashlib.sha256((key or message_id).encode()).hexdigest()[:16]
        with self._lock:
            if key and digest in self._keys:
                return None
            # Mails of the same microsecond keep their order.
            now = self._last = max(self._clock(), self._last + timedelta(microseconds=1))
            words = re.sub(r"[^A-Za-z0-9]+", "-", subject)[:100].strip("-")
            path = self.folder / f"{now:%Y%m%dT%H%M%S.%fZ}-{words}-{digest}.eml"
            _write(path, _letter(to, sender, subject, self._fit(text), message_id, now))
            self._keys.add(digest)
        return path


def _letter(to: list[str], sender: str, subject: str, text: str, message_id: str, now: datetime) -> bytes:
    letter = EmailMessage(email.policy.default)
    letter["From"] = sender
    letter["To"] = ", ".join(to)
    letter["Subject"] = subject
    letter["Date"] = email.utils.format_datetime(now)
    letter["Message-ID"] = f"<{message_id}@sns.amazonaws.com>"
    # 8bit, so that `cat` and grep can read it, unless a line is longer than mail allows.
    plain = all(len(line) <= LONGEST_LINE for line in text.encode().splitlines())
    letter.set_content(text, charset="utf-8", cte="8bit" if plain else "quoted-printable")
    return letter.as_bytes()


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def install(outbox: Outbox) -> Patches:
    """Make moto's SNS mail to the outbox, until `undo()`."""
    from moto.sns.exceptions import InternalError, SNSInvalidParameter
    from moto.sns.models import SNSBackend, Topic

    publish, send, subscribe = SNSBackend.publish, Topic.publish, SNSBackend.subscribe

    def published(backend: Any, message: str, arn: str | None, *args: Any, **kwargs: Any) -> Any:
        if wrong := _wrong(message, kwargs.get("subject")):
            raise SNSInvalidParameter(f"Invalid parameter: {wrong}")
        if arn and "/" not in arn:
            backend.get_topic(arn)  # raises NotFound as AWS does; moto would look for a phone number
        return publish(backend, message, arn, *args, **kwargs)

    def sent(topic: Any, message: str, subject: str | None = None, **kwargs: Any) -> Any:
        message_id = send(topic, message, subject=subject, **kwargs)
        to = [
            subscription
            for subscription in list(topic.sns_backend.subscriptions.values())
            if subscription.topic is topic
            and subscription.protocol == "email"
            and (
                not (policy := subscription._filter_policy_matcher)
                or policy.matches(kwargs.get("message_attributes"), message)
            )
        ]
        if to and kwargs.get("message_structure") == "json":
            message = to[0]._parse_message_structure(message, "email")
        sender = email.utils.formataddr((topic.display_name or "AWS Notifications", SENDER))
        try:
            if to:
                outbox.put([one.endpoint for one in to], sender, subject or NO_SUBJECT, message, message_id)
        except OSError as error:
            raise InternalError(f"The mail could not be written to the outbox: {error}") from error
        return message_id

    def subscribed(backend: Any, topic_arn: str, endpoint: str, protocol: str) -> Any:
        if protocol == "email" and not re.fullmatch(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+", endpoint):
            raise SNSInvalidParameter("Invalid parameter: Email address")
        return subscribe(backend, topic_arn, endpoint, protocol)

    patches = Patches()
    patches.attribute(SNSBackend, "publish", published)
    patches.attribute(SNSBackend, "subscribe", subscribed)
    patches.attribute(Topic, "publish", sent)
    return patches


def _wrong(message: str, subject: str | None) -> str:
    """[sns] Publish: a subject is one line of less than 100 printable ASCII characters; a message is not empty."""
    if subject is not None and not re.fullmatch(r"[!-~][ -~]{0,98}", subject):
        return "Subject"
    if not message:
        return "Empty message"
    return "Message too long" if len(message.encode()) > MESSAGE_BYTES else ""
