"""Runs a command of an equivalent: `command.py xgboost train`."""

from __future__ import annotations

import importlib
import os
import sys

# The folder of this script would hide the module xgboost; the one above localaws is not on the path of a checkout.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

if __name__ == "__main__":
    image, verb = sys.argv[1:]
    # XGBoost imports these if they are there, for data that no command has; it takes two seconds of processor time.
    unused = dict.fromkeys(("pandas", "sklearn"))
    sys.modules |= unused  # type: ignore[arg-type]  # None: cannot be imported
    command = importlib.import_module(f"localaws.containers.{image}.{verb}").main
    for name in unused:
        del sys.modules[name]
    sys.exit(command())
