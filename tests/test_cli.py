"""The command line, driven as a user drives it: words in; stdout, stderr, files and the exit code out."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from golden import HERE

from pipeline import workflow
from stepgluon import __version__
from stepgluon.cli.main import main
from stepgluon.cli.terminal import Terminal
from stepgluon.config.json_schema import json_schema
from stepgluon.errors import UsageError

ROOT = HERE.parent
GOOD = (HERE / "golden" / "one-model" / "config.yml").read_text(encoding="utf-8")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command in an empty folder that has a good config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline-config.yml").write_text(GOOD, encoding="utf-8")

    def run(*words: str, **variables: str) -> tuple[int, str, str]:
        try:
            code = main(workflow, words, variables)
        except SystemExit as end:  # argparse ends so after --help and --version
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_validate_says_that_a_good_config_is_good(run: Run) -> None:
    assert run("validate") == (0, "", "pipeline-config.yml: no mistakes; 1 model\n")


def test_a_mistake_has_file_line_column_and_key_and_ends_with_2(run: Run) -> None:
    Path("bad.yml").write_text(GOOD.replace("threshold: 25000", "treshold: 25000"), encoding="utf-8")
    code, out, err = run("validate", "--config", "bad.yml")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[-1].startswith("bad.yml:6:12: fallback.treshold: ")
    assert "did you mean threshold?" in lines[-1]
    assert all(re.match(r"bad\.yml:\d+:\d+: [\w.\[\]()]+: \S", line) for line in lines)


@pytest.mark.parametrize("command", ["validate", "compile", "graph"])
def test_a_bad_config_writes_nothing(run: Run, command: str) -> None:
    Path("pipeline-config.yml").write_text("name: [", encoding="utf-8")
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert err.startswith("pipeline-config.yml:2:1: (file): ")
    assert os.listdir() == ["pipeline-config.yml"]


def test_a_config_that_is_not_there_is_named(run: Run) -> None:
    code, _, err = run("compile", "--config", "nowhere/x.yml")
    assert code == 2
    assert err == (
        "nowhere/x.yml:1:1: (file): the config cannot be read: no such file or directory "
        "(write one with `python pipeline.py init FILE`, or give its path with --config FILE)\n"
    )


def test_compile_writes_the_definition_into_build(run: Run) -> None:
    code, out, err = run("compile")
    definition = Path("build/definition.asl.json").read_text(encoding="utf-8")
    assert (code, out) == (0, "")
    assert err == f"build/definition.asl.json: {len(definition.encode()):,} bytes\n"
    assert definition == (HERE / "golden" / "one-model" / "definition.asl.json").read_text(encoding="utf-8")
    assert os.listdir("build") == ["definition.asl.json"]


def test_compile_prints_the_same_bytes(run: Run) -> None:
    code, out, err = run("compile", "--stdout")
    assert (code, err) == (0, "")
    assert out == (HERE / "golden" / "one-model" / "definition.asl.json").read_text(encoding="utf-8")
    assert os.listdir() == ["pipeline-config.yml"]


def test_compile_writes_into_a_folder_with_an_odd_name(run: Run) -> None:
    folder = "a folder/ünïcode 'quoted'"
    assert run("compile", "--out", folder)[0] == 0
    assert Path(folder, "definition.asl.json").is_file()


def test_a_template_into_a_file_names_that_file(run: Run) -> None:
    Path("taken").write_text("a file, not a folder", encoding="utf-8")
    code, _, err = run("template", "--out", "taken")
    assert (code, err) == (3, "error: taken cannot be a folder: a file is in its place (name another place)\n")


def test_a_place_that_cannot_be_written_is_one_sentence_and_3(run: Run) -> None:
    Path("taken").write_text("a file, not a folder", encoding="utf-8")
    code, out, err = run("compile", "--out", "taken")
    assert (code, out) == (3, "")
    assert err == "error: taken cannot be a folder: a file is in its place (name another place)\n"


@pytest.mark.parametrize(
    ("file", "begins"),
    [
        ("workflow.svg", "<svg"),
        ("workflow.html", "<!doctype html>"),
        ("workflow.mmd", "flowchart"),
        ("workflow.txt", "announce start"),
    ],
)
def test_graph_draws_by_the_file_name(run: Run, file: str, begins: str) -> None:
    code, out, _ = run("graph", "-o", file)
    text = Path(file).read_text(encoding="utf-8")
    assert (code, out) == (0, "")
    assert text.lower().lstrip().startswith(begins)
    assert "1 model: price" in text


def test_graph_prints_the_story_as_text_by_default(run: Run) -> None:
    code, out, err = run("graph")
    assert (code, err) == (0, "")
    assert out.startswith("Announce start")
    assert "Begin" not in out
    assert run("graph", "--detail", "full")[1].startswith("Begin")
    assert run("graph", "--format", "svg")[1].startswith("<svg")


def test_graph_names_the_endings_when_the_file_has_another(run: Run) -> None:
    code, _, err = run("graph", "-o", "workflow.png")
    assert code == 2
    assert err == "error: workflow.png: unknown ending (use .svg, .html, .mmd or .txt, or add --format)\n"


@pytest.mark.parametrize(
    "words",
    [
        ("plan",),
        ("run", "--data", "absent.csv"),
        ("show", "r", "--work", "w"),
        ("show",),
        ("run", "--data", "absent.csv", "--threshold", "low"),
        ("runs", "--work", ""),
    ],
)
def test_who_asks_for_json_gets_json_of_a_failure_too(run: Run, words: tuple[str, ...]) -> None:
    Path("pipeline-config.yml").write_text("name: [", encoding="utf-8")
    code, out, err = run(*words, "--json")
    told = json.loads(out)
    assert told["exit_code"] == code == 2
    assert err in (f"error: {told['error']}\n", f"{told['error']}\n")


SMALL = "name: houses\nmodels: [{name: price, label: price, threshold: 9}]\n"


@pytest.mark.parametrize(
    "command", ["compile", "template", "plan", "deploy", "verify", "destroy", "status", "rollback"]
)
def test_a_command_for_an_account_names_all_that_is_missing_to_deploy(run: Run, command: str) -> None:
    Path("pipeline-config.yml").write_text(SMALL, encoding="utf-8")
    code, out, err = run(command)
    assert (code, out) == (2, "")
    keys = [line.split(": ")[1] for line in err.splitlines()]
    assert keys == ["account", "notify", "region"]
    assert err.count("needed to deploy, not to run locally") == 3


@pytest.mark.parametrize("command", ["validate", "graph"])
def test_a_command_for_this_computer_needs_no_account(run: Run, command: str) -> None:
    Path("pipeline-config.yml").write_text(SMALL, encoding="utf-8")
    assert run(command)[0] == 0


def test_schema_prints_the_json_schema(run: Run) -> None:
    code, out, err = run("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == json_schema()


def test_an_environment_is_merged_and_named(run: Run) -> None:
    Path("pipeline-config.yml").write_text(GOOD + "environments: {prod: {region: us-east-1}}\n", encoding="utf-8")
    assert "houses-prod-work-123456789012-us-east-1" in run("compile", "--stdout", "--env", "prod")[1]
    code, _, err = run("validate", "--env", "prdo")
    assert code == 2
    assert "did you mean prod?" in err


def test_variables_of_the_shell_fill_the_config(run: Run) -> None:
    Path("pipeline-config.yml").write_text(GOOD.replace("eu-central-1", "${REGION}"), encoding="utf-8")
    assert "-us-west-2" in run("compile", "--stdout", REGION="us-west-2")[1]
    assert run("validate")[0] == 2


@pytest.mark.parametrize(
    "words",
    [("nonsense",), ("compile", "--nonsense"), ("compile", "--stdout", "--out", "x"), ("graph", "--format", "gif")],
)
def test_a_wrong_call_is_one_sentence_and_2(run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: .* \(see: pipeline\.py( \w+)? --help\)\n", err)


def test_a_call_without_a_command_prints_the_help(run: Run) -> None:
    assert run() == run("--help")
    assert run()[0] == 0


COMPLETIONS = """
source <(printf '%s' "$COMPLETION")
complete_line() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    local registered; registered=$(complete -p "$1")
    local function=${registered#*-F }
    "${function%% *}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
}
complete_line python pipeline.py val
complete_line pipeline.py graph --detail s
complete_line python3 demo/pipeline.py run --fr
complete_line python other.py val
complete_line pipeline.py run --data a.csv --thr
"""
# Each pattern is waited for.
ZSH = """
zmodload zsh/zpty
zpty shell "env ZDOTDIR=$PWD zsh -i"
zpty -r -m shell shown '*ready>*'
for typed wanted in 'python pipeline.py val' validate './pipeline.py graph --detail s' story \\
    'python pipeline.py run --data a.csv --thr' --threshold; do
  zpty -n -w shell $typed$'\t'
  zpty -r -m shell shown "*$wanted*"
  zpty -n -w shell $'\x15'
  print -- $wanted
done
zpty -d shell
"""


def test_bash_completes_commands_options_and_choices_with_and_without_python(run: Run) -> None:
    code, script, err = run("completion", "bash")
    assert (code, err) == (0, "")
    ended = subprocess.run(
        ["bash", "--norc", "-c", COMPLETIONS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COMPLETION": script},
    )
    assert (ended.stdout, ended.stderr) == ("validate\nstory\n--fresh\n\n--threshold\n", "")


def test_the_completion_for_zsh_has_every_command(run: Run) -> None:
    code, script, err = run("completion", "zsh")
    assert (code, err) == (0, "")
    assert script.startswith("#compdef pipeline.py\n")
    assert "validate:'Check the config: report every mistake with file, line and column.'" in script
    assert '"--config[default\\: pipeline-config.yml]:FILE:_files"' in script


@pytest.mark.skipif(not shutil.which("zsh"), reason="this computer has no zsh")
def test_zsh_completes_commands_options_and_choices(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "completion.zsh"
    script.write_text(run("completion", "zsh")[1], "utf-8")
    (tmp_path / ".zshrc").write_text(
        f"autoload -Uz compinit; compinit -u -D; source {shlex.quote(str(script))}; PROMPT='ready> '\n", "utf-8"
    )
    ended = subprocess.run(
        ["zsh", "-f", "-c", ZSH],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=600,
        env={**os.environ, "TERM": "dumb", "HOME": str(tmp_path)},
    )
    assert ended.stdout.split() == ["validate", "story", "--threshold"], ended.stderr


def test_every_command_has_help_and_there_is_a_version(run: Run) -> None:
    for words in ([], ["validate"], ["compile"], ["graph"], ["schema"], ["completion"]):
        code, out, err = run(*words, "--help")
        assert (code, err) == (0, "")
        assert out.startswith("usage: pipeline.py")
    assert run("--version") == (0, f"stepgluon {__version__}\n", "")


def process(*words: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "pipeline.py"), *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **variables}, check=False
    )


def test_as_a_process_the_sdks_stay_silent(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(GOOD, encoding="utf-8")
    ended = process("compile", "--stdout", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    json.loads(ended.stdout)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(GOOD, encoding="utf-8")
    command = f"'{sys.executable}' '{ROOT / 'pipeline.py'}' schema | head -c 10"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_is_not_utf_8_gets_its_output(tmp_path: Path, encoding: str) -> None:
    ended = process("schema", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\u2026" in ended.stdout and json.loads(ended.stdout) == json_schema()


def test_what_a_terminal_would_obey_is_written_out() -> None:
    bad, shown = "\x1b]0;title\x07 \x9b31m \u202e \udcff\r", r"\u001b]0;title\u0007 \u009b31m \u202e \udcff\u000d"
    results, progress = io.StringIO(), io.StringIO()
    terminal = Terminal(results, progress, True)
    terminal.result(json.dumps(f"{bad}\n\t", ensure_ascii=False))
    assert json.loads(results.getvalue()) == f"{bad}\n\t" and results.getvalue().isprintable()
    terminal.result(f"{bad}\n\t")
    assert results.getvalue().endswith(f"{shown}\n\t")
    terminal.say(bad)
    terminal.error(UsageError(bad))
    terminal.progress().say(bad)
    assert progress.getvalue() == f"{shown}\nerror: {shown}\n{shown}\n"


def test_what_is_not_installed_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ModuleNotFoundError(\"No module named 'yaml'\", name='yaml')")
    ended = process("validate", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 3
    assert ended.stderr == "error: yaml is not installed (run `make setup`, then use .venv/bin/python)\n"


def test_a_full_disk_behind_stdout_is_one_sentence_and_3(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(GOOD, encoding="utf-8")
    for words in ("schema", "compile --stdout", "graph"):
        command = f"'{sys.executable}' '{ROOT / 'pipeline.py'}' {words} > /dev/full"
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert ended.returncode == 3
        assert ended.stderr == "error: the output cannot be written: no space left on device (send it elsewhere)\n"


def test_a_full_disk_behind_stderr_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "pipeline-config.yml").write_text(GOOD, encoding="utf-8")
    for words, code in (("validate", 0), ("compile --stdout", 0), ("nonsense", 2)):
        command = f"'{sys.executable}' '{ROOT / 'pipeline.py'}' {words} 2> /dev/full"
        ended = subprocess.run(["bash", "-c", command], capture_output=True, cwd=tmp_path, check=False)
        assert ended.returncode == code


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    (tmp_path / "good.yml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "bad.yml").write_text("name: [", encoding="utf-8")
    for config, code in (("good.yml", 0), ("bad.yml", 2)):
        command = f"'{sys.executable}' '{ROOT / 'pipeline.py'}' validate --config {config} {closed}"
        assert (
            subprocess.run(["bash", "-c", command], capture_output=True, cwd=tmp_path, check=False).returncode == code
        )


def test_a_pipe_a_device_and_a_link_stay_what_they_are(run: Run) -> None:
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert run("graph", "--format", "mermaid", "-o", "pipe")[0] == 0
        assert reader.communicate()[0].startswith("flowchart")
    Path("real.svg").write_text("old", encoding="utf-8")
    Path("link.svg").symlink_to("real.svg")
    assert run("graph", "-o", "link.svg")[0] == 0
    assert Path("link.svg").is_symlink()
    assert Path("real.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_config_itself_is_never_overwritten(run: Run) -> None:
    Path("config.svg").write_text(GOOD, encoding="utf-8")
    code, _, err = run("graph", "--config", "config.svg", "-o", "config.svg")
    assert (code, err) == (2, "error: config.svg is the config itself (name another file)\n")
    assert Path("config.svg").read_text(encoding="utf-8") == GOOD


def test_validate_names_what_only_compiling_can_tell(run: Run) -> None:
    names = ", ".join(f"m{number}" for number in range(250))
    many = GOOD.replace("[{name: price, label: price}]", f"{{partition_by: kind, values: [{names}], label: price}}")
    Path("pipeline-config.yml").write_text(many, encoding="utf-8")
    code, _, err = run("validate")
    assert code == 2
    assert "250 models make a definition of 1," in err


def test_every_command_takes_a_config_and_an_environment(run: Run) -> None:
    for command in ("validate", "compile", "graph", "schema"):
        assert "--config FILE" in run(command, "--help")[1]
        assert "--env NAME" in run(command, "--help")[1]
    assert run("compile", "--out", "")[0] == 2
