"""moto's S3 with its contents on disk: it keeps keys and headers in memory, and the bytes in `Objects`.

Only three things in moto are changed: where a key keeps its value, how a multipart upload is assembled, and that each
change of a bucket is written to the index before the request is answered.
"""

from __future__ import annotations

import datetime
import io
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from localaws.base.patches import Patches
from localaws.s3.store import Content, Objects, Stored, pieces

IN_MEMORY = 1000  # keys of a bucket that moto holds, each as an object of 2 KB; the others are read on demand
_VERSION = "stepgluon-version"  # in an object's headers in the index
_KEPT_HEADERS = ("content-type", "content-encoding", "x-amz-meta-")


class Buckets:
    """The buckets of one account, served by moto and used by jobs."""

    def __init__(self, objects: Objects, account: str, partition: str) -> None:
        from moto.s3.models import s3_backends

        self.objects = objects
        self._backend = s3_backends[account][partition]
        for name, region in objects.buckets():
            self._backend.create_bucket(name, region)

    def exists(self, bucket: str) -> bool:
        return bucket in self._backend.buckets

    def put_content(self, bucket: str, key: str, content: Content) -> None:
        """Put an object, or a new version of one, whose content is already stored; sends no event."""
        self._backend.put_object(bucket, key, content, disable_notification=True)

    def put(self, bucket: str, key: str, body: bytes) -> dict[str, Any]:
        """Put an object as a request does, with its event; return the answer."""
        made = self._backend.put_object(bucket, key, body)
        made.set_metadata({"Content-Type": "binary/octet-stream"})
        version = {} if made.version_id == "null" else {"VersionId": made.version_id}
        return {"ETag": made.etag, **version}


def _moment(seconds: float) -> datetime.datetime:
    """A time in moto's form: UTC, without a time zone."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).replace(tzinfo=None)


def key_of(bucket: Any, stored: Stored) -> Any:
    """moto's key for an object in the index."""
    from moto.s3 import models

    headers = dict(stored.headers)
    version = headers.pop(_VERSION, "null")
    key = models.FakeKey(
        name=stored.key,
        bucket_name=bucket.name,
        value=stored.content,
        account_id=bucket.account_id,
        region_name=bucket.region_name,
        version_id=version,
        is_versioned=version != "null",
        etag=stored.content.etag,
    )
    key.last_modified = _moment(stored.modified)
    key._metadata.update(headers)
    return key


_thread = threading.local()  # `prefix`: of the keys that it is listing; `read`: how it reads values


def keep_on_disk(patches: Patches, objects: Objects) -> None:
    """Make moto's S3 store its contents in `objects`."""
    from moto.s3 import models, responses

    key_class, multipart_class = _key_class(models, objects), _multipart_class(models, objects)
    patches.everywhere("moto.s3", models.FakeKey, key_class)
    patches.everywhere("moto.s3", models.FakeMultipart, multipart_class)
    keys_class = _keys_class(models, objects)
    begin, end, list_objects = models.FakeBucket.__init__, models.S3Backend.delete_bucket, models.S3Backend.list_objects
    put, one_at_a_time = responses.S3Response.put_object, threading.Lock()
    forget = models.S3Backend.reset

    def create(bucket: Any, *values: Any, **named: Any) -> None:
        begin(bucket, *values, **named)
        bucket.keys = keys_class(bucket)
        objects.add_bucket(bucket.name, bucket.region_name)

    def delete(backend: Any, bucket_name: str) -> Any:
        deleted = end(backend, bucket_name)
        if deleted:
            objects.remove_bucket(bucket_name)
        return deleted

    def reset(backend: Any) -> None:
        """moto disposes of each key; ours hold no file, and the index has thousands."""
        for bucket in backend.buckets.values():
            bucket.keys = models._VersionedKeyStore()
        forget(backend)

    def listed(self: Any, bucket: Any, prefix: str | None, *more: Any, **named: Any) -> Any:
        _thread.prefix = prefix or ""
        try:
            return list_objects(self, bucket, prefix, *more, **named)
        finally:
            _thread.prefix = ""

    def put_object(self: Any) -> Any:
        """moto checks for the key first and puts it later, so two simultaneous If-None-Match would both succeed."""
        with one_at_a_time if self.headers.get("If-None-Match") else nullcontext():
            return put(self)

    patches.attribute(models.FakeBucket, "__init__", create)
    patches.attribute(models.S3Backend, "delete_bucket", delete)
    patches.attribute(models.S3Backend, "reset", reset)
    patches.attribute(models.S3Backend, "list_objects", listed)
    patches.attribute(models.S3Backend, "copy_object", _reading(models.S3Backend.copy_object, OnDisk))
    patches.attribute(responses.S3Response, "get_object", _reading(responses.S3Response.get_object, OnDisk))
    patches.attribute(responses.S3Response, "put_object", put_object)


def _reading(plain: Callable[..., Any], read: Callable[[Content, Path], Any]) -> Callable[..., Any]:
    """Use `read` for the values that moto needs in this call, to keep them out of the memory."""

    def call(*values: Any, **named: Any) -> Any:
        _thread.read = read
        try:
            return plain(*values, **named)
        finally:
            _thread.read = None

    return call


class OnDisk:
    """A content that is sent piece by piece; moto takes the requested range, or all of it."""

    def __init__(self, content: Content, file: Path) -> None:
        self.content, self._file = content, file

    def __len__(self) -> int:
        return self.content.size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(self.content.size)
        with self._file.open("rb") as file:
            file.seek(start)
            return file.read(max(0, end - start))

    def __iter__(self) -> Iterator[bytes]:
        return pieces(self._file)


def _key_class(models: Any, objects: Objects) -> type:
    plain = models.FakeKey
    private, closed = models.get_canned_acl("private"), io.BytesIO()
    closed.close()

    class KeyOnDisk(plain):  # type: ignore[misc, valid-type]
        """A key whose value is a content; it accepts a content or bytes."""

        content: Content
        _value_buffer: Any

        @property
        def value(self) -> Any:
            read = getattr(_thread, "read", None) or (lambda content, file: file.read_bytes())
            return read(self.content, objects.file(self.content))

        @value.setter
        def value(self, given: bytes | str | Content | OnDisk) -> None:
            given = given.content if isinstance(given, OnDisk) else given
            given = given.encode() if isinstance(given, str) else given
            self.content = given if isinstance(given, Content) else objects.add(bytes(given))
            self.contentsize = self.content.size
            # Thousands of keys share their common values.
            self._value_buffer.close()
            self._value_buffer, self.acl = closed, private

        @property
        def etag(self) -> str:
            return f'"{self._etag or self.content.etag}"'

        def __del__(self) -> None:
            """Do nothing: it holds no file to dispose of."""

        def set_metadata(self, metadata: Any, replace: bool = False) -> None:
            super().set_metadata(metadata, replace)
            if isinstance(self.name, str) and self.bucket_name:
                objects.put(self.bucket_name, stored(self))

        def __deepcopy__(self, memo: Any) -> Any:
            twin = object.__new__(type(self))
            twin.__dict__.update(self.__dict__)
            return twin

    return KeyOnDisk


def stored(key: Any) -> Stored:
    content = Content(key.content.sha256, key.content.size, key.etag.strip('"'))
    headers = {name: text for name, text in key.metadata.items() if name.lower().startswith(_KEPT_HEADERS)}
    if key.version_id != "null":
        headers[_VERSION] = key.version_id
    return Stored(key.name, content, headers, key.last_modified.replace(tzinfo=datetime.timezone.utc).timestamp())


def _multipart_class(models: Any, objects: Objects) -> type:
    plain = models.FakeMultipart

    class MultipartOnDisk(plain):  # type: ignore[misc, valid-type]
        def complete(self, body: Any) -> tuple[Any, str, Any]:
            """As in moto, but the parts are joined from file to file and never in memory."""
            asked = list(body)
            _, etag, _ = _reading(super().complete, lambda content, file: b"")(asked)
            return objects.join([objects.file(self.parts[number].content) for number, _ in asked]), etag, None

    return MultipartOnDisk


def _keys_class(models: Any, objects: Objects) -> type:
    class KeysOnDisk(models._VersionedKeyStore):  # type: ignore[misc]
        """A bucket's keys. The index has each key's latest version unless that is a delete marker; this holds the keys
        with several versions or a marker, and the most recent ones.
        """

        def __init__(self, bucket: Any) -> None:
            super().__init__()
            self._bucket = bucket

        def __sgetitem__(self, key: str) -> list[Any]:
            held = dict.get(self, key)
            if held is None:
                stored = objects.one(self._bucket.name, key)
                if stored is None:
                    raise KeyError(key)
                held = [key_of(self._bucket, stored)]
            return held

        def __contains__(self, key: object) -> bool:
            return dict.__contains__(self, key) or objects.one(self._bucket.name, str(key)) is not None

        def __len__(self) -> int:
            return sum(1 for _ in self._iteritems())

        def __setitem__(self, key: str, value: Any) -> None:
            super().__setitem__(key, value)
            self._write(key)

        def setlist(self, key: str, versions: Any) -> None:
            super().setlist(key, versions)
            self._write(key)

        def pop(self, key: str) -> None:
            if dict.__contains__(self, key):
                super().pop(key)
            self._write(key)

        def _iteritems(self) -> Iterator[tuple[str, Any]]:
            for key, versions in self._iterlists():
                yield key, versions[-1]

        def _itervalues(self) -> Iterator[Any]:
            for _, versions in self._iterlists():
                yield versions[-1]

        def _iterlists(self) -> Iterator[tuple[str, list[Any]]]:
            """All keys, or those with the prefix that this thread is listing."""
            prefix = getattr(_thread, "prefix", "")
            held = {key: versions for key, versions in dict(self).items() if key.startswith(prefix)}
            yield from held.items()
            for stored in objects.below(self._bucket.name, prefix):
                if stored.key not in held:
                    yield stored.key, [key_of(self._bucket, stored)]

        items, values, lists, iterlists = _iteritems, _itervalues, _iterlists, _iterlists

        def item_size(self) -> int:
            return len(self)  # callers only check whether it is 0

        def _write(self, key: str) -> None:
            latest = (dict.get(self, key) or [None])[-1]  # deleting a key's last version briefly leaves an empty list
            if isinstance(latest, models.FakeKey):
                objects.put(self._bucket.name, stored(latest))
            else:
                objects.remove(self._bucket.name, key)
            for name in list(itertools.islice(self, max(0, dict.__len__(self) - IN_MEMORY))):
                versions: list[Any] | None = dict.pop(self, name, None)  # another thread may have taken it
                if versions is not None and (len(versions) != 1 or not isinstance(versions[0], models.FakeKey)):
                    dict.__setitem__(self, name, versions)  # the index lacks part of it

    return KeysOnDisk
