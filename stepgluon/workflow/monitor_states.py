"""The states of the machine that looks for drift. pipeline.py connects them; docs/decisions/0035-drift.md says why.

Variables: run, id, bucket, work and jobs as in states.py; models has each model's name, key in promoted.json and the
beginning of its rerun's name; since is the time from which captured rows are compared.

`own` of a branch: the folder, run and mark of the model that serves; captured and tables, whether there are rows; the
check's outcome and sentence; rerun, the run that was started for this model, now or before (again); failure.
"""

from __future__ import annotations

from stepgluon.names import PROMOTED, short
from stepgluon.workflow.expressions import expression, jsonata, literal, once, quoted, sentence, text, words_of_job
from stepgluon.workflow.jobs import ATTEMPT
from stepgluon.workflow.parts import ALL, LIST, PROCESSING, READ, SMALL_CALL_SECONDS, WRITE, Item, Parts, assign_own
from stepgluon.workflow.sdk import Catch, Fail, Pass, Rule, Succeed, Task

LIST_RUNS, READ_RUN, START = "aws-sdk:sfn:listExecutions", "aws-sdk:sfn:describeExecution", "states:startExecution"
_FAILURE = "$merge([{'Cause': ''}, $states.errorOutput])"
_SENTENCE = once(sentence("$f.Error", f"({words_of_job('$f.Cause', 1000)})"))
_NOTHING = {"folder": "", "captured": False, "tables": False, "outcome": "none", "sentence": "", "failure": ""}


class MonitorStates(Parts):
    @property
    def monitored(self) -> list[Item]:
        return [item for item in self.items if item.model in self.config.monitored]

    def retrains(self, item: Item) -> bool:
        monitor = item.model.monitor
        return bool(monitor and monitor.then == "retrain")

    def begin(self, name: str) -> Pass:
        every = min(model.monitor.every for model in self.config.monitored if model.monitor)
        moment = f"$toMillis($states.context.Execution.StartTime) - {every * 1000}"
        models = [
            {"name": one.name, "short": short(one), "key": self.names.key(one), "rerun": f"drift-{short(one)}-"}
            for one in self.config.models
        ]
        return Pass(
            name,
            assign={
                "run": expression("$states.context.Execution.Name"),
                "id": expression("$substring($uuid(), 24, 10)"),
                "bucket": self.names.work_bucket,
                "work": f"s3://{self.names.work_bucket}/",
                "since": expression(f"$fromMillis({moment}, '[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01]Z')"),
                "jobs": {"monitor": literal(self.jobs.monitoring())},
                "models": literal(models),
                "nothing": expression(jsonata(_NOTHING)),
            },
            output={},
        )

    # What serves

    def find_served(self, item: Item, name: str) -> Task:
        pointer = "$parse($states.result.Body)"
        found = f"($p := {pointer}; {self._serving('$p.folder', '$p.run')})"
        key = expression(f"'endpoints/' & {item.of('models')}.name & '.json'")
        return self._s3(item.state(name), READ, key, assign=assign_own(found), output={})

    def find_promoted(self, item: Item, name: str) -> Task:
        entry = f"$lookup($parse($states.result.Body), {item.of('models')}.key)"
        found = f"($p := {entry}; $exists($p.model_uri) ? {self._serving('$p.model_uri', '$p.run')} : $nothing)"
        return self._s3(item.state(name), READ, PROMOTED, assign=assign_own(found), output={})

    def _serving(self, folder: str, run: str) -> str:
        """`mark` is another one for each model that serves, so that drift starts one run for each."""
        mark = f"$substring($hash({folder}, 'SHA-256'), 0, 12)"
        return f"$merge([$nothing, {{'folder': {folder}, 'run': {run} & '', 'mark': {mark}}}])"

    def nothing_there(self, then: object) -> Catch:
        return Catch(error_equals=["S3.NoSuchKeyException"], assign=assign_own("$nothing"), next_step=then)

    def failed(self, then: object, before: str = "$own") -> Catch:
        own = f"($f := {_FAILURE}; $merge([{before}, {{'outcome': 'failed', 'failure': {_SENTENCE}}}]))"
        return Catch(error_equals=ALL, assign=assign_own(own), next_step=then)

    # The check

    def look_for(self, item: Item, name: str, kind: str) -> Task:
        """Whether there are captured rows, or uploaded tables: a job whose input has no object fails."""
        bucket, prefix = self._rows_of(item, kind)
        request = {"Bucket": expression(bucket), "Prefix": expression(prefix), "MaxKeys": 1}
        own = assign_own(f"$merge([$own, {{'{kind}': $states.result.KeyCount > 0}}])")
        retries = self._retries_of["S3"]
        return self._task(item.state(name), LIST, request, SMALL_CALL_SECONDS, retries, assign=own, output={})

    def _rows_of(self, item: Item, kind: str) -> tuple[str, str]:
        bucket, folder = ("$bucket", "captured") if kind == "captured" else (quoted(self.names.raw_bucket), "monitor")
        return bucket, f"'{folder}/' & {item.of('models')}.name & '/'"

    def serves(self) -> Rule:
        return Rule(expression("$own.folder != '' and ($own.captured or $own.tables)"))

    def compare(self, item: Item, name: str) -> Task:
        rows = {kind: "'s3://' & {} & '/' & {}".format(*self._rows_of(item, kind)) for kind in ("captured", "tables")}
        monitor = item.model.monitor
        assert monitor, "the item is monitored"
        request = self.jobs.monitor(item.of("models"), rows, monitor.drift, f"'0' & {ATTEMPT}")
        seconds = self.config.postprocess.max_runtime
        return self._job(item.state(name), PROCESSING, expression(request), seconds)

    def read_result(self, item: Item, name: str) -> Task:
        key = expression(f"'monitor/' & {item.of('models')}.name & '/' & $run & '/result.json'")
        found = "$merge([$own, $parse($states.result.Body)])"
        return self._s3(item.state(name), READ, key, assign=assign_own(found), output={})

    def drifted(self) -> Rule:
        return Rule(expression("$own.outcome = 'drift'"))

    # Then

    def mark(self, item: Item, name: str) -> Task:
        """Only the first check that finds drift of this model writes the object, so it starts the only run for it."""
        rerun = f"{item.of('models')}.rerun & $own.mark"
        body = {"run": expression(rerun), "check": expression("$run"), "sentence": expression("$own.sentence")}
        key = expression(f"'monitor/' & {item.of('models')}.name & '/retrained/' & $own.mark & '.json'")
        own = assign_own(f"$merge([$own, {{'rerun': {rerun}, 'again': false}}])")
        given = {"Body": body, "IfNoneMatch": "*"}
        return self._s3(item.state(name), WRITE, key, given, retry=False, assign=own, output={})

    def marked(self, item: Item, then: object) -> Catch:
        own = f"$merge([$own, {{'rerun': {item.of('models')}.rerun & $own.mark, 'again': true}}])"
        return Catch(error_equals=ALL, assign=assign_own(own), next_step=then)

    def find_last_run(self, item: Item, name: str) -> Task:
        request = {"StateMachineArn": self.names.machine_arn, "MaxResults": 1}
        own = assign_own("$merge([$own, {'last': $states.result.Executions[0].ExecutionArn}])")
        return self._task(item.state(name), LIST_RUNS, request, SMALL_CALL_SECONDS, [], assign=own, output={})

    def read_its_input(self, item: Item, name: str) -> Task:
        """Its tables, with what was uploaded to their folder since; but no overrides."""
        request = {"ExecutionArn": expression("$own.last")}
        data = "{'data': $parse($states.result.Input).data, 'note': 'Drift: ' & $own.sentence}"
        own = assign_own(f"$merge([$own, {{'input': {data}}}])")
        return self._task(item.state(name), READ_RUN, request, SMALL_CALL_SECONDS, [], assign=own, output={})

    def retrain(self, item: Item, name: str) -> Task:
        request = {
            "StateMachineArn": self.names.live,
            "Name": expression("$own.rerun"),
            "Input": expression("$own.input"),
        }
        return self._task(item.state(name), START, request, SMALL_CALL_SECONDS, [], output={})

    def announce(self, item: Item, name: str) -> Task:
        names, model = self.names, f"{item.of('models')}.name"
        page = text(f"s3://{names.work_bucket}/monitor/{{}}/{{}}/drift.html", model, "$run")
        follow = names.pipeline_py("show {}")
        started = text(f"Run {{}} was started with the tables of the last run: {follow}", "$own.rerun", "$own.rerun")
        again = text(
            "Run {} was already started for this model, but its new model does not serve: it was rejected, waits for "
            f"approval, or the run failed. No other run was started: {follow}", "$own.rerun", "$own.rerun"
        )  # fmt: skip
        by_hand = quoted(f"Train a new model on newer rows: {names.pipeline_py('start')}")
        then = f"$exists($own.rerun) ? ($own.again ? {again} : {started}) : {by_hand}"
        said = text("{}\n\nPage: {}\n\n{}\n", "$own.sentence", page, f"({then})")
        failed = text(
            f"The monitor of the pipeline {names.prefix} could not check model {{}}: {{}}\n{{}}\n",
            model, "$own.failure", "($own.sentence = '' ? '' : $own.sentence)"
        )  # fmt: skip
        what = "($own.failure = '' ? ': drift' : ': not monitored')"
        subject = f"{quoted(f'{names.prefix} {short(item.model)}')} & {what}"
        request = {
            "TopicArn": names.topic_arn,
            "Subject": expression(subject),
            "Message": expression(f"$own.failure = '' ? {said} : {failed}"),
        }
        retries = self._retries_of["SNS"]
        return self._task(item.state(name), "sns:publish", request, SMALL_CALL_SECONDS, retries, output={})

    def unsent(self, then: object) -> Catch:
        return Catch(error_equals=ALL, next_step=then)

    def report(self, item: Item, name: str) -> Pass:
        keys = {key: expression(f"$own.{key}") for key in ("outcome", "sentence", "failure")}
        return Pass(item.state(name), output={"name": item.name, **keys})

    def all_compared(self) -> Rule:
        return Rule(expression("$count($states.input[failure != '']) = 0"))

    def done(self, name: str) -> Succeed:
        return Succeed(name, output={"models": expression("$states.input")})

    def unfinished(self, name: str) -> Fail:
        line = text("{}: {}", "$m.name", "$m.failure")
        listed = f"$join($map($states.input[failure != ''], function($m) {{{line}}}), ' ')"
        return Fail(name, error="NotMonitored", cause=expression(listed))
