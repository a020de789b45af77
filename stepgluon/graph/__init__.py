"""The picture of a state machine.

definition --model--> states and edges --layout--> boxes and points --svg--> SVG --html--> page
                                      '--mermaid--> text for a README

layout takes inner scopes first; layers says who stands where in one, and drawing draws it. boxes are the picture as a
value, text is text that fits, and page is the frame that html fills in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from stepgluon.graph import html, mermaid, svg
from stepgluon.graph.layout import lay_out
from stepgluon.graph.model import read

Format = Literal["mermaid", "svg", "html"]


def render(definition: Mapping[str, Any], format: Format, title: str) -> str:
    """The picture of an Amazon States Language definition in JSONPath style; the same bytes for the same input."""
    if format == "mermaid":
        return mermaid.draw(read(definition))
    if format == "svg":
        return svg.draw(lay_out(read(definition)), title)
    return html.draw(definition, title)
