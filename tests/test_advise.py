"""Advice on instance types, spot and groups, from what the jobs of a run used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from golden import config_of, environment_of

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.config.aws_facts import facts
from stepgluon.config.load import load
from stepgluon.config.schema import PipelineConfig
from stepgluon.cost.advise import Advice, advise
from stepgluon.cost.machines import alike, machine_of
from stepgluon.cost.prices import Prices
from stepgluon.names import Names

HOURS = {"ml.m5.large": 0.1, "ml.m5.xlarge": 0.2, "ml.m5.2xlarge": 0.4, "ml.c5.xlarge": 0.19, "ml.r5.xlarge": 0.3}
PRICES = Prices("us-east-1", "2026-09-21", dict.fromkeys(("Training", "Processing", "Transform"), HOURS))
UNKNOWN = Prices("eu-north-1", "", {})


def config(case: str = "one-model") -> PipelineConfig:
    return load(config_of(case), environment_of(case), {}).config


def used(memory: float, processor: float, seconds: float = 1000, cores: int = 4) -> dict[str, float]:
    known = {"memory": memory, "of_memory": 15.4, "processor": processor, "seconds": seconds, "cores": cores}
    return {**known, "disk": 0.1}


def job(state: str = "Train price", instance: str = "ml.m5.xlarge", **more: Any) -> dict[str, Any]:
    kind = "training" if state.startswith("Train") else "processing"
    given = {"name": "job", "state": state, "kind": kind, "instance": instance, "instances": 1, "sentence": ""}
    return {**given, "status": "Completed", "cached": False, "seconds": 1100.0, "billed": 1000.0, **more}


def of(*jobs: dict[str, Any], prices: Prices = PRICES) -> Advice:
    return advise(config(), list(jobs), prices)[0]


@pytest.mark.parametrize(
    ("instance", "cores", "memory"),
    [
        ("ml.m5.large", 2, 8),
        ("ml.m5.24xlarge", 96, 384),
        ("ml.c5.9xlarge", 36, 72),
        ("ml.c6i.xlarge", 4, 8),
        ("ml.r5.4xlarge", 16, 128),
        ("ml.r5d.xlarge", 4, 32),
        ("ml.m7i-flex.2xlarge", 8, 32),
        ("ml.t3.large", 2, 8),
        ("ml.t3.2xlarge", 8, 32),
        ("ml.g4dn.12xlarge", 48, 192),
        ("ml.g5.48xlarge", 192, 768),
        ("ml.g6e.xlarge", 4, 32),
    ],
)
def test_cores_and_memory_follow_from_a_type_s_name(instance: str, cores: int, memory: int) -> None:
    machine = machine_of(instance)
    assert machine is not None and (machine.cores, machine.memory) == (cores, memory)
    assert machine.gpus == instance.startswith("ml.g")


@pytest.mark.parametrize(
    "instance", ["ml.t3.medium", "ml.c5n.xlarge", "ml.p3.2xlarge", "ml.m4.xlarge", "ml.trn1.2xlarge"]
)
def test_types_that_do_not_follow_the_rule_are_unknown(instance: str) -> None:
    assert instance in facts().training_instances
    assert machine_of(instance) is None


def test_only_types_of_the_same_generation_are_compared() -> None:
    families = {}
    for instance in ("ml.m5.xlarge", "ml.m6i.xlarge", "ml.g5.xlarge", "ml.t3.xlarge", "ml.r5d.xlarge"):
        machine = machine_of(instance)
        assert machine is not None
        families[machine.family] = {one.family for one in alike(machine, "Training")}
    assert families == {
        "m5": {"c5", "m5", "r5"},
        "m6i": {"c6i", "m6i", "r6i"},
        "g5": {"g5"},
        "t3": {"t3"},
        "r5d": {"r5d"},
    }


def test_a_machine_that_is_hardly_used_gets_smaller_with_what_that_saves() -> None:
    found = of(job(instance="ml.m5.2xlarge", used=used(2, 500, cores=8)))
    assert (found.setting, found.now, found.change) == ("train.instance", "ml.m5.2xlarge", "ml.m5.large")
    now = 0.4 * 1000 / 3600
    slower = 1000 - 500 / 8 + 500 / 2
    assert found.saving == pytest.approx(now - 0.1 * slower / 3600)
    assert found.words() == (
        "ml.m5.2xlarge -> ml.m5.large (0.078 USD less a run): needs 2 of 32 GB memory and 0.5 of 8 cores; "
        "takes up to 19 % longer, or fits less within train.time_limit"
    )


def test_a_job_that_used_95_percent_of_its_memory_gets_more_never_less() -> None:
    for hours in (PRICES, UNKNOWN):
        found = of(job(used=used(15.2, 100)), prices=hours)
        assert found.change == "ml.r5.xlarge" and "too little memory for more data" in found.reason
    assert of(job(used=used(15.2, 100))).words().startswith("ml.m5.xlarge -> ml.r5.xlarge (0.028 USD more a run): ")
    huge = of(job(instance="ml.r5.24xlarge", used=used(760, 100)))
    assert huge.change == "" and huge.reason.endswith("and no machine of its generation has more")


@pytest.mark.parametrize("memory", [6.1, 12, 13.5])
def test_a_machine_whose_memory_is_needed_is_kept(memory: float) -> None:
    found = of(job(used=used(memory, 100)))
    uses = f"needs {memory:g} of 16 GB memory and 0.1 of 4 cores"
    assert found.words() == f"keep ml.m5.xlarge: {uses}; ml.m5.large has 8 GB"


def test_a_machine_whose_cores_are_needed_is_kept() -> None:
    found = of(job("Predict price", used=used(2, 3600)))
    assert found.setting == "predict.instance"
    assert found.words() == (
        "keep ml.m5.xlarge: needs 2 of 16 GB memory and 3.6 of 4 cores; ml.m5.large could take 90 % longer"
    )


def test_less_memory_alone_may_save_with_all_cores() -> None:
    cheap = Prices("us-east-1", "2026-09-21", {"Training": {**HOURS, "ml.c5.xlarge": 0.17}})
    assert of(job(used=used(2, 3600)), prices=cheap).change == "ml.c5.xlarge"
    assert of(job(used=used(7, 3600)), prices=cheap).change == ""  # no quarter of 8 GB would be free
    assert of(job(used=used(2, 3600))).change == ""  # 5 % less


def test_the_job_that_needs_most_decides_for_all_of_a_setting() -> None:
    assert of(job(used=used(1, 100)), job("Train other", used=used(1, 100))).change == "ml.m5.large"
    assert of(job(used=used(1, 100)), job("Train other", used=used(9, 100))).change == ""
    assert of(job(used=used(1, 100)), job("Train other", used=used(1, 3900))).change == ""


def test_one_core_of_this_computer_says_nothing_about_fewer_cores() -> None:
    busy = of(job(used=used(1, 990, cores=1)))
    assert busy.change == "" and "1.0 of 4 cores, measured on 1 core; ml.m5.large could take" in busy.reason


def test_without_prices_only_a_smaller_one_of_the_family_is_advised() -> None:
    found = of(job(instance="ml.m5.2xlarge", used=used(2, 100, cores=8)), prices=UNKNOWN)
    assert found.words().startswith("ml.m5.2xlarge -> ml.m5.large (no price): ")
    assert of(job(used=used(2, 3900)), prices=UNKNOWN).change == ""


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"cached": True}, "its jobs did not run, because their results were cached"),
        ({}, "Train price logged no figures; its container may not be stepgluon's"),
        ({"status": "Failed", "sentence": "No."}, "no job succeeded"),
        ({"instance": "ml.p3.2xlarge"}, "stepgluon does not know its cores and memory"),
    ],
)
def test_without_figures_a_machine_is_kept(more: dict[str, Any], reason: str) -> None:
    assert of(job(**more)) == Advice("train.instance", more.get("instance", "ml.m5.xlarge"), "", None, reason)


def test_the_use_of_a_gpu_is_unknown() -> None:
    found = of(job(instance="ml.g5.2xlarge", used=used(1, 10, cores=8)))
    assert found.change == "" and found.reason.endswith("; GPU use is not recorded")


@pytest.mark.parametrize(
    "sentence",
    ["The job ran out of memory; give it more.", "ClientError: Please use an instance type with more memory"],
)
def test_a_job_that_ran_out_of_memory_gets_twice_as_much(sentence: str) -> None:
    found = of(job(status="Failed", sentence=sentence), job(used=used(1, 10)))
    assert (found.change, found.reason) == ("ml.r5.xlarge", "Train price ran out of memory")


def spot(seconds: float, spot: bool, local: bool = False, prices: Prices = PRICES) -> Advice:
    given = config()
    given = given.changed(models=[model.changed(train=model.train.changed(spot=spot)) for model in given.models])
    return advise(given, [job(seconds=seconds, used=used(15, 3900))], prices, local)[1]


def test_spot_is_advised_if_an_interrupted_training_can_start_over() -> None:
    assert spot(1700, spot=False).words() == (
        "false -> true (no price): an interrupted training starts over, and 1h leaves time for that; "
        "AWS quotes savings of up to 90 % of 0.056 USD"
    )
    assert "USD" not in spot(1700, spot=False, prices=UNKNOWN).words()
    assert spot(1900, spot=False).words() == (
        "keep false: Train price takes 31 min 40 s of max_runtime 1h, too long to start over in time; "
        "with a longer max_runtime, spot would save"
    )
    assert spot(1700, spot=True).words() == "keep true: 16 min 40 s billed of 28 min 20 s, with the waits for machines"
    assert spot(1700, spot=True, local=True).words() == "keep true: only a run on AWS shows what it saves"


@pytest.mark.parametrize(
    ("seconds", "billed", "change"), [(100.0, 40.0, "100"), (100.0, 90.0, ""), (2000.0, 1900.0, "25")]
)
def test_groups_grow_if_starts_take_most_of_the_time_and_shrink_near_the_limit(
    seconds: float, billed: float, change: str
) -> None:
    given = config()
    vars(given).update(partitioned=True)  # only whether there are groups matters
    found = advise(given, 3 * [job("Train group g0001", seconds=seconds, billed=billed, used=used(15, 3900))], PRICES)
    assert (found[-1].setting, found[-1].now, found[-1].change) == ("fan_out.models_per_job", "50", change)


# The command


def test_the_command_says_where_the_figures_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline-config.yml").write_text(config_of("one-model").read_text("utf-8"))
    names = Names(load(Path("pipeline-config.yml"), None, {}).config)
    run = Path(".local/runs/houses-1")
    run.mkdir(parents=True)
    ran = job(used=used(1, 100, cores=2))
    told = {"run": "houses-1", "arn": names.execution_arn("houses-1"), "status": "SUCCEEDED", "started": 1.0}
    (run / "run.json").write_text(
        json.dumps({**told, "seconds": 9.0, "models": [], "jobs": [ran], "lines": [], "failure": None})
    )
    assert main(workflow, ["advise", "latest"], {}) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "Advice from what the jobs of houses-1 used, measured on this computer; on AWS, times differ"
    )
    assert "  train.instance  ml.m5.xlarge -> ml.m5.large (no price): needs 1 of 16 GB" in said
    assert main(workflow, ["advise", "houses", "--json"], {}) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["local"], found["advice"][0]["change"]) == (True, "ml.m5.large")
