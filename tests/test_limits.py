"""What is too much for AWS is said before anything is written: which limit, how much over, and what to change."""

from __future__ import annotations

import re
from typing import Any

import pytest
from configs import valid_configs
from hypothesis import HealthCheck, given, settings

from pipeline import workflow
from stepgluon import limits
from stepgluon.config.load import loads
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import ConfigError
from stepgluon.names import Names, short
from stepgluon.selfcheck import findings, worst_case_events
from stepgluon.workflow.compile import build, compile_definition, most_models
from stepgluon.workflow.retries import Waiting
from stepgluon.workflow.size_estimate import surely_fits


def config(models: int, more: str = "", fallback: str = "threshold: 350") -> LoadedConfig:
    names = ", ".join(f"m{number}" for number in range(models))
    text = f"""
name: many
account: "123456789012"
region: ap-northeast-1
notify: [ml-team@example.com]
models: {{partition_by: kind, values: [{names}], label: y}}
fallback: {{{fallback}}}
{more}"""
    return loads(text, "pipeline-config.yml", None, {})


def refused(loaded: LoadedConfig) -> str:
    with pytest.raises(ConfigError) as error:
        compile_definition(loaded, workflow)
    return str(error.value)


@pytest.mark.parametrize("limit", ["threshold: 350", "better_than_median: 20%", ""])
def test_the_most_models_fit_and_one_more_is_refused_with_that_number(limit: str) -> None:
    few = "retries: {throttling: 2}"  # so that the history has room for all
    most = most_models(config(400, few, limit).config, workflow)
    assert most >= 195
    assert len(compile_definition(config(most, few, limit), workflow).text) <= limits.DEFINITION_BYTES
    said = refused(config(most + 1, few, limit))
    assert re.fullmatch(
        rf"pipeline-config\.yml:6:9: models: {most + 1} models make a definition of 1,0\d\d,\d{{3}} bytes, [\d,]+ more "
        rf"than Step Functions takes \(at most 1,048,576 bytes: with these settings {most} models fit; move the others "
        rf"into a second pipeline\)",
        said,
    )


def test_too_many_tries_for_the_history_are_refused_with_the_number_that_fits() -> None:
    said = refused(config(100, "retries: {quota: 60}"))
    fit = Waiting(config(100).config).quota_tries
    assert 0 < fit < 60
    assert said.startswith(
        "pipeline-config.yml:8:18: retries.quota: when everything is tried again as often as it may, "
    )
    assert said.endswith(f"(at most 25,000: {fit} fit, and are used when retries.quota is left out)")
    compile_definition(config(100, f"retries: {{quota: {fit}}}"), workflow)


@pytest.mark.parametrize(("large", "fits"), [(range(3), True), (range(3, 100), False)])
def test_large_settings_count_for_the_models_that_have_them(large: range, fits: bool) -> None:
    loaded = config(100, "retries: {throttling: 2}")
    few = loaded.config.models[0]
    rich = few.changed(train=few.train.changed(environment={"NOTE": "n" * 3_000}))
    models = [(rich if number in large else few).changed(name=f"m{number}") for number in range(100)]
    found = findings(build(loaded.config.changed(models=models), workflow).asl)
    assert ([finding.code for finding in found if finding.code == "payload-size"] == []) is fits


def test_other_retries_can_be_too_many_too() -> None:
    said = refused(config(100, "retries: {throttling: 99, job: 10}"))
    assert "models: when everything is tried again as often as it may, 100 models write " in said
    assert said.endswith("(at most 25,000: lower retries.job or retries.throttling, or use fewer models)")


@pytest.mark.parametrize("models", [1, 3, 40, 150])
@pytest.mark.parametrize("more", ["", "retries: {throttling: 0, job: 0}", "retries: {throttling: 20, job: 3}"])
def test_the_room_for_quota_tries_is_reckoned_as_the_check_counts_it(models: int, more: str) -> None:
    loaded = config(models, more)
    counted = worst_case_events(build(loaded.config, workflow).asl)
    assert counted <= Waiting(loaded.config).events <= counted * 1.2 + 20


@pytest.mark.parametrize("models", [40, 100, 210])
def test_the_words_of_all_failures_fit_into_the_data(models: int) -> None:
    definition = build(config(models).config, workflow)
    found = findings(definition.asl, definition.text)
    assert [finding for finding in found if finding.code == "payload-size"] == []


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(valid_configs())
def test_any_valid_config_compiles_without_a_finding_and_what_surely_fits_fits(text: Any) -> None:
    loaded = loads(text, "pipeline-config.yml", None, {})
    try:
        compile_definition(loaded, workflow)
    except ConfigError as error:  # it asks for more than a history takes, and is told so
        assert "events" in str(error)
        assert not surely_fits(loaded.config)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(valid_configs())
def test_every_name_fits_its_service(text: Any) -> None:
    loaded = loads(text, "pipeline-config.yml", None, {})
    names = Names(loaded.config)
    assert len(names.raw_bucket) <= limits.BUCKET_NAME
    assert len(names.work_bucket) <= limits.BUCKET_NAME
    assert len(names.role("state-machine")) <= 64
    for model in loaded.config.models:
        longest = f"{names.prefix}-predict-{short(model)}-{'f' * 12}-999-1000"
        assert len(longest) <= limits.JOB_NAME
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", longest)


def test_most_configs_need_not_be_compiled_to_be_validated() -> None:
    assert surely_fits(config(50).config)
    assert not surely_fits(config(200).config)
