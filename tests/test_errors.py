"""Each folder in tests/errors is one mistake: config.yml, the exact lines in expected.txt, and where they matter the
variables (NAME=value), the environment (--env NAME) and --to-deploy in env. `GOLDEN=write` writes expected.txt; read
the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from golden import same_as

from stepgluon.config.load import loads
from stepgluon.errors import ConfigError

CASES = sorted(path for path in (Path(__file__).parent / "errors").iterdir() if path.is_dir())


def _env(case: Path) -> tuple[str | None, dict[str, str], bool]:
    file = case / "env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    environment = [line.split()[1] for line in lines if line.startswith("--env ")]
    variables = dict(line.split("=", 1) for line in lines if not line.startswith("--"))
    return (environment[0] if environment else None), variables, "--to-deploy" in lines


def _error(case: Path) -> ConfigError:
    environment, variables, to_deploy = _env(case)
    with pytest.raises(ConfigError) as caught:
        loads((case / "config.yml").read_bytes(), "config.yml", environment, variables, to_deploy)
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_mistake_is_named_word_for_word(case: Path) -> None:
    text = str(_error(case)) + "\n"
    expected = case / "expected.txt"
    assert same_as(expected, text), f"{text}\nand not\n{expected.read_text(encoding='utf-8')}"


def test_there_are_at_least_two_hundred_and_forty_mistakes() -> None:
    assert len(CASES) >= 240


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_message_has_one_line_an_address_and_none_of_the_libraries_words(case: Path) -> None:
    for line in str(_error(case)).split("\n"):
        assert re.fullmatch(r"config\.yml:[0-9]+:[0-9]+: .+: .+ \(.+\)", line), "what is wrong (what is expected)"
        assert " is expected, found " not in line
        assert line.isprintable()
        assert len(line) < 400
        for word in ("Input should", "pydantic", "validation error", "Value error", "while scanning", "did not find"):
            assert word not in line
