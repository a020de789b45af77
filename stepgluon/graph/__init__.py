"""The picture of a state machine: its story, or every state as in the console.

definition --story--> some states and edges --layout--> boxes and points --svg--> SVG --html--> page
           '-model--> all of them            |--mermaid--> text for a README
                                             '--outline--> text for a terminal

layout processes inner scopes first; layers orders and places the states of a scope, and drawing draws it. boxes is the
picture as a value, words its texts, text fits them. html fills in page.html; the SVG's style is picture.css.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from stepgluon.graph import html, mermaid, outline, svg
from stepgluon.graph.layout import lay_out
from stepgluon.graph.model import read
from stepgluon.graph.story import tell

Format = Literal["text", "mermaid", "svg", "html"]
Detail = Literal["story", "full"]


def render(definition: Mapping[str, Any], format: Format, title: str, detail: Detail = "story") -> str:
    """The picture of an Amazon States Language definition in JSONata; the same bytes for the same input."""
    if format == "html":
        return html.draw(definition, title, detail)
    scope = tell(definition) if detail == "story" else read(definition)
    if format == "svg":
        return svg.draw(lay_out(scope, top=detail == "full"), title)
    return mermaid.draw(scope) if format == "mermaid" else outline.draw(scope)
