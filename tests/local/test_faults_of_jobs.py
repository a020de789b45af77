"""Every fault of every job, in the demo's workflow as a whole: exit code, mails, and what remains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from local_aws import stop_jobs, until
from whole import MODELS, Whole, whole

from localaws.sagemaker.job import Job

THROTTLED = ("ThrottlingException", "Rate exceeded")
QUOTA = ("ResourceLimitExceeded", "The account-level service limit is 0 Instances.")
ENDS = {"prepare": "Prepare data", "train-adelie": "", "predict-adelie": "Incomplete", "post": "Post-process"}
STAGES = list(ENDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("work")) as running:
        yield running


@pytest.fixture
def pipeline(made: Whole) -> Iterator[Whole]:
    made.faults.clear()
    made.promote("adelie")
    yield made
    made.faults.clear()
    stop_jobs(made.place.aws)


@dataclass(frozen=True)
class Ending:
    code: int
    mails: list[str]
    state: str = ""  # where it failed
    adelie: str = "trained"  # what predicts its rows
    result: bool = False


GOOD = Ending(0, ["started", "models", "finished"], result=True)
REPLACED = Ending(0, ["started", "models", "finished"], adelie="default", result=True)


def lost(stage: str, code: int = 1) -> Ending:
    """How a run ends whose stage fails for good; a training that fails is no reason to fail."""
    if stage.startswith("predict"):
        return Ending(code, ["started", "models", "incomplete"], ENDS[stage], result=True)
    mails = ["started", "failed"] if stage == "prepare" else ["started", "models", "failed"]
    return REPLACED if stage.startswith("train") else Ending(code, mails, ENDS[stage])


# A job that does this gives up for good: both tries end in the same way.
ENDINGS = {
    (stage, fault): lost(stage) for stage in STAGES for fault in ("exit 1", "ignore SIGTERM", "dies while it writes")
} | {
    # Milder than those three, and the same for each kind of job.
    ("prepare", "SIGSEGV"): lost("prepare"),
    ("prepare", "hang"): lost("prepare"),
    ("train-adelie", "SIGKILL"): REPLACED,
    ("train-adelie", "hang"): REPLACED,
    # What is missing or cut is found by whoever reads it.
    ("prepare", "no output"): Ending(1, ["started", "failed"], "Read fingerprints"),
    ("prepare", "truncated"): Ending(1, ["started", "failed"], "Read fingerprints"),
    ("train-adelie", "no output"): REPLACED,
    ("train-adelie", "truncated"): REPLACED,
    ("predict-adelie", "no output"): lost("post"),
    ("predict-adelie", "truncated"): lost("post"),
    # Nobody reads the result: the job that writes it has the last word, and what it left is shown as it is.
    ("post", "no output"): Ending(0, ["started", "models", "finished"]),
    ("post", "truncated"): GOOD,
}


@pytest.mark.parametrize(("stage", "fault"), ENDINGS)
def test_a_job_that_misbehaves(pipeline: Whole, monkeypatch: pytest.MonkeyPatch, stage: str, fault: str) -> None:
    if fault in ("hang", "ignore SIGTERM"):  # nothing that works well has to be quick
        usual = Job.max_seconds.fget
        short = property(lambda job: 0.3 if f"-{stage}-" in job.name else usual(job))  # type: ignore[misc]
        monkeypatch.setattr(Job, "max_seconds", short)
    check(pipeline, stage, ENDINGS[stage, fault], tries=1 if fault in ("no output", "truncated") else 2, order=fault)


@pytest.mark.parametrize("stage", STAGES)
def test_what_passes_is_waited_for(pipeline: Whole, stage: str) -> None:
    pipeline.faults.stage, pipeline.faults.losses = f"-{stage}-", 1
    pipeline.faults.refusals = [THROTTLED, QUOTA, THROTTLED]
    check(pipeline, stage, GOOD, tries=5)
    assert len(set(pipeline.faults.refused)) == 3, "each try has a name of its own"


@pytest.mark.parametrize(("stage", "refusal"), zip(STAGES, [THROTTLED, QUOTA] * 2, strict=True))
def test_a_job_that_is_refused_for_ever(pipeline: Whole, stage: str, refusal: tuple[str, str]) -> None:
    pipeline.faults.stage, pipeline.faults.for_ever = f"-{stage}-", refusal
    check(pipeline, stage, lost(stage), tries=4)
    assert len(pipeline.faults.refused) == 4, "once, and three times more"


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_this_computer_s_problem(pipeline: Whole, stage: str) -> None:
    pipeline.faults.stage, pipeline.faults.full = f"-{stage}-", True
    check(pipeline, stage, lost(stage, code=3), tries=2)


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_that_is_stopped_by_hand(pipeline: Whole, stage: str) -> None:
    folder = pipeline.upload(**{stage: "hang"})
    api = pipeline.place.aws.client("sagemaker")
    for _ in range(2):
        job = pipeline.hanging(f"-{stage}-")
        if job.kind == "training":
            api.stop_training_job(TrainingJobName=job.name)
        else:
            api.stop_processing_job(ProcessingJobName=job.name)
        until(job.done.is_set)
    check(pipeline, stage, lost(stage), tries=2, folder=folder)


def check(pipeline: Whole, stage: str, ending: Ending, tries: int = 0, order: str = "", folder: str = "") -> None:
    ended = pipeline.ended(folder) if folder else pipeline.run(**({stage: order} if order else {}))
    told = ended.told
    assert (ended.code, ended.kinds) == (ending.code, ending.mails), told
    assert ("predictions.csv" in pipeline.result(ended)) is ending.result
    assert len([job for job in told["jobs"] if f"-{stage}-" in job["name"]]) == tries
    names = [job["name"] for job in told["jobs"]]
    assert len(set(names)) == len(names), "SageMaker takes each name once"
    if ending.state:
        assert told["failure"]["state"] == ending.state
        assert told["failure"]["sentence"], "the user is told why"
    if ended.uses:
        assert ended.uses["adelie"] == ending.adelie
    if ending.code == 0:
        assert ended.uses == dict.fromkeys(MODELS, "trained") | {"adelie": ending.adelie}
