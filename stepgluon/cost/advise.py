"""Which instance types suffice for a run's jobs, whether spot suits, and how large groups should be, from usage.

Cautious on purpose: a quarter of the memory stays free, and the time on fewer cores is the worst case, that of
work that keeps all cores busy. More cores are advised only for their memory: how much faster they are is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stepgluon.config.durations import as_duration
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.cost.billed import KINDS
from stepgluon.cost.machines import Machine, alike, machine_of
from stepgluon.cost.prices import Prices, usd
from stepgluon.errors import counted
from stepgluon.figures import aligned, took
from stepgluon.programs import program_of

FULL = 0.85  # of the memory; with a little more data, the job would fail
FREE = 0.75  # of a machine's memory is what a job may need of it
SLOWER = 1.25  # how many times as long a job may take on a cheaper machine
CHEAPER = 0.9  # of the cost; less of a saving is not worth a change
WAITS = 0.5  # of the jobs' time; if machines take longer to start, larger groups are advised
_OUT_OF_MEMORY = re.compile("out of memory|instance type with more memory")
Jobs = list[dict[str, Any]]  # of run.json


@dataclass(frozen=True)
class Advice:
    setting: str  # the key of the config
    now: str
    change: str  # the key's new value; empty to keep it
    saving: float | None  # USD per run; None if unknown
    reason: str

    def words(self) -> str:
        if not self.change:
            return f"keep {self.now}: {self.reason}"
        saves = "no price" if self.saving is None else f"{usd(self.saving)} USD less a run"
        if self.saving is not None and self.saving < 0:
            saves = f"{usd(-self.saving)} USD more a run"
        return f"{self.now} -> {self.change} ({saves}): {self.reason}"


def advise(config: PipelineConfig, jobs: Jobs, prices: Prices, local: bool = False) -> list[Advice]:
    """Advice for each instance setting; then on spot and on groups, if the config has any."""
    settings: dict[tuple[str, str], Jobs] = {}
    for job in jobs:
        if job["kind"] in KINDS and job["instance"]:
            settings.setdefault((_setting(job["state"], config), job["instance"]), []).append(job)
    found = [_instance(setting, instance, used, prices) for (setting, instance), used in settings.items()]
    trainings = [
        job for job in jobs if job["kind"] == "training" and job["status"] == "Completed" and not job["cached"]
    ]
    return [*found, *_spot(config, trainings, prices, local), *_groups(config, trainings)]


def _setting(state: str, config: PipelineConfig) -> str:
    """The config's key of the machine that a state's job runs on, as workflow/jobs.py chooses it."""
    word, _, name = state.partition(" ")
    if word == "Score":
        answers = any(model.name == name and not program_of(model).predicting_image for model in config.models)
        word = "Post-process" if answers else "Predict"
    keys = {"Train": "train", "Tune": "train", "Predict": "predict", "Test": "predict", "Prepare": "prepare"}
    return f"{keys.get(word, 'postprocess')}.instance"


# Instances


def _instance(setting: str, instance: str, jobs: Jobs, prices: Prices) -> Advice:
    def keep(reason: str) -> Advice:
        return Advice(setting, instance, "", None, reason)

    machine, ran = machine_of(instance), [job for job in jobs if not job["cached"]]
    if not ran:
        return keep("its jobs did not run, because their results were cached")
    if machine is None:
        return keep("stepgluon does not know its cores and memory")
    full = [job for job in ran if job["status"] == "Failed" and _OUT_OF_MEMORY.search(job["sentence"])]
    silent = [job for job in ran if job["status"] == "Completed" and not job.get("used")]
    measured = [job for job in ran if job.get("used")]
    if full:
        return _larger(setting, machine, full, prices, machine.memory, f"{full[-1]['state']} ran out of memory")
    if silent:
        return keep(f"{silent[0]['state']} logged no figures; its container may not be stepgluon's")
    if not measured:
        return keep("no job succeeded")
    return _measured(setting, machine, measured, prices)


def _measured(setting: str, machine: Machine, jobs: Jobs, prices: Prices) -> Advice:
    peak, busy = max(job["used"]["memory"] for job in jobs), max(map(_cores_used, jobs))
    had = int(max(job["used"]["cores"] for job in jobs))
    uses = f"needs {peak:g} of {machine.memory} GB memory and {busy:.1f} of {machine.cores} cores"
    uses += "" if had == machine.cores else f", measured on {counted(had, 'core')}"
    if peak > FULL * machine.memory:
        return _larger(setting, machine, jobs, prices, peak, f"{uses}: too little memory for more data")
    if machine.gpus:
        return Advice(setting, machine.type, "", None, f"{uses}; GPU use is not recorded")
    fewer = [one for one in alike(machine, KINDS[jobs[0]["kind"]]) if one.cores <= machine.cores]
    roomy = [one for one in fewer if peak <= FREE * one.memory]
    if best := _cheapest(machine, [one for one in roomy if _slower(jobs, machine, one) <= SLOWER], jobs, prices):
        longer = f"{uses}{_longer(setting, _slower(jobs, machine, best))}"
        return Advice(setting, machine.type, best.type, _saving(machine, best, jobs, prices), longer)
    smaller = [one for one in fewer if one.family == machine.family and one.cores < machine.cores]
    if smaller:
        half = max(smaller, key=lambda one: one.cores)
        slow = f"could take {100 * (_slower(jobs, machine, half) - 1):.0f} % longer"
        uses += f"; {half.type} {slow if half in roomy else f'has {half.memory} GB'}"
    return Advice(setting, machine.type, "", None, uses)


def _longer(setting: str, times: float) -> str:
    if times < 1.01:
        return ""
    limited = ", or fits less within train.time_limit" if setting == "train.instance" else ""
    return f"; takes up to {100 * (times - 1):.0f} % longer{limited}"


def _larger(setting: str, machine: Machine, jobs: Jobs, prices: Prices, peak: float, reason: str) -> Advice:
    """The cheapest machine with enough memory; without prices the one with the fewest cores."""
    every = alike(machine, KINDS[jobs[0]["kind"]])
    enough = [one for one in every if one.cores >= machine.cores and FREE * one.memory >= peak]
    if not enough:
        return Advice(setting, machine.type, "", None, f"{reason}, and no machine of its generation has more")
    kind = KINDS[jobs[0]["kind"]]
    best = min(enough, key=lambda one: (prices.of(kind, one.type) or 1e9, one.cores, one.memory))
    return Advice(setting, machine.type, best.type, _saving(machine, best, jobs, prices), reason)


def _cheapest(machine: Machine, fitting: list[Machine], jobs: Jobs, prices: Prices) -> Machine | None:
    """Without prices, only smaller machines of the same family are surely cheaper."""
    now = _cost(machine, machine, jobs, prices)
    priced = [(cost, one) for one in fitting if (cost := _cost(machine, one, jobs, prices)) is not None]
    cheaper = [(cost, one.cores, one) for cost, one in priced if now is not None and cost <= CHEAPER * now]
    if cheaper:
        return min(cheaper, key=lambda each: each[:2])[2]
    smaller = [one for one in fitting if one.family == machine.family and one.cores < machine.cores]
    unknown = [one for one in smaller if now is None or prices.of(KINDS[jobs[0]["kind"]], one.type) is None]
    return min(unknown, key=lambda one: one.cores) if unknown else None


def _saving(machine: Machine, other: Machine, jobs: Jobs, prices: Prices) -> float | None:
    now, then = _cost(machine, machine, jobs, prices), _cost(machine, other, jobs, prices)
    return None if now is None or then is None else now - then


def _cost(machine: Machine, other: Machine, jobs: Jobs, prices: Prices) -> float | None:
    hour = prices.of(KINDS[jobs[0]["kind"]], other.type)
    if hour is None:
        return None
    seconds: float = sum(job["instances"] * (job["billed"] or 0) * _slower([job], machine, other) for job in jobs)
    return hour * seconds / 3600


def _slower(jobs: Jobs, machine: Machine, other: Machine) -> float:
    """How many times as long the jobs take on the other machine, at most; 1 if it has as many cores, or more."""
    if other.cores >= machine.cores:
        return 1.0
    return max(_seconds(job, other.cores) / max(_seconds(job, machine.cores), 0.001) for job in jobs)


def _seconds(job: dict[str, Any], cores: int) -> float:
    """The job's time on so many cores if all of its processor time were shared by all of them."""
    used = job.get("used") or {"seconds": 1.0, "processor": 0.0, "cores": 1}
    alone = max(0.0, used["seconds"] - used["processor"] / used["cores"])
    return float(alone + used["processor"] / cores)


def _cores_used(job: dict[str, Any]) -> float:
    return float(job["used"]["processor"] / max(job["used"]["seconds"], 0.001))


# Spot and groups


def _spot(config: PipelineConfig, jobs: Jobs, prices: Prices, local: bool) -> Iterator[Advice]:
    """[sm] A spot training that is interrupted starts over, within twice max_runtime."""
    model_of = {f"Train {model.name}": model for model in config.models}
    if config.partitioned:
        model_of = {job["state"]: config.models[0] for job in jobs}
    for spot in (False, True):
        mine = [(job, model) for job in jobs if (model := model_of.get(job["state"])) and model.train.spot == spot]
        if spot and mine:
            billed, whole = sum(job["billed"] or 0 for job, _ in mine), sum(job["seconds"] for job, _ in mine)
            paid = f"{took(billed)} billed of {took(whole)}, with the waits for machines"
            yield Advice("train.spot", "true", "", None, "only a run on AWS shows what it saves" if local else paid)
        elif mine:
            yield _on_demand(mine, prices)


def _on_demand(mine: list[tuple[dict[str, Any], Model]], prices: Prices) -> Advice:
    job, model = max(mine, key=lambda one: one[0]["seconds"] / one[1].train.max_runtime)
    limit = as_duration(model.train.max_runtime)
    if job["seconds"] > model.train.max_runtime / 2:
        why = f"{job['state']} takes {took(job['seconds'])} of max_runtime {limit}, too long to start over in time"
        return Advice("train.spot", "false", "", None, f"{why}; with a longer max_runtime, spot would save")
    hours = [prices.of("Training", one["instance"]) for one, _ in mine]
    costs = [hour * (one["billed"] or 0) / 3600 for hour, (one, _) in zip(hours, mine, strict=True) if hour]
    whole = f" of {usd(sum(costs))} USD" if len(costs) == len(mine) else ""
    why = f"an interrupted training starts over, and {limit} leaves time for that; "
    why += f"AWS quotes savings of up to 90 %{whole}"
    return Advice("train.spot", "false", "true", None, why)


def _groups(config: PipelineConfig, jobs: Jobs) -> Iterator[Advice]:
    """Groups of models found in the data: larger ones if starting machines takes most of the time."""
    mine = [job for job in jobs if job["state"].startswith("Train group ") and job["billed"]]
    if config.partitioned is None or not mine:
        return
    size, key = config.fan_out.models_per_job, "fan_out.models_per_job"
    billed, waited = max(job["billed"] for job in mine), sum(job["seconds"] - job["billed"] for job in mine)
    share, limit = waited / max(sum(job["seconds"] for job in mine), 0.001), config.train.max_runtime
    about = f"{counted(len(mine), 'group')} took up to {took(billed)}, and "
    about += f"machines took {100 * share:.0f} % of the time to start"
    if billed > limit / 2 and size > 1:
        yield Advice(key, str(size), str(max(1, size // 2)), None, f"{about}; max_runtime is {as_duration(limit)}")
    elif share > WAITS and size < 200 and billed < limit / 4:
        yield Advice(key, str(size), str(min(200, 2 * size)), None, f"{about}; larger groups need fewer starts")
    else:
        yield Advice(key, str(size), "", None, about)


# Words


def words(run: str, found: list[Advice], local: bool, published: str) -> str:
    lines = aligned([(one.setting, one.words()) for one in found], indent="  ")
    where = "measured on this computer; on AWS, times differ" if local else "measured on AWS"
    prices = f", by the prices of {published}" if published else ""
    return "\n".join([f"Advice from what the jobs of {run} used, {where}{prices}:", "", *lines, ""])
