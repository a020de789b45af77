"""Opens the live page in the user's browser."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable


def show(address: str, say: Callable[[str], None]) -> None:
    """Print the address and open it; a text browser must not block the command."""
    say(f"The live page is at {address}")
    threading.Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()
