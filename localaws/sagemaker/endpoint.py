"""An endpoint: its record, its servers, and the changes that it goes through, each in a thread.

    create    start the servers -> InService, or Failed
    update    start new servers -> shift the traffic, look at the alarms -> drain and stop the old ones -> InService
              or roll back: all traffic to the old servers, stop the new ones -> InService with the old configuration
    delete    drain and stop the servers

The record is written at each step, so a local AWS that was killed goes on with it: `resume`.
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Protocol

from localaws.sagemaker.job import INTERNAL, Workshop
from localaws.sagemaker.job_process import JobFailed
from localaws.sagemaker.model_server import ModelServer, folder_of
from localaws.sagemaker.models import Model
from localaws.sagemaker.serving import HEALTHY_SECONDS, NotServing
from localaws.sagemaker.traffic import Fleet, Member, Traffic

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_LOOK_SECONDS = 0.05  # how often a deployment looks at its alarms
_NO_PING = (
    "The primary container for production variant {variant} did not pass the ping health check. Please check "
    "CloudWatch logs for this endpoint."
)
Record = dict[str, Any]


class Alarms(Protocol):
    def exists(self, name: str) -> bool: ...

    def firing(self, names: list[str]) -> list[str]:
        """Which of these alarms are in the state ALARM."""


@dataclass(frozen=True)
class Surroundings:
    shop: Workshop
    alarms: Alarms
    waiting: float  # how long one second of a deployment's wait lasts locally
    save: Callable[[Record], None]
    forget: Callable[[Record], None]


class _RollBack(Exception):
    """The deployment must be rolled back; the message is the reason."""


class _Closing(Exception):
    """The local AWS is being stopped: the record stays as it is."""


class Endpoint:
    def __init__(self, record: Record, given: Surroundings) -> None:
        self.record, self._given = record, given
        self.traffic = Traffic()
        self.ready = threading.Event()  # the servers of a resumed endpoint have been started
        self._fleet: Fleet = []
        self._members: Fleet = []  # of all fleets that run
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def name(self) -> str:
        return str(self.record["EndpointName"])

    @property
    def status(self) -> str:
        return str(self.record["EndpointStatus"])

    # From outside

    def create(self) -> None:
        self._run(self._create)

    def update(self, config: Record, deployment: Record) -> None:
        self._turn("Updating", pending={"config": config, "deployment": deployment, "since": time.time()}, failure="")
        self._run(self._update)

    def delete(self) -> None:
        self._turn("Deleting")
        self._run(self._delete)

    def weigh(self) -> None:
        """Use the weights in the record."""
        self.traffic.weigh({one["VariantName"]: weight(one) for one in variants(self.record["config"])})
        self._turn("InService")

    def resume(self) -> None:
        """Start the servers again, and repeat a change that was cut off."""
        if self.status == "Creating":
            self.create()
        elif self.status == "Deleting":
            self.delete()
        elif self.status != "Failed":
            if self.status != "Updating":
                self._turn("SystemUpdating", pending=None)
            self._run(self._create)

    def close(self) -> None:
        """Stop the servers of an endpoint that stays on disk."""
        self._closing.set()
        self.traffic.set([])
        for member in list(self._members):
            member.server.hurry()
        for thread in self._threads:
            thread.join()
        self._stop(self._members)

    # The threads

    def _run(self, change: Callable[[], None]) -> None:
        def run() -> None:
            try:
                change()
            except _Closing:
                return
            except OSError as problem:  # usually a full disk
                self._fail(f"InternalServerError: {problem.strerror or problem}")
            except BaseException:  # a bug of ours: do not let callers wait forever
                self._fail(INTERNAL)
                raise

        thread = threading.Thread(target=run, name=f"endpoint {self.name}", daemon=True)
        self._threads = [known for known in self._threads if known.is_alive()] + [thread]
        thread.start()

    def _create(self) -> None:
        """Start the servers, also those of an endpoint that was there before a restart."""
        try:
            self._fleet = self._started(self.record["config"])
        except _RollBack as problem:
            self._fail(str(problem))
            return
        self.traffic.set([(self._fleet, 1.0)])
        self.ready.set()
        if self.status == "Updating":
            self._update()
        else:
            self._turn("InService")

    def _delete(self) -> None:
        self.traffic.set([])
        self._stop(self._members)
        self._given.forget(self.record)

    def _update(self) -> None:
        pending, new = self.record["pending"], Fleet()
        try:
            new = self._started(pending["config"])
            self._shift(new, pending["deployment"])
        except _RollBack as problem:
            self._roll_back(new, str(problem))
            return
        except _Closing:
            self._stop(new)
            raise
        self._fleet, old = new, [member for member in self._members if member not in new]
        policy = pending["deployment"].get("BlueGreenUpdatePolicy", {})
        self._pause(policy.get("TerminationWaitInSeconds", 0) * self._given.waiting)
        self.traffic.set([(new, 1.0)])
        self._stop(old)
        self._turn("InService", config=pending["config"], deployment=pending["deployment"], pending=None)

    def _roll_back(self, new: Fleet, reason: str) -> None:
        self._log(f"Rolling back to {self.record['config']['name']}: {reason}")
        self._turn("RollingBack", failure=reason)
        self.traffic.set([(self._fleet, 1.0)])
        end = time.monotonic() + HEALTHY_SECONDS
        while not all(member.server.healthy for member in self._fleet):
            if time.monotonic() > end:
                self.traffic.set([(self._fleet, 1.0), (new, 1.0)])
                self._turn("UpdateRollbackFailed")
                return
            self._pause(_LOOK_SECONDS)
        self._stop(new)
        self._turn("InService", pending=None)

    def _started(self, config: Record) -> Fleet:
        """The servers of a configuration; raises _RollBack with the reason if one does not start."""
        fleet = Fleet()
        try:
            for variant in variants(config):
                name = variant["VariantName"]
                log = self._given.shop.logs.of_build(log_group(self.name), f"{name}/i-{token_hex(8)}")
                model = Model(**config["models"][variant["ModelName"]])
                seconds = float(variant.get("ContainerStartupHealthCheckTimeoutInSeconds", 0))
                server = ModelServer(self._given.shop, folder_of(self.name, name), model, seconds, log)
                capture = config["request"].get("DataCaptureConfig", {})
                fleet.append(Member(config["name"], variant, server, weight(variant), capture, model.role))
                self._members.append(fleet[-1])
                count = variant.get("InitialInstanceCount", 1)
                if count > 1:
                    log(f"[local] The {count} instances of {name} are one server, which uses all cores.")
                try:
                    server.start(self._closing.is_set)
                except NotServing as problem:
                    log(f"[local] {problem}")
                    raise _RollBack(_NO_PING.format(variant=name)) from None
                except JobFailed as problem:
                    raise _RollBack(str(problem)) from None
        except BaseException:  # whatever it is, no server may stay
            self._stop(fleet)
            if self._closing.is_set():
                raise _Closing from None
            raise
        return fleet

    def _stop(self, fleet: Fleet) -> None:
        for member in list(fleet):
            member.server.close()
            self._members.remove(member)

    # A deployment

    def _shift(self, new: Fleet, deployment: Record) -> None:
        policy = deployment.get("BlueGreenUpdatePolicy", {})
        most = float(policy.get("MaximumExecutionTimeoutInSeconds", 8 * 3600))
        end = self.record["pending"]["since"] + most
        routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
        count = int(variants(self.record["config"])[0].get("InitialInstanceCount", 1))
        self._check(deployment, end)
        for share in steps(routing, count):
            self.traffic.set([(self._fleet, 1.0 - share), (new, share)])
            seconds = routing.get("WaitIntervalInSeconds", 0)
            lasts = seconds * self._given.waiting
            message = f"{share:.0%} of the traffic for {seconds} s, which last {lasts:g} s locally"
            self.record["pending"]["bakes"] = message
            self._log(f"{self.record['pending']['config']['name']} gets {message}.")
            until = time.monotonic() + lasts
            while (left := until - time.monotonic()) > 0:
                self._pause(min(left, _LOOK_SECONDS))
                self._check(deployment, end)

    def _check(self, deployment: Record, end: float) -> None:
        names = [alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
        if firing := self._given.alarms.firing(names):
            raise _RollBack(f"The deployment was rolled back: in ALARM: {', '.join(firing)}.")
        if time.time() > end:
            raise _RollBack("The deployment was rolled back: it took longer than MaximumExecutionTimeoutInSeconds.")

    def _pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise _Closing

    # The record

    def _turn(self, status: str, **changed: Any) -> None:
        record = {**self.record, **changed, "EndpointStatus": status, "LastModifiedTime": time.time()}
        self._given.save(record)  # first on disk
        self.record = record

    def _fail(self, reason: str) -> None:
        self._log(reason)
        self._turn("Failed", failure=reason)
        self.ready.set()

    def _log(self, text: str) -> None:
        self._given.shop.logs.of_build(log_group(self.name), "deployments")(f"[local] {text}")


def variants(config: Record) -> list[Record]:
    found: list[Record] = config["request"]["ProductionVariants"]
    return found


def weight(variant: Record) -> float:
    return float(variant.get("InitialVariantWeight", 1.0))


def log_group(name: str) -> str:
    return f"/aws/sagemaker/Endpoints/{name}"


def steps(routing: Record, count: int) -> list[float]:
    """The shares of the traffic that the new servers get, one after the other."""

    def share(size: Record) -> float:
        return min(1.0, float(size["Value"]) / (100 if size["Type"] == "CAPACITY_PERCENT" else count))

    if routing["Type"] == "CANARY":
        return [share(routing["CanarySize"]), 1.0]
    if routing["Type"] == "LINEAR":
        step = share(routing["LinearStepSize"])
        return [min(1.0, step * (n + 1)) for n in range(-int(-1 // step))]
    return [1.0]
