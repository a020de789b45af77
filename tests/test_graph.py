"""The picture of a state machine: the story in a few boxes, or complete; legible by its geometry, safe to open, and
always the same.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from golden import config_of, environment_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import workflow
from stepgluon.config.load import load, loads
from stepgluon.errors import UsageError
from stepgluon.graph import render, words
from stepgluon.graph.boxes import Box, Layout, Node
from stepgluon.graph.layers import Item, distance, spread
from stepgluon.graph.layout import SMALL_LEFT, TEXT_LEFT, lay_out
from stepgluon.graph.model import Scope, State, read
from stepgluon.graph.story import tell
from stepgluon.graph.text import CAPTION_SIZE, NAME_SIZE, clean, shorten, width, wrap
from stepgluon.workflow.compile import build

SAMPLES = Path(__file__).parent / "graphs"
SVG = "{http://www.w3.org/2000/svg}"


def sample(name: str) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return definition


def pipeline(models: int) -> dict[str, Any]:
    """The pipeline's own workflow for so many models."""
    names = ", ".join(f"model-{number}" for number in range(1, models + 1))
    text = "name: shop\naccount: '123456789012'\nregion: eu-west-1\nnotify: [a@example.com]\nfallback: {threshold: 9}\n"
    text += f"models: {{partition_by: kind, values: [{names}], label: y}}\n"
    return build(loads(text, "config.yml", None, {}).config, workflow).asl


def golden(case: str) -> dict[str, Any]:
    return build(load(config_of(case), environment_of(case), {}).config, workflow).asl


DEFINITIONS = {
    "one model": pipeline(1),
    "three models": pipeline(3),
    "eight models": pipeline(8),
    "forty models": pipeline(40),
    "every key of the config": golden("everything"),
    "hostile names": sample("hostile-names"),
    "nested and loops": sample("nested-and-loops"),
}
every_definition = pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=DEFINITIONS.keys())


def machines(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A machine and all inside it, found without the code under test."""
    yield definition
    for state in definition["States"].values():
        inside = [*state.get("Branches", []), *(state[k] for k in ("ItemProcessor", "Iterator") if k in state)]
        for machine in inside:
            yield from machines(machine)


def transitions(definition: dict[str, Any]) -> Counter[tuple[str, str, str]]:
    """All ways from state to state by name; several Catches or rules to the same state are one."""
    found: set[tuple[int, str, str, str]] = set()
    for number, machine in enumerate(machines(definition)):
        for name, state in machine["States"].items():
            found |= {(number, name, rule["Next"], "choice") for rule in state.get("Choices", [])}
            found |= {(number, name, catcher["Next"], "catch") for catcher in state.get("Catch", [])}
            found |= {(number, name, state[k], k.lower()) for k in ("Next", "Default") if k in state}
    return Counter((source, target, kind) for _, source, target, kind in found)


# Geometry


def overlap(one: Box, other: Box) -> bool:
    return (
        min(one.right, other.right) - max(one.left, other.left) > 0.5
        and min(one.bottom, other.bottom) - max(one.top, other.top) > 0.5
    )


def enclosing(layout: Layout, state: str) -> set[str]:
    parents = {node.state.id: node.parent for node in layout.nodes}
    found = set()
    while (parent := parents[state]) is not None:
        found.add(parent)
        state = parent
    return found


def findings(layout: Layout) -> list[str]:
    """What is wrong with where things stand."""
    wrong = []
    nodes = {node.state.id: node for node in layout.nodes}
    for one, other in itertools.combinations(layout.nodes, 2):
        if one.parent == other.parent and overlap(one.box, other.box):
            wrong.append(f"{one.state.name} overlaps {other.state.name}")
    for node in layout.nodes:
        outer = nodes[node.parent].box if node.parent else Box(0, 0, layout.width, layout.height)
        if not (outer.left <= node.box.left and node.box.right <= outer.right + 0.5):
            wrong.append(f"{node.state.name} leaves its parent at a side")
        if not (outer.top <= node.box.top and node.box.bottom <= outer.bottom + 0.5):
            wrong.append(f"{node.state.name} leaves its parent at the top or bottom")
    for route in layout.routes:
        around = enclosing(layout, route.edge.source)
        others = [node for node in layout.nodes if node.state.id not in around]
        # A curve stays between its ends' coordinates, so the rectangle of each piece holds all of it.
        for (x1, y1), (x2, y2) in itertools.pairwise(route.points):
            piece = Box(min(x1, x2) - 0.3, min(y1, y2) - 0.3, abs(x1 - x2) + 0.6, abs(y1 - y2) + 0.6)
            wrong += [f"{route.edge} crosses {node.state.name}" for node in others if overlap(piece, node.box)]
        wrong += [f"{route.edge} begins elsewhere"] * (not touches(nodes[route.edge.source], route.points[0]))
        wrong += [f"{route.edge} ends elsewhere"] * (not touches(nodes[route.edge.target], route.points[-1]))
        if route.label:
            wrong += [f"{route.label.text} covers {n.state.name}" for n in others if overlap(route.label.box, n.box)]
    labels = [route.label.box for route in layout.routes if route.label]
    wrong += ["two labels overlap" for one, other in itertools.combinations(labels, 2) if overlap(one, other)]
    return wrong


def touches(node: Node, point: tuple[float, float]) -> bool:
    x, y = point
    box = node.box
    at_side = min(abs(x - box.left), abs(x - box.right)) < 0.01 and box.top <= y <= box.bottom
    return at_side or (min(abs(y - box.top), abs(y - box.bottom)) < 0.01 and box.left <= x <= box.right)


@every_definition
def test_boxes_stay_apart_and_inside_and_no_edge_or_label_crosses_a_box(definition: dict[str, Any]) -> None:
    assert findings(lay_out(read(definition))) == []
    assert findings(lay_out(tell(definition), top=False)) == []


def test_the_geometry_check_sees_a_box_in_the_way() -> None:
    layout = lay_out(read(pipeline(1)))
    first, *others = layout.nodes
    moved = [replace(n, box=layout.nodes[2].box) if n is others[-1] else n for n in others]
    assert findings(Layout(layout.width, layout.height, (first, *moved), layout.routes))


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name != "forty models"])
def test_every_state_is_there_once_and_every_transition_has_an_edge(name: str) -> None:
    definition = DEFINITIONS[name]
    layout = lay_out(read(definition))
    shown = Counter(node.state.name for node in layout.nodes if node.state.type not in ("Start", "End"))
    assert shown == Counter(state for machine in machines(definition) for state in machine["States"])
    names = {node.state.id: node.state.name for node in layout.nodes}
    kinds = ("next", "choice", "default", "catch")
    edges = [route.edge for route in layout.routes if route.edge.kind in kinds]
    assert Counter((names[e.source], names[e.target], e.kind) for e in edges) == transitions(definition)


def test_the_main_line_is_straight_and_a_choice_stands_in_the_middle_of_its_targets() -> None:
    layout = lay_out(read(pipeline(3)))
    nodes = {node.state.name: node for node in layout.nodes}
    again = ("Prepare again?", "Post-process again?", "Done", "Incomplete", "End")
    main = [node.box.middle for node in layout.nodes if node.parent is None and node.state.name not in again]
    assert len(main) == 14
    assert max(main) - min(main) <= 1
    accept, reject = nodes["Accept model-2"].box.middle, nodes["Reject model-2"].box.middle
    assert abs(nodes["Judge model-2"].box.middle - (accept + reject) / 2) <= 2


def test_neighbours_that_wish_for_the_same_place_stand_around_it_at_their_distance() -> None:
    row = [Item(name, 0, 40, 48) for name in ("left", "middle", "right")]
    spread(row, [500.0, 500.0, 500.0], [1.0, 1.0, 1.0])
    step = distance(row[0], row[1])
    assert [item.x for item in row] == [500 - step, 500, 500 + step]


def test_each_machine_starts_once_and_what_ends_leads_to_its_end() -> None:
    layout = lay_out(read(pipeline(3)))
    kinds = Counter(route.edge.kind for route in layout.routes)
    assert kinds["start"] == 1 + 2 * 3
    assert kinds["end"] == 1 + 3 * 2 + 3  # Done; accept and reject; report
    assert kinds["fail"] == 1  # Incomplete; a Fail in a branch leads to no end


def test_names_and_captions_fit_their_boxes() -> None:
    for definition in DEFINITIONS.values():
        for node in (*lay_out(read(definition)).nodes, *lay_out(tell(definition)).nodes):
            if node.state.type in ("Start", "End"):
                continue
            if node.small:
                assert SMALL_LEFT + width(node.lines[0], NAME_SIZE) <= node.box.width
                continue
            assert len(node.lines) <= 2
            for text, size in [*((line, NAME_SIZE) for line in node.lines), (node.state.caption, CAPTION_SIZE)]:
                assert TEXT_LEFT + width(text, size) <= node.box.width, node


# Random machines

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@st.composite
def definitions(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    names = draw(st.lists(NAMES, min_size=1, max_size=7, unique=True))
    target = st.sampled_from(names)
    states: dict[str, Any] = {}
    for name in names:
        kinds = ["Pass", "Task", "Choice", "Wait", "Succeed", "Fail"] + ["Parallel", "Map"] * (depth > 0)
        kind = draw(st.sampled_from(kinds))
        state = states[name] = {"Type": kind}
        if kind == "Choice":
            rule = st.builds(lambda v, n: {"Condition": f"{{% $a = {v!r} %}}", "Next": n}, st.text(max_size=40), target)
            state["Choices"] = draw(st.lists(rule, min_size=1, max_size=3))
            if draw(st.booleans()):
                state["Default"] = draw(target)
        elif kind not in ("Succeed", "Fail"):
            state.update({"Next": draw(target)} if draw(st.booleans()) else {"End": True})
        if kind in ("Task", "Parallel", "Map"):
            catcher = st.builds(lambda n: {"ErrorEquals": ["States.ALL"], "Next": n}, target)
            state["Catch"] = draw(st.lists(catcher, max_size=3))
        if kind == "Parallel":
            state["Branches"] = draw(st.lists(definitions(depth=depth - 1), min_size=1, max_size=3))
        if kind == "Map":
            state[draw(st.sampled_from(["ItemProcessor", "Iterator"]))] = draw(definitions(depth=depth - 1))
    return {"StartAt": draw(target), "States": states}


@settings(max_examples=25, deadline=None)
@given(definitions())
def test_any_machine_is_drawn_completely_and_without_collisions(definition: dict[str, Any]) -> None:
    layout = lay_out(read(definition))
    assert findings(layout) == []
    assert findings(lay_out(tell(definition), top=False)) == []
    drawn = Counter((r.edge.source, r.edge.target, r.edge.kind) for r in layout.routes)
    assert set(drawn.values()) == {1}
    counted = sum(transitions(definition).values())
    assert sum(kind in ("next", "choice", "default", "catch") for _, _, kind in drawn) == counted
    for detail in ("story", "full"):
        ElementTree.fromstring(render(definition, "svg", "any", detail))
        assert render(definition, "text", "any", detail)
    assert embedded(render(definition, "html", "any")) == definition


# The story


def names(scope: Scope) -> list[str]:
    return [state.name for state in scope.states if state.type not in ("Start", "End")]


def by_name(scope: Scope) -> dict[str, State]:
    return {state.name: state for state in scope.states}


STAGES = ["Announce start", "Prepare data", "Train models", "Choose models", "Announce models", "Predict"]
STAGES += ["Post-process", "Announce results", "Is it complete?", "Done", "Incomplete"]


@pytest.mark.parametrize("models", [1, 3, 40])
def test_the_story_has_a_box_for_each_stage_whatever_the_number_of_models(models: int) -> None:
    story = tell(pipeline(models))
    assert names(story) == STAGES
    (one,) = by_name(story)["Train models"].branches
    assert names(one) == ["Look up", "Train", "Read score", "Judge", "Accept", "Reject"]
    (one,) = by_name(story)["Predict"].branches
    assert names(one) == ["Look up result", "Due?", "Predict", "Report"]


def test_a_stack_has_the_number_and_the_names_of_its_models() -> None:
    captions = {number: by_name(tell(pipeline(number)))["Train models"] for number in (1, 3, 40)}
    assert captions[1].caption == "1 model: model-1"
    assert captions[3].caption == "3 models: model-1, model-2, model-3"
    assert captions[40].caption == "40 models: model-1, model-2, model-3, model-4, model-5, model-6, … 34 more"
    assert [state.cards for state in captions.values()] == [0, 2, 2]
    assert captions[40].items == tuple(f"model-{number}" for number in range(1, 41))


def test_in_the_story_a_found_model_passes_the_training_and_a_failed_job_leads_nowhere_new() -> None:
    (one,) = by_name(tell(pipeline(3)))["Train models"].branches
    called = {state.id: state.name for state in one.states}
    ways = {(called[edge.source], called[edge.target]) for edge in one.edges}
    assert ways == {
        ("Start", "Look up"),
        ("Look up", "Judge"),
        ("Look up", "Train"),
        ("Train", "Read score"),
        ("Read score", "Judge"),
        ("Judge", "Accept"),
        ("Judge", "Reject"),
    }


def test_a_changed_workflow_has_a_changed_story() -> None:
    definition = pipeline(2)
    states = definition["States"]
    states["Post-process"]["Next"] = "Tidy up"
    states["Tidy up"] = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Next": "Note it"}
    states["Note it"] = {"Type": "Pass", "Next": "Announce results"}
    states["Tidy up"]["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": "Untidy"}]
    states["Untidy"] = {"Type": "Fail"}
    assert names(tell(definition)) == [*STAGES[:7], "Tidy up", *STAGES[7:], "Untidy"]


def test_branches_of_another_shape_stand_beside_the_stack() -> None:
    definition = pipeline(40)
    odd = {"StartAt": "Odd one", "States": {"Odd one": {"Type": "Pass", "End": True}}}
    definition["States"]["Predict"]["Branches"].insert(20, odd)
    predict = by_name(tell(definition))["Predict"]
    assert [names(branch) for branch in predict.branches] == [["40 models"], ["Odd one"]]
    assert findings(lay_out(tell(definition))) == []


def test_the_story_of_forty_models_is_no_larger_than_a_screen_is_wide_and_its_text_is_legible() -> None:
    for definition in (pipeline(3), pipeline(40), golden("everything")):
        svg = render(definition, "svg", "x")
        assert float(ElementTree.fromstring(svg).get("width", "inf")) <= 640
        assert min(float(size) for size in re.findall(r"font-size:([\d.]+)px", svg)) >= 11


def test_the_story_in_a_terminal() -> None:
    lines = render(pipeline(3), "text", "x").splitlines()
    assert lines[2:6] == [
        "Train models      3 models: model-1, model-2, model-3",
        "  Look up         -> Judge, Train",
        "  Train           training job",
        "  Read score",
    ]


# The full picture of many branches


def test_of_more_than_eight_branches_alike_the_full_picture_has_one() -> None:
    eight, nine = (by_name(read(pipeline(number)))["Train models"] for number in (8, 9))
    assert (len(eight.branches), eight.cards, eight.caption) == (8, 0, "Parallel: 8 branches")
    assert (len(nine.branches), nine.cards) == (1, 2)
    assert nine.caption.startswith("9 models: model-1, ")


# Words


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("$score.mae <= 350", "mae <= 350"),
        ("$found.mae <= $models[0].threshold", "mae <= threshold"),
        ("$own.mae <= ($exists($models[0].limit) ? $models[0].limit : 1e308)", "mae <= limit"),
        ("$type($found.mae) = 'number' ? $found.mae >= 0 and $found.mae <= 9 : false", "mae >= 0 and mae <= 9"),
        ("$count($filter($all, function($v) {$v.outcome = 'failed'})) = 0", "no all with outcome = 'failed'"),
        ("$count($filter($all, function($v){$v.ok})) > 0", "any all with ok"),
        ("$not($contains($failure.Cause, 'Not retried: '))", "Cause lacks 'Not retried: '"),
        ("$tries < 2 ? true : $error('no more')", "tries < 2"),
        ("$exists($states.input.again)", "again exists"),
    ],
)
def test_a_condition_in_plain_words(condition: str, text: str) -> None:
    assert words.condition({"Condition": f"{{% {condition} %}}"}) == text


def test_a_condition_too_long_to_read_is_left_to_the_pointer() -> None:
    rule = {"Condition": "{% " + " and ".join(f"$x{number} = 1" for number in range(20)) + " %}", "Next": "B"}
    states = {"A": {"Type": "Choice", "Choices": [rule], "Default": "B"}, "B": {"Type": "Succeed"}}
    definition = {"StartAt": "A", "States": states}
    assert {route.label.text for route in lay_out(read(definition)).routes if route.label} == {"otherwise"}
    assert "x18 = 1 and x19 = 1</title>" in render(definition, "svg", "x", "full")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Train adelie", "Train"),
        ("Read score of adelie", "Read score"),
        ("Look up adelie result", "Look up result"),
        ("Retry adelie?", "Retry?"),
        ("adelie not predicted", "Not predicted"),
        ("adelie", "adelie"),
        ("Train adelie-2", "Train adelie-2"),
    ],
)
def test_a_step_of_a_stack_is_named_without_its_model(name: str, text: str) -> None:
    assert words.without("adelie", name) == text


def test_states_are_captioned_like_the_console_does() -> None:
    captions = {node.state.name: node.state.caption for node in lay_out(read(pipeline(2))).nodes}
    assert captions["Train model-1"] == "SageMaker: CreateTrainingJob"
    assert captions["Read score of model-1"] == "S3: GetObject"
    assert captions["Announce start"] == "SNS: Publish"
    assert captions["Predict"] == "Parallel: 2 branches"


@settings(deadline=None)
@given(st.text(max_size=90), st.integers(40, 300))
def test_wrapped_text_fits_and_loses_nothing_silently(text: str, limit: int) -> None:
    lines = wrap(text, NAME_SIZE, limit, 2)
    assert len(lines) <= 2
    assert all(width(line, NAME_SIZE) <= limit for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "") or lines[-1].endswith("…")


def test_short_text_is_left_alone_and_long_text_ends_in_an_ellipsis() -> None:
    assert shorten("Done", NAME_SIZE, 100) == "Done"
    assert shorten("W" * 80, NAME_SIZE, 100).endswith("W…")


# Files


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.elements[-1][2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for name, attributes, text in self.elements if name == tag]


def embedded(page: str) -> Any:
    return next(json.loads(text) for attributes, text in _Page(page).all("script") if attributes.get("id"))


@every_definition
def test_the_svg_is_well_formed_and_names_every_state_in_full(definition: dict[str, Any]) -> None:
    root = ElementTree.fromstring(render(definition, "svg", 'A "title" <&>', "full"))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == 'A "title" <&>'
    titles = {title.text for title in root.iter(f"{SVG}title")}
    for node in lay_out(read(definition)).nodes:
        if node.state.type not in ("Start", "End"):
            assert f"{clean(node.state.name)} ({node.state.caption})" in titles


@every_definition
def test_nothing_in_a_picture_is_fetched_from_elsewhere(definition: dict[str, Any]) -> None:
    page = re.sub(r'<script type="application/json".*?</script>', "", render(definition, "html", "x"))
    for text in (render(definition, "svg", "x"), render(definition, "svg", "x", "full"), page):
        assert not re.search(r"""(?:href|src)\s*=|url\(|@import""", text)
        assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


@every_definition
def test_the_page_runs_its_own_script_only_and_holds_the_whole_definition(definition: dict[str, Any]) -> None:
    text = render(definition, "html", "</title><script>alert(1)</script>")
    page = _Page(text)
    (policy,) = [str(a["content"]) for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    data, script = page.all("script")
    assert data[0] == {"type": "application/json", "id": "definition"}
    for code in (script[1], *(style for _, style in page.all("style"))):
        assert base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() in policy
    assert not any(
        name.startswith("on") or name == "style" for _, attributes, _ in page.elements for name in attributes
    )
    assert embedded(text) == definition


def test_the_page_finds_each_drawn_state_by_its_json_pointer() -> None:
    definition = sample("hostile-names")
    root = ElementTree.fromstring(render(definition, "svg", "x", "full"))
    pointers = [json.loads(f'"{element.get("data-state")}"') for element in root.iter() if element.get("data-state")]
    names = [pointer.removeprefix("/States/").replace("~1", "/").replace("~0", "~") for pointer in pointers]
    assert sorted(names) == sorted(definition["States"])


def test_mermaid_has_every_state_once_and_only_plain_characters_in_labels() -> None:
    for definition in (pipeline(3), sample("hostile-names"), sample("nested-and-loops")):
        text = render(definition, "mermaid", "x", "full")
        states = [state for machine in machines(definition) for state in machine["States"]]
        labels = re.findall(r'(?:\[|\{|\(\[)"([^"]*)"', text)
        assert len([label for label in labels if label not in ("Start", "End")]) == len(states)
        for label in [*labels, *re.findall(r'\|"([^"]*)"\|', text)]:
            assert not re.search(r"[<>`\[\]{}|\\]|&|;(?<!\d;)", label), label


def test_mermaid_draws_catches_dotted_and_branches_as_subgraphs() -> None:
    text = render(pipeline(3), "mermaid", "x", "full")
    assert text.startswith("flowchart TD\n")
    ids = {name: id for id, name in re.findall(r'(s\d+)[\[{]+"([^"]*)"', text)}
    assert f"{ids['Prepare data']} -.-> {ids['Prepare again?']}\n" in text
    assert text.count("subgraph ") == len(re.findall(r"^ *end$", text, re.MULTILINE)) == 2


@pytest.mark.parametrize("format", ["svg", "html", "mermaid", "text"])
def test_the_same_definition_gives_the_same_bytes_whatever_the_hash_seed(format: str, tmp_path: Path) -> None:
    (tmp_path / "definition.json").write_text(json.dumps(sample("nested-and-loops")))
    code = "import json, sys; from stepgluon.graph import render; "
    code += "sys.stdout.buffer.write(render(json.load(open(sys.argv[1])), sys.argv[2], 'x').encode())"
    command = [sys.executable, "-c", code, str(tmp_path / "definition.json"), format]
    root = Path(__file__).parent.parent
    seen = {
        subprocess.run(
            command,
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(seen) == 1
    assert len(seen.pop()) > 500


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({}, "the definition: StartAt names no state of States (name the first state)"),
        (
            {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}},
            "/States/A: leads to 'B', which is no state beside it (correct the name)",
        ),
    ],
)
def test_a_definition_that_cannot_be_drawn_is_refused_in_one_sentence(definition: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        render(definition, "svg", "x")
    assert str(refused.value) == message
