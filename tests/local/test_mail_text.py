"""Mails of a local run name what exists on this computer."""

from __future__ import annotations

from pathlib import Path

from stepgluon.advice import EXAMPLE, as_given, asking
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.local.mail_text import fitted
from stepgluon.names import Names

NAMES = Names(
    PipelineConfig(
        name="penguins",
        environment="prod",
        account="123456789012",
        region="ap-northeast-1",
        notify=["ml-team@example.com"],
        models=[Model(name="adelie", label="y", threshold=1)],
    )
)
RUN = "penguins-prod-261130-3f2"


def test_commands_get_the_options_of_the_call_and_addresses_become_paths() -> None:
    with as_given(Path("my configs/p.yml"), "prod", Path("work")):
        fit = fitted(NAMES, Path("work").absolute())
    text = f"""Run {RUN} of the pipeline penguins-prod has finished.

Report:  s3://{NAMES.work_bucket}/runs/{RUN}/result/report.html
Results: s3://{NAMES.work_bucket}/runs/{RUN}/result/

Fetch them:
  {NAMES.pipeline_py(f"fetch {RUN}")}
Look closer: {NAMES.pipeline_py(f"show {RUN}")}
             {NAMES.console}{NAMES.execution_arn(RUN)}
"""
    options = "--config 'my configs/p.yml' --env prod --work work"
    assert (
        fit(text)
        == f"""Run {RUN} of the pipeline penguins-prod has finished.

Report:  work/runs/{RUN}/report.html
Results: work/runs/{RUN}

Fetch them:
  python pipeline.py fetch {RUN} {options}
Look closer: python pipeline.py show {RUN} {options}
"""
    )


def test_a_console_has_no_local_execution() -> None:
    fit = fitted(NAMES, Path("work").absolute())
    assert fit(f"Approved.\n\nLook closer: {NAMES.console}{NAMES.execution_arn(RUN)}\n") == "Approved.\n\n"


def test_an_endpoint_is_asked_at_the_local_aws() -> None:
    with as_given(Path("pipeline-config.yml"), None, Path("work")):
        fit = fitted(NAMES, Path("work").absolute())
    text = f"{EXAMPLE}\n  {asking('shop-price', region='eu-west-1')}\n\nReport"
    shows = "python pipeline.py show latest --work work"
    assert fit(text) == f"{EXAMPLE}\n  {shows}  # has the command for the local AWS\n\nReport"


def test_other_texts_are_unchanged() -> None:
    fit = fitted(NAMES, Path("work").absolute())
    text = "Call `python pipeline.py show X` or see s3://other/runs/x/result/ and https://example.com.\n"
    text += "(python pipeline.py promote RUN)."
    assert fit(text) == text
