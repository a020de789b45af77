"""The README and the pages it leads to are accurate: pictures, table and examples are made from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from golden import HERE, same_as

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.config.keys import section_in
from stepgluon.config.load import load, loads
from stepgluon.config.schema import PipelineConfig
from stepgluon.config.sections import MISSING, Entry, Rest, Section
from stepgluon.errors import ConfigError
from stepgluon.graph import render
from stepgluon.workflow.compile import build, compile_definition, most_models

ROOT = HERE.parent
README, CONFIG, CONCEPTS = (ROOT / name for name in ("README.md", "docs/reference/config.md", "docs/concepts.md"))
PAGES = [README, *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "decisions")]
DEMO = ROOT / "pipeline-config.yml"
ACCOUNT = {"verify", "plan", "deploy", "destroy", "status", "start", "watch", "redrive", "rollback"}


def text() -> str:
    """What a user reads: the README and its pages."""
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def with_table(made: str) -> str:
    """The page of the config with what stands between its marks replaced."""
    page, start, end = CONFIG.read_text(encoding="utf-8"), "<!-- config -->\n", "<!-- /config -->"
    return page[: page.index(start)] + start + made + page[page.index(end) :]


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.read_bytes()) <= 8_000
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("language", ["ja", "zh"])
def test_a_translation_has_the_same_commands_links_and_numbers(language: str) -> None:
    pages = [page.read_text(encoding="utf-8") for page in (README, README.with_suffix(f".{language}.md"))]
    for what in (r"(?s)```.*?```", r"\]\((?!README)([^)]+)\)", r"(?m)^#+", r"`[^`\n]+`", r"\b(?:3\.1\d|218|89)\b"):
        first, second = (sorted(re.findall(what, page, re.ASCII)) for page in pages)
        assert first == second, what


def test_the_picture_is_the_demos_workflow() -> None:
    definition = build(load(DEMO, None, {}).config, workflow)
    assert same_as(ROOT / "docs" / "pictures" / "workflow.svg", render(definition.asl, "svg", "penguins"))
    assert "(pictures/workflow.svg)" in CONCEPTS.read_text(encoding="utf-8")


def rows(section: type[Section], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, key in section.entries.items():
        inner = section_in(key.kind)
        name = "HYPERPARAMETER" if isinstance(key.kind, Rest) else name
        several = "[]" if prefix == "" and name == "models" else ""
        yield f"{prefix}{name}{several}", default_of(key), key.description
        if inner is not None and not (prefix == "models[]." and name == "train"):
            yield from rows(inner, f"{prefix}{name}{several}.")


def default_of(key: Entry) -> str:
    if key.default is MISSING:
        return "required"
    if key.default is None or isinstance(key.default, Section):
        return ""
    default = key.kind.default(key.default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_the_table_has_every_key_with_its_default() -> None:
    lines = [
        f"| `{key}` | {default} | {description.replace('|', chr(92) + '|')} |"
        for key, default, description in rows(PipelineConfig)
    ]
    lines.append("| `environments.NAME` | | what differs in this environment, merged over the rest by `--env NAME` |")
    table = "\n".join(["", "| key | default | meaning |", "|---|---|---|", *lines, "", ""])
    assert same_as(CONFIG, with_table(table))


def test_the_mistakes_shown_are_what_validate_says() -> None:
    config = DEMO.read_text(encoding="utf-8").replace("label: body_mass_g", "lable: body_mass_g", 1)
    config = re.sub(r"(?m)^(fallback:.*\n  threshold:) 350", r"\1 low", config)
    with pytest.raises(ConfigError) as error:
        loads(config, "pipeline-config.yml", None, {})
    assert f"```\n{error.value}\n```" in text()


def test_the_commands_shown_exist(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline-config.yml").write_text(DEMO.read_text(encoding="utf-8"), encoding="utf-8")
    told = re.findall(r"^ *python pipeline\.py ([a-z-]+[^#>\n]*)", text(), re.MULTILINE)
    runs = ("validate", "compile", "graph", "schema", "template")
    # The demo has no other machine than its main one.
    commands = [command for command in told if command.split()[0] in runs and "--machine" not in command]
    assert len(commands) >= 5
    # Those that run something are what tests/local is about; plan and deploy need an account, as tests/deploy has one.
    local = {
        "init",
        "check",
        "run",
        "runs",
        "show",
        "promote",
        "models",
        "monitor",
        "rehearse",
        "local",
        "fetch",
        "logs",
    }
    local |= {"compare", "clean"}
    assert {command.split()[0] for command in told} - {*runs, *local} <= ACCOUNT
    for name in ACCOUNT:
        with pytest.raises(SystemExit, match="0"):
            main(workflow, [name, "--help"], {})
    for command in commands:
        assert main(workflow, command.split(), {}) == 0, capsys.readouterr().err


def test_the_number_of_models_that_fit_is_the_one_that_is_told() -> None:
    names = ", ".join(f"m{number}" for number in range(300))
    config = "name: many\naccount: '123456789012'\nregion: ap-northeast-1\nnotify: [a@example.com]\n"
    config += f"models: {{partition_by: kind, values: [{names}], label: y}}\nfallback: {{threshold: 350}}\n"
    most = most_models(loads(config, "x.yml", None, {}).config, workflow)
    assert f"At most {most} models" in text()


def test_the_mails_shown_say_what_the_machine_says() -> None:
    """In the words that are the same for every run."""
    mails = dict(re.findall(r"(?s)```\nSubject: penguins[ -][0-9a-z-]+: (started|models|finished)\n(.*?)```", text()))
    # In the definition a line's end is written as JSONata and JSON write it.
    definition = compile_definition(load(DEMO, None, {}), workflow).text.replace(chr(92) * 2 + "n", "\n")
    words = {
        "started": (" of the pipeline penguins has started.\n\nData:   ", "Look closer: python pipeline.py show "),
        "models": (" of the pipeline penguins:\n\n", "Look closer: python pipeline.py show "),
        "finished": (
            " of the pipeline penguins has finished",
            " filled by ",
            " left open.",
            "/result/report.html\nResults: s3://",
            "\n         predictions.csv, predictions.parquet, summary.json\n\nFetch them:\n  python pipeline.py fetch ",
            "Use its models whenever a later one is not good enough:\n  python pipeline.py promote ",
        ),
    }
    assert mails.keys() == words.keys()
    for kind, said in words.items():
        for sentence in said:
            assert sentence in mails[kind], kind
            assert sentence in definition, kind
