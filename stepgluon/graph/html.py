"""One page that opens from a file: the story and the full picture, search, and the fields of each state.

Nothing is loaded from elsewhere, and only the script below may run: the page's policy names its hash, so a definition's
content always stays text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from stepgluon.graph import svg
from stepgluon.graph.layout import lay_out
from stepgluon.graph.model import read
from stepgluon.graph.story import tell

PAGE, STYLE, SCRIPT = ((Path(__file__).parent / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
STYLE, SCRIPT = f"\n{STYLE}", f"\n{SCRIPT}"


def draw(definition: Mapping[str, Any], title: str, detail: str) -> str:
    """The page's text, with both pictures; a button switches between the story and all states."""
    story, full = (
        svg.draw(layout, title, prefix, interactive=True)
        for layout, prefix in ((lay_out(tell(definition), top=False), "story"), (lay_out(read(definition)), "full"))
    )
    # In a script element, only "<" can end it or hide its end; JSON can escape it.
    data = json.dumps(definition, ensure_ascii=True).replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src '{_hash(SCRIPT)}'; style-src '{_hash(STYLE)}' '{_hash(svg.STYLE)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    filled = {"policy": policy, "title": svg.text(title), "style": STYLE, "data": data, "script": SCRIPT}
    return Template(PAGE).substitute(filled, story=story, full=full, first=detail)


def _hash(code: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
