"""Buckets whose keys are mostly on disk."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from local_aws import make_bucket, settings

from localaws.s3 import buckets
from localaws.server.aws import LocalAws


def test_keys_that_are_not_in_memory_are_as_good_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "IN_MEMORY", 3)
    names = [f"{folder}/{n}" for folder in "ab" for n in range(5)]
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        s3 = aws.client("s3")
        for name in names:
            s3.put_object(Bucket="data", Key=name, Body=name.encode(), Metadata={"n": name[-1]})
        keys = aws.buckets._backend.buckets["data"].keys
        assert dict.__len__(keys) == 3
        for _ in range(2):
            listed = s3.list_objects_v2(Bucket="data")["Contents"]
            assert [one["Key"] for one in listed] == names
            assert [one["Key"] for one in s3.list_objects_v2(Bucket="data", Prefix="a/")["Contents"]] == names[:5]
            assert s3.get_object(Bucket="data", Key="a/0")["Body"].read() == b"a/0"
            head = s3.head_object(Bucket="data", Key="a/1")
            assert (head["Metadata"], head["ETag"]) == ({"n": "1"}, listed[1]["ETag"])
        s3.put_object(Bucket="data", Key="a/0", Body=b"new")
        s3.delete_object(Bucket="data", Key="a/1")
        assert s3.get_object(Bucket="data", Key="a/0")["Body"].read() == b"new"
        names.remove("a/1")
        assert [one["Key"] for one in s3.list_objects_v2(Bucket="data")["Contents"]] == names
        with pytest.raises(s3.exceptions.ClientError, match="BucketNotEmpty"):
            s3.delete_bucket(Bucket="data")
        s3.delete_objects(Bucket="data", Delete={"Objects": [{"Key": name} for name in names]})
        s3.delete_bucket(Bucket="data")


def test_versions_survive_leaving_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "IN_MEMORY", 1)
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        s3 = aws.client("s3")
        s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
        first = [s3.put_object(Bucket="data", Key=name, Body=b"1")["VersionId"] for name in "abc"]
        second = s3.put_object(Bucket="data", Key="a", Body=b"2")["VersionId"]
        s3.delete_object(Bucket="data", Key="b")
        s3.put_object(Bucket="data", Key="d", Body=b"1")
        assert s3.get_object(Bucket="data", Key="a", VersionId=first[0])["Body"].read() == b"1"
        assert s3.get_object(Bucket="data", Key="a")["VersionId"] == second
        assert s3.head_object(Bucket="data", Key="c")["VersionId"] == first[2]
        assert [one["Key"] for one in s3.list_objects_v2(Bucket="data")["Contents"]] == ["a", "c", "d"]
        told = s3.list_object_versions(Bucket="data")
        assert sorted(one["Key"] for one in told["Versions"]) == ["a", "a", "b", "c", "d"]
        assert [one["Key"] for one in told["DeleteMarkers"]] == ["b"]


def test_what_a_job_leaves_is_a_version_like_any_other_but_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []
    with LocalAws(settings(tmp_path)) as aws, monkeypatch.context() as patch:
        make_bucket(aws)
        s3 = aws.client("s3")
        s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
        first = s3.put_object(Bucket="data", Key="k", Body=b"uploaded")["VersionId"]
        patch.setattr("moto.s3.notifications.send_event", lambda *event: events.append(event))
        aws.buckets.put_content("data", "k", aws.buckets.objects.add(b"left"))
        versions = s3.list_object_versions(Bucket="data")["Versions"]
        assert [(one["VersionId"] == first, one["IsLatest"]) for one in versions] == [(False, True), (True, False)]
        assert s3.get_object(Bucket="data", Key="k", VersionId=first)["Body"].read() == b"uploaded"
        latest = s3.get_object(Bucket="data", Key="k")
        assert (latest["Body"].read(), latest["VersionId"]) == (b"left", versions[0]["VersionId"])
        assert not events
    with LocalAws(settings(tmp_path)) as aws:
        assert aws.client("s3").head_object(Bucket="data", Key="k")["VersionId"] == latest["VersionId"]


def test_keys_may_leave_the_memory_in_several_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = itertools.islice

    def overtaken(keys: dict[str, object], count: int) -> list[str]:
        """Between the choice of the keys that leave and their leaving, another thread makes them leave."""
        chosen = list(plain(keys, count))
        for name in chosen:
            dict.pop(keys, name)
        return chosen

    monkeypatch.setattr(buckets, "IN_MEMORY", 1)
    with LocalAws(settings(tmp_path)) as aws:
        make_bucket(aws)
        s3 = aws.client("s3")
        s3.put_object(Bucket="data", Key="a", Body=b"1")
        monkeypatch.setattr(buckets, "itertools", SimpleNamespace(islice=overtaken))
        s3.put_object(Bucket="data", Key="b", Body=b"2")
        assert [one["Key"] for one in s3.list_objects_v2(Bucket="data")["Contents"]] == ["a", "b"]
