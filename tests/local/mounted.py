"""stand_in.py with a file system of its own as the work folder, which ends with this process.

    python tests/local/mounted.py OPTIONS WORK FOLDER CODE run --local --data ...

OPTIONS are those of a tmpfs.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import subprocess
import sys

NEW_MOUNTS = 0x20000  # CLONE_NEWNS; os.unshare is new in Python 3.12

if __name__ == "__main__":
    options, work = sys.argv[1:3]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", work], check=True)
    script = os.path.join(os.path.dirname(__file__), "stand_in.py")
    sys.argv[:] = [script, *sys.argv[3:]]
    runpy.run_path(script, run_name="__main__")
