"""What all stand-in jobs do: as orders.json says, which travels from the raw folder through the stages."""

import json
import os
import signal
import sys
import time
from pathlib import Path

root = Path(os.environ["STEPGLUON_ROOT"])
inputs = root / "processing" / "input"
order = ""


def obey(stage: str, folder: Path) -> str:
    """Misbehaves if it is ordered to; returns the order for what is written."""
    global order
    orders = folder / "orders.json"
    order = json.loads(orders.read_text()).get(stage, "") if orders.exists() else ""
    if order.startswith("wait for "):
        file, _, order = order.removeprefix("wait for ").partition(", then ")
        print("waiting", flush=True)
        while not Path(file).exists():
            time.sleep(0.02)
    if order == "exit 1":
        kind = "failure" if stage.startswith("train") else "message"
        (root / "output" / kind).write_text(f"{stage} does not like the data")
        sys.exit(1)
    if order in ("SIGKILL", "SIGSEGV"):
        os.kill(os.getpid(), getattr(signal, order))
    if order == "ignore SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if order in ("hang", "ignore SIGTERM"):
        print("hanging", flush=True)
        time.sleep(600)
    if order == "no output":
        sys.exit(0)
    return order


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cut = order in ("truncated", "dies while it writes")
    file.write_text(text[: len(text) // 2] if cut else text)
    if order == "dies while it writes":
        os.kill(os.getpid(), signal.SIGKILL)
