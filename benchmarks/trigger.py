"""The trigger's cold start, over that of importing boto3 alone.

    python benchmarks/trigger.py [times]

Both are measured side by side in fresh processes: the interpreter with `import boto3`, and with the trigger's module;
then the first event, which makes the client, over making that client with nothing else. Prints seconds and ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "lambda"
KEYS = "import os; os.environ.update(AWS_REGION='eu-west-1', AWS_DEFAULT_REGION='eu-west-1')\n"
TRIGGER = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import start_pipeline"
PAIRS = {
    "import": ("import boto3", TRIGGER),
    "import and client": (
        f"{KEYS}import boto3; boto3.client('stepfunctions')",
        f"{KEYS}{TRIGGER}; start_pipeline.client('stepfunctions')",
    ),
}


def seconds(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for what, (alone, ours) in PAIRS.items():
        pairs = [(seconds(alone), seconds(ours)) for _ in range(times)]
        base, trigger = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{what:18} boto3 {base:.3f} s, trigger {trigger:.3f} s: {trigger / base:.2f} times")


if __name__ == "__main__":
    main()
