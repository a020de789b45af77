"""JSONata as Step Functions evaluates it. What AWS was seen to answer is marked so; the rest is its documentation."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localaws.stepfunctions.jsonata import QueryEvaluationError, Undefined, check, evaluate

STATES = {
    "input": {"x": [1, 2, 3, 5], "nothing": None, "one": [{"b": 1}], "text": "a"},
    "context": {"Execution": {"Name": "run-1"}, "State": {"RetryCount": 2}},
}
MODELS = [{"name": "adelie", "mae": 274.006}, {"name": "gentoo", "mae": 400}]
VARIABLES = {"states": STATES, "models": MODELS, "limit": 350, "run": "run-1"}


def value(expression: str, **more: Any) -> Any:
    return evaluate(expression, {**VARIABLES, **more})


def refused(expression: str, **more: Any) -> str:
    with pytest.raises(QueryEvaluationError) as caught:
        value(expression, **more)
    return caught.value.cause("Output/x")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$states.input.x", [1, 2, 3, 5]),
        ("$states.input.nothing", None),
        ("$states.input.one.b", 1),
        ("$states.input.x[$ > 2]", [3, 5]),
        ("$states.input.x.($ * 2)", [2, 4, 6, 10]),
        ("$states.'context'.State.RetryCount", 2),
        ("$states.context.Execution.Name & '-' & $states.context.State.RetryCount", "run-1-2"),
        ("{'z': $limit, 'a': {'name': $run}}", {"z": 350, "a": {"name": "run-1"}}),
        ("$merge([{'a': 1}, {'b': $limit}])", {"a": 1, "b": 350}),
        ("$map($models, function($m) { $m.mae <= $limit ? $m.name : 'no' })", ["adelie", "no"]),
        ("$exists($states.result) or $type($limit) != 'number'", False),
        ("$join($models.name, ', ')", "adelie, gentoo"),
        ("$limit / 7 / 5", 10),
        ("$match('a/b', /b/).match", "b"),
        ("($m := $models[mae > $limit]; $m.name)", "gentoo"),
        ("$sort($models, function($l, $r) { $l.mae < $r.mae }).name", ["gentoo", "adelie"]),
        ("$length('\\ud83d\\ude00')", 1),
        ("/* a comment with $eval */ '$eval'", "$eval"),
    ],
)
def test_an_expression_has_its_value(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_keys_keep_their_order_and_integers_stay_integers() -> None:
    assert json.dumps(value("$x", x={"z": 350, "a": 1.5, "m": [0, -1]})) == '{"z": 350, "a": 1.5, "m": [0, -1]}'
    assert json.dumps(value("$x * 1", x=350)) == "350"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [  # recorded on AWS
        ("$partition([0, 1, 2], 2)", [[0, 1], [2]]),
        ("$partition([0, 1, 2, 3], 5)", [[0, 1, 2, 3]]),
        ("$partition([0], 1)", [[0]]),
        ("$range(0, 9, 3)", [0, 3, 6, 9]),
        ("$range(0, 10, 3)", [0, 3, 6, 9]),
        ("$range(1, 9, 9)", 1),
        ("$parse('[1, 2, \"HelloWorld\"]')", [1, 2, "HelloWorld"]),
        ("$parse('1.1')", 1.1),
        ("$parse('true')", True),
        # and documented
        ("$range(5, 1, -2)", [5, 3, 1]),
        ("$range(5, 1, 2)", []),
        ("$hash('input data', 'SHA-1')", "aaff4a450a104cd177d28d18d74485e8cae074b7"),
        ("$random(7) = $random(7)", True),
        ("$random() < 1", True),
        ("$uuid() = $uuid()", False),
        ("$map([1], function($v) { $hash('a', 'MD5') })", "0cc175b9c0f1b6a831c399e269772661"),
    ],
)
def test_the_functions_of_step_functions(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_now_takes_a_picture_and_a_zone() -> None:
    assert re.fullmatch(r"\d{4}-\d\d", value("$now('[Y0001]-[M01]')"))
    assert value("$now('[z]', '+0900')") == "GMT+09:00"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value("$now()"))


def test_a_variable_hides_a_function() -> None:
    assert value("$range", range=[1]) == [1]
    assert value("($hash := function($x) { $x & '!' }; $hash('a'))") == "a!"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [  # recorded on AWS
        ("$doesNotExist", "returned nothing (undefined)."),
        ("$fn := function($x){$x}", "returned an unsupported result type."),
        ("$randomSeeded(1)", "threw an error during evaluation. T1006: Attempted to invoke a non-function"),
    ],
)
def test_an_error_has_the_words_of_aws(expression: str, problem: str) -> None:
    said = f"The JSONata expression '{expression}' specified for the field 'Output/x' {problem}"
    assert refused(expression) == said


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("$states.input.missing", "returned nothing (undefined)."),
        ("$states.result", "returned nothing (undefined)."),
        ("missing", "returned nothing (undefined)."),
        ("$sum", "returned an unsupported result type."),
        ("$error('no model for ' & $run)", "D3137: no model for run-1"),
        ("1 + 'a'", "T2002: "),
        ("$limit +", "S0207: "),
        ("$eval('1')", "T1006: "),
        ("$map(['1'], $eval)", "T1006: "),
        ("$", "$ cannot be used at the top level"),
        ("$$.a", "$$ cannot be used at the top level"),
        ("$count($)", "$ cannot be used at the top level"),
        ("$map($models, function($m) { $.name })", "$ cannot be used at the top level"),
        ("$missing ?? 1", "S0204: "),
        ("$limit ?: 1", "S0204: "),
        ("1 / 0", "D1001: "),
        ("{'a': 1 / 0}", "D1001: "),
        ("$hash('a', 'CRC')", "T0410: "),
        ("$parse('{')", "threw an error during evaluation."),
        ("$partition([1], 0)", "T0410: "),
    ],
)
def test_what_has_no_value_is_refused(expression: str, part: str) -> None:
    assert part in refused(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "($f := function($n) { $f($n + 1) }; $f(1))",
        "($f := function($n) { 1 + $f($n + 1) }; $f(1))",
        "$map([1..1000], function($i) { $map([1..1000], function($j) { $map([1..1000], function($k) { $k }) }) })",
        "$range(1, 1000000000, 1)",
        "(" * 5000 + "1" + ")" * 5000,
    ],
    ids=["endless", "too deep", "too long", "too many", "too nested"],
)
def test_a_runaway_expression_ends(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localaws.stepfunctions.jsonata.TIMEOUT_MS", 200)
    assert "threw an error during evaluation. " in refused(expression)


def test_a_syntax_error_is_found_without_evaluation() -> None:
    check("$states.input.x")
    with pytest.raises(QueryEvaluationError, match="S0207"):
        check("$limit +")


def test_undefined_is_told_from_null() -> None:
    with pytest.raises(Undefined):
        value("$states.input.missing")
    assert value("$x", x=None) is None


def test_an_expression_gets_all_that_it_uses() -> None:
    bound = {"b": 2, "c": {"d": 3}, "e": 4, "g": 5}
    text = "$states.input.one[0].b / $b & $c.d & '$e' & $match('g', /g$/).match & ($h := $states.context; $type($h))"
    assert value(text, **bound) == "0.53$egobject"
    for whole in (
        "$lookup($states, 'input')",
        "$states.input",
        "$states.`input`",
        "$states . input",
        "$$"[1:] + "states",
    ):
        assert value(f"$type({whole})") == "object"


def test_threads_share_what_was_read_of_an_expression() -> None:
    answers: list[Any] = []
    expressions = [f"$count($models) + {number} & $uuid() ? {number} : 0" for number in range(50)]

    def work() -> None:
        answers.append([value(expression) for expression in expressions])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [list(range(50))] * 8


# JSON has no lone surrogates once it is written as UTF-8, and JSONata's numbers are doubles.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(_JSON)
def test_any_value_survives_variables_and_evaluation(anything: Any) -> None:
    states = {"input": {"v": anything}}
    for expression in ("$v", "$states.input.v", "$lookup({'k': $v}, 'k')", "{'k': $v}.k"):
        assert evaluate(expression, {"v": anything, "states": states}) == anything


@settings(deadline=None)
@given(_TEXT, _TEXT)
def test_a_string_is_never_part_of_the_expression(one: str, other: str) -> None:
    assert evaluate("$a & $b = $b & $a or $a & $b = $c", {"a": one, "b": other, "c": one + other}) is True


@settings(deadline=None)
@given(st.integers())
def test_an_integer_beyond_doubles_is_the_nearest_double(number: int) -> None:
    assert evaluate("$n", {"n": number}) == float(number)
