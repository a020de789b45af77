"""moto's S3 with its contents on disk: it keeps keys and headers in memory, and the bytes in `Objects`.

moto is left as it is but for where a key keeps its value, how a multipart upload is put together, and that each change
of a bucket is written to the index before the request is answered.
"""

from __future__ import annotations

import datetime
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepgluon.local.objects import Content, Objects, Stored
from stepgluon.local.patching import Patches

_KEPT_HEADERS = ("content-type", "content-encoding", "x-amz-meta-")


class Buckets:
    """The buckets of one account, as moto serves them and as jobs read and write them."""

    def __init__(self, objects: Objects, account: str, partition: str) -> None:
        from moto.s3.models import s3_backends

        self.objects = objects
        self._backend = s3_backends[account][partition]
        self.load()

    def load(self) -> None:
        for name, region in self.objects.buckets():
            self._backend.create_bucket(name, region)
            self.bring_back(name)

    def bring_back(self, name: str) -> None:
        keys = self._backend.buckets[name].keys
        for stored in self.objects.below(name):
            key = self._key(name, stored)
            # Past the index, where this comes from.
            dict.__setitem__(keys, stored.key, [key])

    def exists(self, bucket: str) -> bool:
        return bucket in self._backend.buckets

    def ensure(self, name: str, region: str) -> None:
        if not self.exists(name):
            self._backend.create_bucket(name, region)

    def put_content(self, bucket: str, key: str, content: Content, modified: float) -> None:
        """A new object with a content that is here already."""
        stored = Stored(key, content, {"content-type": "binary/octet-stream"}, modified)
        self._backend.get_bucket(bucket).keys.setlist(key, [self._key(bucket, stored)])

    def put_file(self, bucket: str, key: str, file: Path, modified: float) -> None:
        self.put_content(bucket, key, self.objects.copy_in(file), modified)

    def _key(self, bucket: str, stored: Stored) -> Any:
        from moto.s3 import models

        key = models.FakeKey(
            name=stored.key,
            bucket_name=bucket,
            value=stored.content,
            account_id=self._backend.account_id,
            region_name=self._backend.region_name,
            version_id="null",
        )
        key.last_modified = datetime.datetime.fromtimestamp(stored.modified, datetime.timezone.utc).replace(tzinfo=None)
        key._metadata.update(stored.headers)
        return key


def keep_on_disk(patches: Patches, objects: Objects) -> None:
    """Makes moto's S3 keep what it gets in `objects`."""
    from moto.s3 import models

    key_class, multipart_class = _key_class(models, objects), _multipart_class(models, objects)
    patches.everywhere("moto.s3", models.FakeKey, key_class)
    patches.everywhere("moto.s3", models.FakeMultipart, multipart_class)
    keys_class = _keys_class(models, objects)
    begin, end = models.FakeBucket.__init__, models.S3Backend.delete_bucket

    def create(bucket: Any, *values: Any, **named: Any) -> None:
        begin(bucket, *values, **named)
        bucket.keys = keys_class(bucket.name)
        objects.add_bucket(bucket.name, bucket.region_name)

    def delete(backend: Any, bucket_name: str) -> Any:
        deleted = end(backend, bucket_name)
        if deleted:
            objects.remove_bucket(bucket_name)
        return deleted

    responses = _module_of_responses()
    get = responses.S3Response.get_object

    def get_object(self: Any) -> Any:
        _sending.now = True
        try:
            return get(self)
        finally:
            _sending.now = False

    copy = models.S3Backend.copy_object

    def copy_object(self: Any, *values: Any, **named: Any) -> Any:
        _copying.now = True
        try:
            return copy(self, *values, **named)
        finally:
            _copying.now = False

    patches.attribute(models.S3Backend, "copy_object", copy_object)
    patches.attribute(responses.S3Response, "get_object", get_object)
    patches.attribute(models.FakeBucket, "__init__", create)
    patches.attribute(models.S3Backend, "delete_bucket", delete)


_sending = threading.local()  # whether this thread answers GetObject
_copying = threading.local()  # whether it answers CopyObject: a copy has the same content, which need not be read


class OnDisk:
    """A content that is sent piece by piece; moto takes the range that was asked for, or all of it."""

    def __init__(self, file: Path, size: int) -> None:
        self._file = file
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(self._size)
        with self._file.open("rb") as file:
            file.seek(start)
            return file.read(max(0, end - start))

    def __iter__(self) -> Iterator[bytes]:
        with self._file.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece


def _module_of_responses() -> Any:
    from moto.s3 import responses

    return responses


def _key_class(models: Any, objects: Objects) -> type:
    plain = models.FakeKey
    private, closed = models.get_canned_acl("private"), io.BytesIO()
    closed.close()

    class KeyOnDisk(plain):  # type: ignore[misc, valid-type]
        """A key whose value is a content; it may be given as one, or as bytes."""

        content: Content
        _value_buffer: Any

        @property
        def value(self) -> Any:
            if getattr(_copying, "now", False):
                return self.content
            file = objects.file(self.content)
            return OnDisk(file, self.content.size) if getattr(_sending, "now", False) else file.read_bytes()

        @value.setter
        def value(self, given: bytes | str | Content) -> None:
            if isinstance(given, str):
                given = given.encode()
            self.content = given if isinstance(given, Content) else objects.add(bytes(given))
            self.contentsize = self.content.size
            # Thousands of keys share what is the same for all of them.
            self._value_buffer.close()
            self._value_buffer, self.acl = closed, private

        @property
        def etag(self) -> str:
            return f'"{self._etag or self.content.etag}"'

        def set_metadata(self, metadata: Any, replace: bool = False) -> None:
            super().set_metadata(metadata, replace)
            if isinstance(self.name, str) and self.bucket_name:
                objects.put(self.bucket_name, stored(self))

        def __getstate__(self) -> dict[str, Any]:
            state = self.__dict__.copy()
            del state["_value_buffer"], state["lock"]
            return state

        def __setstate__(self, state: dict[str, Any]) -> None:
            super().__setstate__({**state, "value": state["content"]})

    return KeyOnDisk


def stored(key: Any) -> Stored:
    content = Content(key.content.sha256, key.content.size, key.etag.strip('"'))
    headers = {name: text for name, text in key.metadata.items() if name.lower().startswith(_KEPT_HEADERS)}
    return Stored(key.name, content, headers, key.last_modified.replace(tzinfo=datetime.timezone.utc).timestamp())


def _multipart_class(models: Any, objects: Objects) -> type:
    plain = models.FakeMultipart

    class MultipartOnDisk(plain):  # type: ignore[misc, valid-type]
        def complete(self, body: Any) -> tuple[Any, str, Any]:
            """As moto does it, but the parts are joined from file to file and never in memory."""
            asked = list(body)
            parts = [self.parts.get(number) for number, _ in asked]
            for part, (_, etag) in zip(parts, asked, strict=True):
                if part is None or part.etag.strip('"') != etag.strip('"'):
                    raise models.InvalidPart()
            if not parts:
                raise models.MalformedXML()
            if any(part.contentsize < models.S3_UPLOAD_PART_MIN_SIZE for part in parts[:-1]):
                raise models.EntityTooSmall()
            digest = models.md5_hash()
            digest.update(b"".join(bytes.fromhex(part.content.etag) for part in parts))
            content = objects.join([objects.file(part.content) for part in parts])
            return content, f"{digest.hexdigest()}-{len(parts)}", None

    return MultipartOnDisk


def _keys_class(models: Any, objects: Objects) -> type:
    class KeysOnDisk(models._VersionedKeyStore):  # type: ignore[misc]
        """A bucket's keys; the index has each key's latest version, if that is no delete marker."""

        def __init__(self, bucket: str) -> None:
            super().__init__()
            self._bucket = bucket

        def __setitem__(self, key: str, value: Any) -> None:
            super().__setitem__(key, value)
            self._write(key)

        def setlist(self, key: str, versions: Any) -> None:
            super().setlist(key, versions)
            self._write(key)

        def pop(self, key: str) -> None:
            super().pop(key)
            self._write(key)

        def _write(self, key: str) -> None:
            latest = self.get(key)
            if isinstance(latest, models.FakeKey):
                objects.put(self._bucket, stored(latest))
            else:
                objects.remove(self._bucket, key)

    return KeysOnDisk
