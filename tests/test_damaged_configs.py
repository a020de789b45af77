"""Whatever is in the file: it is read, or it is refused with problems; nothing else ever happens."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from configs import valid_configs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepgluon.config import yaml_tree
from stepgluon.config.load import loads
from stepgluon.errors import ConfigError

DEMO = (Path(__file__).parent.parent / "pipeline-config.yml").read_text(encoding="utf-8")
TOKENS = (
    "\t", "\x00", "\ufeff", "\u2028", "- ", ": ", "? ", "&a ", "*a", "<<: ", "!!python/object:os.system ", "!x ", "{",
    "}", "[", "]", "'", '"', "|\n", ">\n", "#", "%", "@", "`", "---\n", "...\n", "\r", "${", "${A}", "${A:-", "$${",
    "}", "null", "~", "yes", "010", "0o7", "12:30", "1_0", ".nan", "-.inf", "1e999", "9" * 500, "0x" + "f" * 500, "-",
    "\xe9", "\U0001f427", "\\", '"\\ud800"', '"\\x00"', "models: ", "environments: ", "environment: x\n", "train:\n",
    "name: ", "partition_by: ", "values: ", "prod: ", "- {}\n", "- []\n", "x" * 3000, "\n" * 5, "[" * 300,
    "{a: " * 300, "- " * 300, "&b [*a, *a, *a, *a]", "\U0010ffff", "\x85", "%YAML 9.9\n",
)  # fmt: skip
slow = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def refused_or_read(text: str | bytes, environment: str | None = None) -> bool:
    try:
        loads(text, "config.yml", environment, {"A": "a"})
    except ConfigError as error:
        assert error.problems
        lines = str(error).split("\n")
        assert len(lines) == len(error.problems)
        assert all(line.startswith("config.yml:") and line.isprintable() for line in lines)
        return False
    return True


@slow
@given(valid_configs())
def test_every_valid_config_is_read(text: str) -> None:
    loads(text, "config.yml", None, {})


@slow
@given(st.one_of(st.just(DEMO), valid_configs()), st.data())
def test_bytes_changed_lost_or_added_are_read_or_refused(text: str, data: st.DataObject) -> None:
    damaged = bytearray(text.encode("utf-8"))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        byte = data.draw(st.integers(0, 255))
        damaged[at : at + data.draw(st.integers(0, 2))] = bytes([byte])
    refused_or_read(bytes(damaged))


@slow
@given(st.one_of(st.just(DEMO), valid_configs()), st.data())
def test_lines_lost_doubled_moved_or_indented_are_read_or_refused(text: str, data: st.DataObject) -> None:
    lines = text.split("\n")
    for _ in range(data.draw(st.integers(1, 6))):
        at, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(("drop", "double", "swap", "indent", "dedent")))
        if change == "drop":
            lines[at] = ""
        elif change == "double":
            lines.insert(other, lines[at])
        elif change == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = "  " + lines[at] if change == "indent" else lines[at][2:]
    refused_or_read("\n".join(lines), data.draw(st.sampled_from((None, "prod"))))


@slow
@given(st.one_of(st.just(DEMO), valid_configs()), st.data())
def test_tokens_anywhere_are_read_or_refused(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(TOKENS)) + text[at + data.draw(st.integers(0, 3)) :]
    refused_or_read(text)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just("promoted")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)),
    max_leaves=8,
)


@slow
@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    config = yaml.safe_load(DEMO)
    node, way = config, data.draw(st.integers(1, 4))
    for step in range(way):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if step == way - 1 or not isinstance(node[key], (dict, list)):
            node[key] = data.draw(_VALUES)
            break
        node = node[key]
    refused_or_read(yaml.safe_dump(config, allow_unicode=True))


@slow
@given(st.binary(max_size=300))
@example(b"")
def test_any_bytes_are_refused(noise: bytes) -> None:
    assert not refused_or_read(noise)


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(
    "opening", ["[", "{", "{a: ", "- ", "? ", "&a [", "[&a [", "!x [", "'", '"', "a: {", "*", "%", "|"]
)
@pytest.mark.parametrize("start", ["", DEMO + "more: "])
def test_what_is_opened_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, start: str, opening: str, loader: str
) -> None:
    monkeypatch.setattr(yaml_tree, "LOADER", getattr(yaml, loader))
    assert not refused_or_read(start + opening * 20_000)


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(
    "text", ["!!map {a: b}", "--- !x\na: b", "*a", "&a", "&a {a: *a}", "<<: 1", "- ", "? ", "{}", "--- |\n x"]
)
@pytest.mark.parametrize("escape", ["", '\nx: "\\UFFFFFFFF"', '\nx: "\\ud800"', "\n%YAML 1." + "1" * 6000 + "\n---\n"])
def test_odd_whole_files_are_refused(monkeypatch: pytest.MonkeyPatch, text: str, escape: str, loader: str) -> None:
    monkeypatch.setattr(yaml_tree, "LOADER", getattr(yaml, loader))
    assert not refused_or_read(text + escape)
    assert not refused_or_read(escape.strip() + text)


def _merging(i: int) -> str:
    return f"x{i}: &x{i} {{<<: *x{i - 1}, k{i}: 1}}\n"


def _bomb(width: int, depth: int) -> str:
    lines = [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width) if i else 'x'}]\n" for i in range(depth)]
    return DEMO.replace("tags:", "tags2:\n" + "".join(lines) + "tags:")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_bomb(10, 12), "more than 20,000 values"),
        (_bomb(1, 40), "more than 20 levels"),
        (DEMO + "a: &a {b: *a}\n", "expand forever"),
        (DEMO + "a: &a\n  <<: *a\n", "expand forever"),
        (DEMO + "x0: &x0 {k: 1}\n" + "".join(map(_merging, range(1, 500))), "copy more"),
        (DEMO + "".join(f"k{i}: 1\n" for i in range(60_000)), "more than 20,000 values"),
        (DEMO + "".join(f"a{i}: !x 1\n" for i in range(1001)), ": (file): 1,902 more problems are not shown"),
        (DEMO + "".join(f"key{i}: 1\n" for i in range(19_000)), ": (file): 18,900 more problems are not shown"),
        (DEMO.replace("project: penguins", "project: " + "x" * 900_000), "900000 characters"),
        (DEMO.replace("seed: 7", "seed: " + "7" * 900_000), "a number of 900,000 characters is too long"),
        (DEMO + "environments2: " + "9" * 40 + "\n", "unknown key"),
        (DEMO.replace("project: penguins", 'project: "' + "${A}" * 200_000 + '"'), "200000 characters"),
    ],
)  # fmt: skip
def test_what_grows_without_measure_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text, "config.yml", None, {"A": "a"})
    assert says in str(caught.value)


def test_variables_cannot_grow_without_measure() -> None:
    text = DEMO.replace("project: penguins", 'project: "' + "${A}" * 10_000 + '"')
    with pytest.raises(ConfigError, match="the variables' values together are too long"):
        loads(text, "config.yml", None, {"A": "x" * 100_000})
