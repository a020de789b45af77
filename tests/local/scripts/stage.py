"""What all stand-in jobs do: as orders.json says, which travels from the raw folder through the stages.

The tests run thousands of them, so they import little: pathlib alone takes as long as the whole job.
"""

import os
import sys
import time

root = os.environ["STEPGLUON_ROOT"]
inputs = f"{root}/processing/input"
output = f"{root}/processing/output"
order = ""


def read(file: str) -> str:
    with open(file) as opened:
        return opened.read()


def orders_in(folder: str) -> str:
    file = f"{folder}/orders.json"
    return read(file) if os.path.exists(file) else "{}"


def obey(stage: str, folder: str) -> str:
    """Misbehaves if it is ordered to; returns the order for what is written."""
    global order
    text = orders_in(folder)
    if stage in text:
        import json

        order = json.loads(text).get(stage, "")
    if order.startswith("wait for "):
        file, _, order = order.removeprefix("wait for ").partition(", then ")
        print("waiting", flush=True)
        while not os.path.exists(file):
            time.sleep(0.02)
    if order == "exit 1":
        kind = "failure" if stage.startswith("train") else "message"
        with open(f"{root}/output/{kind}", "w") as sentence:
            sentence.write(f"{stage} does not like the data")
        sys.exit(1)
    if order in ("SIGKILL", "SIGSEGV"):
        die(order)
    if order == "ignore SIGTERM":
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if order in ("hang", "ignore SIGTERM"):
        print("hanging", flush=True)
        time.sleep(600)
    if order == "no output":
        sys.exit(0)
    return order


def die(by: str) -> None:
    import signal

    os.kill(os.getpid(), getattr(signal, by))


def write(file: str, text: str) -> None:
    os.makedirs(os.path.dirname(file), exist_ok=True)
    cut = order in ("truncated", "dies while it writes")
    with open(file, "w") as opened:
        opened.write(text[: len(text) // 2] if cut else text)
    if order == "dies while it writes":
        die("SIGKILL")
