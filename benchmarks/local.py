"""How long a run on this computer takes, as ratios measured side by side in turns.

    python benchmarks/local.py nothing [--turns 5]     jobs that do nothing: the whole process, from command to exit
    python benchmarks/local.py metaflow PYTHON [--turns 5]  the same, and a flow of Metaflow in turns (PYTHON has it)
    python benchmarks/local.py real [--turns 2]        the demo's jobs, against the same scripts run by hand
    python benchmarks/local.py uploads [--count 1000]  so many .run files at once, with jobs that do nothing
    python benchmarks/local.py repeat [--count 200] [--models 20]  so many runs, each a process; all of them must finish
    python benchmarks/local.py live [--turns 3]        a run of 30 s, and the same with the live page open in a browser

By hand means: the scripts of code/ as processes, one after the other or as many side by side as there are cores, with
folders that are copied between them, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE, STAND_INS = ROOT / "code", ROOT / "tests" / "local" / "scripts"
DEMO = sorted((ROOT / "demo").glob("*.csv"))
CONFIG = ROOT / "pipeline-config.yml"
MANY = """
name: many
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: {{partition_by: name, values: [{values}], label: number}}
fallback: {{threshold: 350, if_missing: fail}}
"""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds(what: Callable[[], None]) -> float:
    started = time.monotonic()
    what()
    return time.monotonic() - started


def command(code: Path, compiled: Path, work: Path) -> Callable[[], None]:
    """A run as a user starts it, but with another folder of jobs."""
    words = [sys.executable, str(ROOT / "tests" / "local" / "stand_in.py"), str(compiled), str(code)]
    words += ["run", "--local", "--fresh", "--config", str(CONFIG), "--work", str(work), "--data", *map(str, DEMO)]
    return lambda: called(words, {})


def called(words: list[str], variables: dict[str, str]) -> None:
    """As a user calls it, whose Python keeps the byte code of what it imports."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(words, env={**kept, **variables}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words} failed:\n{done.stdout}{done.stderr}")


def nothing(turns: int, folder: Path) -> None:
    run = command(STAND_INS, folder / "compiled", folder / "work")
    first = seconds(run)
    python = [seconds(lambda: called([sys.executable, "-c", "import botocore.session, moto.server"], {}))]
    taken = []
    for _ in range(turns):
        taken.append(seconds(run))
        python.append(seconds(lambda: called([sys.executable, "-c", "import botocore.session, moto.server"], {})))
    best = min(taken)
    print(f"jobs that do nothing, best of {turns}: {best:.2f} s (budget 3 s); the first, which compiles: {first:.2f} s")
    print(f"  {best / min(python):.1f} times an interpreter that only imports moto's server ({min(python):.2f} s)")


def metaflow(turns: int, folder: Path, python: str) -> None:
    """The same shape: prepare, three models, choose, three predictions, post-process."""
    words = [python, str(ROOT / "benchmarks" / "metaflow_flow.py"), "--no-pylint", "run"]
    home = {"USERNAME": "user", "METAFLOW_HOME": str(folder), "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)}
    ways = (command(STAND_INS, folder / "compiled", folder / "work"), lambda: called(words, home))
    for way in ways:
        way()
    times = [[measured(way) for way in ways] for _ in range(turns)]
    for what, part in (("time", 0), ("processor time", 1)):
        ours, theirs = (min(turn[way][part] for turn in times) for way in (0, 1))
        print(f"{what}, best of {turns}: {ours:.2f} s, Metaflow {theirs:.2f} s: {ours / theirs:.2f} times (budget 0.5)")


def measured(what: Callable[[], None]) -> tuple[float, float]:
    """Its time and its children's processor time."""
    before = os.times()
    taken, after = seconds(what), os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return taken, processor


def real(turns: int, folder: Path) -> None:
    run, work = command(CODE, folder / "compiled", folder / "work"), folder / "work"
    seconds(command(STAND_INS, folder / "compiled", folder / "warm"))  # compiles the definition
    seconds(lambda: by_hand(folder / "warm-hand"))  # the libraries' files come into memory
    first = seconds(run)
    ours, plain = [], []
    for turn in range(turns):
        plain.append(seconds(lambda turn=turn: by_hand(folder / f"hand-{turn}")))  # type: ignore[misc]
        ours.append(seconds(run))
    inner = min(json.loads(told.read_text())["seconds"] for told in work.glob("runs/*/run.json"))
    hand, whole = min(plain), min(ours)
    print(f"the demo, best of {turns}: {whole:.1f} s, by hand {hand:.1f} s: {whole / hand:.2f} times (budget 1.15)")
    print(f"  the execution alone {inner:.1f} s: {inner / hand:.2f} times; the first run in a new folder {first:.1f} s")


BROWSER = """
import sys, re, urllib.request
typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}
with urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=typed)) as page:
    token = re.search(r'"([A-Za-z0-9_-]{43})"', page.read().decode())[1]
    home = page.geturl().partition("?")[0]
with open(sys.argv[2], "a") as seen:
    events = home + "_live/events?token=" + token
    for line in urllib.request.urlopen(urllib.request.Request(events, headers={"Sec-Fetch-Site": "same-origin"})):
        seen.write(line.decode()[:5] + "\\n")
"""


def live(turns: int, folder: Path, wait: float = 30.0) -> None:
    """What an open page costs while all trainings run: processor time of the run, without that of the browser."""
    page, browser, seen, go = (folder / name for name in ("page.py", "browser", "seen", "go"))
    page.write_text(BROWSER)
    browser.write_text(f'#!/bin/sh\nsetsid "{sys.executable}" "{page}" "$1" "{seen}" &\n')  # not a child of the run
    browser.chmod(0o755)
    waits = {f"train-{model['name']}": f"wait for {go}" for model in config()["models"]}
    (folder / "orders.json").write_text(json.dumps(waits))
    words = [sys.executable, str(ROOT / "tests" / "local" / "stand_in.py"), str(folder / "compiled"), str(STAND_INS)]
    words += ["run", "--local", "--fresh", "--config", str(CONFIG), "--work", str(folder / "work")]
    words += ["--data", str(folder / "orders.json")]

    def run(*options: str) -> float:
        go.unlink(missing_ok=True)
        timer = threading.Timer(wait, go.touch)
        timer.start()
        return measured(lambda: called([*words, *options], {"BROWSER": str(browser)}))[1]

    run("--open")  # compiles the definition
    plain, opened = zip(*((run(), run("--open")) for _ in range(turns)), strict=True)
    more = min(opened) - min(plain)
    print(f"a run of {wait:g} s takes {min(plain):.2f} s of processor time, with an open page {min(opened):.2f} s")
    states = seen.read_text().count("data:") // (turns + 1)
    print(f"  {more / wait:.1%} of the run's time (budget 2 %); the page got {states} states")


def repeat(count: int, models: int, folder: Path) -> None:
    """What races in a run fails in one of many: the first compiles, all others read the definition."""
    values = [f"m{number:02}" for number in range(models)]
    config = folder / "config.yml"
    config.write_text(MANY.format(values=", ".join(values)))
    (folder / "orders.json").write_text("{}")
    words = [sys.executable, str(ROOT / "tests" / "local" / "stand_in.py"), str(folder / "compiled"), str(STAND_INS)]
    words += ["run", "--local", "--fresh", "--config", str(config), "--data", str(folder / "orders.json")]
    failed, began = 0, time.monotonic()
    for number in range(count):
        work = folder / f"work-{number}"
        done = subprocess.run([*words, "--work", str(work)], capture_output=True, text=True)
        if done.returncode or len(list(work.glob("runs/*/logs/*-train-*"))) != models:
            failed += 1
            print(f"run {number} ended with {done.returncode}:\n{done.stdout}{done.stderr}", flush=True)
        shutil.rmtree(work)
    taken = time.monotonic() - began
    print(f"{count - failed} of {count} runs of {models} models finished, {taken / count:.1f} s each")
    if failed:
        raise SystemExit(1)


# Many uploads


def uploads(count: int, folder: Path) -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "local")]
    from local_aws import until
    from whole import whole

    with whole(folder / "work") as pipeline:
        journal = pipeline.place.journal
        pipeline.run()
        began, parts = time.monotonic(), 4
        for part in range(1, parts + 1):
            before = resident()
            folders = [pipeline.upload() for _ in range(count // parts)]
            runs = [pipeline.begun(one) for one in folders]
            until(lambda: all(journal.ended(run.arn) for run in runs), 3600)  # noqa: B023 - asked at once
            taken = time.monotonic() - began
            print(
                f"{part * (count // parts)} uploads after {taken:.0f} s, memory {resident() - before:+.1f} MB",
                flush=True,
            )
        begun = journal.begun()
        once = len({run.run_file for run in begun}) == len(begun) == 1 + parts * (count // parts)
        print("each upload is exactly one execution" if once else f"WRONG: {len(begun)} executions")


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# The same jobs by hand


def by_hand(folder: Path) -> None:
    names = [model["name"] for model in config()["models"]]
    prepared, models, predictions = folder / "prepared", folder / "models", folder / "predictions"
    raw = {"raw": DEMO, "config": [config_file(folder)]}
    job(folder / "prepare", "prepare", raw, "processing/output", prepared, CORES)
    share = max(1, CORES // min(CORES, len(names)))
    with ThreadPoolExecutor(CORES) as side_by_side:
        list(side_by_side.map(lambda name: train(folder, name, prepared, models, share), names))
    with ThreadPoolExecutor(CORES) as side_by_side:
        list(side_by_side.map(lambda name: predict(folder, name, prepared, models, predictions, share), names))
    verdicts = folder / "verdicts.json"
    told = {"mae": 200, "threshold": 350, "verdict": "accepted", "reason": "", "uses": "trained", "model_uri": ""}
    verdicts.write_text(json.dumps([{"name": name, **told} for name in names]))
    inputs = {"rows": [prepared / "rows"], "predictions": [predictions], "verdicts": [verdicts]}
    inputs |= {"profile": [prepared / "profile.json"], "config": [config_file(folder)]}
    job(folder / "post", "postprocess", inputs, "processing/output", folder / "result", CORES)


def train(folder: Path, name: str, prepared: Path, models: Path, cores: int) -> None:
    root = folder / f"train-{name}"
    settings = root / "input" / "config" / "hyperparameters.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"model": name}))
    shutil.copytree(prepared / "models" / name, root / "input" / "data" / "data")
    (root / "model").mkdir()
    script(root, "train", cores, {})
    shutil.copytree(root / "model", models / name)


def predict(folder: Path, name: str, prepared: Path, models: Path, predictions: Path, cores: int) -> None:
    inputs = {"rows": [prepared / "predict" / name], "model": [models / name]}
    root = folder / f"predict-{name}"
    job(root, "predict", inputs, "processing/output", predictions / name, cores, STEPGLUON_MODEL=name)


def job(
    root: Path, name: str, inputs: dict[str, list[Path]], output: str, to: Path, cores: int, **variables: str
) -> None:
    for place, sources in inputs.items():
        folder = root / "processing" / "input" / place
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, folder, dirs_exist_ok=True)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / source.name)
    (root / output).mkdir(parents=True)
    script(root, name, cores, variables)
    shutil.copytree(root / output, to)


def script(root: Path, name: str, cores: int, variables: dict[str, str]) -> None:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(cores))
    told = {"STEPGLUON_ROOT": str(root), "STEPGLUON_CORES": str(cores), **threads, **variables}
    called([sys.executable, str(CODE / f"{name}.py")], told)


def config() -> dict[str, list[dict[str, str]]]:
    sys.path.insert(0, str(ROOT))
    from stepgluon.config.load import load
    from stepgluon.names import Names

    resolved: dict[str, list[dict[str, str]]] = json.loads(Names(load(CONFIG, None, {}).config).config_json)
    return resolved


def config_file(folder: Path) -> Path:
    file = folder / "config.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(config()))
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["nothing", "metaflow", "real", "uploads", "repeat", "live"])
    parser.add_argument("python", nargs="?", help="the Python of an environment with Metaflow")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--models", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "nothing":
            nothing(options.turns or 5, Path(folder))
        elif options.what == "metaflow":
            metaflow(options.turns or 5, Path(folder), options.python or parser.error("metaflow needs PYTHON"))
        elif options.what == "uploads":
            uploads(options.count or 1000, Path(folder))
        elif options.what == "live":
            live(options.turns or 3, Path(folder))
        elif options.what == "repeat":
            repeat(options.count or 200, options.models, Path(folder))
        else:
            real(options.turns or 2, Path(folder))


if __name__ == "__main__":
    main()
