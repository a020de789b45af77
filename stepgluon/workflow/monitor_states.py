"""The states of the machine that looks for drift. pipeline.py connects them; docs/decisions/0035-drift.md says why.

Variables: run, id, bucket, work and jobs as in states.py; models has each model's name, key in promoted.json and the
beginning of its rerun's name; moments divide the time that a check covers into PARTS, as in captured files' keys.

`own` of a branch: the folder, run and mark of the model that serves; captured, the files that are compared, of the
first `part` parts; tables, whether there are any; the check's outcome and sentence; rerun, the run that was started for
this model, now or before (again); failure.
"""

from __future__ import annotations

from stepgluon.names import PROMOTED, VARIANT, short
from stepgluon.workflow.expressions import expression, jsonata, literal, once, quoted, sentence, text, words_of_job
from stepgluon.workflow.parts import ALL, LIST, PROCESSING, READ, SMALL_CALL_SECONDS, WRITE, Item, Parts, assign_own
from stepgluon.workflow.request_parts import ATTEMPT
from stepgluon.workflow.sdk import Catch, Fail, Pass, Rule, Succeed, Task

LIST_RUNS, READ_RUN, START = "aws-sdk:sfn:listExecutions", "aws-sdk:sfn:describeExecution", "states:startExecution"
_FAILURE = "$merge([{'Cause': ''}, $states.errorOutput])"
_SENTENCE = once(sentence("$f.Error", f"({words_of_job('$f.Cause', 1000)})"))
_NOTHING = {
    **{"folder": "", "captured": [], "part": 0, "tables": False},
    **{"outcome": "none", "sentence": "", "failure": ""},
}
_MOMENT = "[Y0001]/[M01]/[D01]/[H01]/[m01]"
# The time that a check covers has PARTS parts. Of each, the first captured files are compared: up to PART_FILES, or
# until they reach PART_BYTES. A listing has about 300 bytes per file, and a state may have 256 KiB.
PARTS, PART_FILES, PART_BYTES = 12, 40, 64 * 1024 * 1024


class MonitorStates(Parts):
    @property
    def monitored(self) -> list[Item]:
        return [item for item in self.items if item.model in self.config.monitored]

    def retrains(self, item: Item) -> bool:
        monitor = item.model.monitor
        return bool(monitor and monitor.then == "retrain")

    def begin(self, name: str) -> Pass:
        every = min(model.monitor.every for model in self.config.monitored if model.monitor)
        start = "$toMillis($states.context.Execution.StartTime)"
        before = f"{start} - ({PARTS} - $part) * {every * 1000 // PARTS}"
        moments = f"$map({[*range(PARTS)]}, function($part) {{$fromMillis({before}, {quoted(_MOMENT)})}})"
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
                "moments": expression(f"$append({moments}, '9')"),  # the last part ends now
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

    def find_captured(self, item: Item, name: str) -> Task:
        """The captured files of one part of the time that a check covers: their keys end with the time."""
        folder = quoted(self._captured(item))
        request = {
            "Bucket": expression("$bucket"),
            "Prefix": expression(folder),
            "StartAfter": expression(f"{folder} & $moments[$own.part]"),
            "MaxKeys": PART_FILES,
        }
        found = f"$append([], $states.result.Contents[Key < {folder} & $moments[$own.part + 1]])"
        more = f"{{'bytes': $kept.bytes + $one.Size, 'keys': $append($kept.keys, $substringAfter($one.Key, {folder}))}}"
        kept = f"$reduce({found}, function($kept, $one) {{$kept.bytes < {PART_BYTES} ? {more} : $kept}}, $none)"
        keys = f"($none := {{'bytes': 0, 'keys': $own.captured}}; {kept}.keys)"
        own = assign_own(f"$merge([$own, {{'captured': {keys}, 'part': $own.part + 1}}])")
        return self._listed(item.state(name), request, own)

    def more_parts(self) -> Rule:
        return Rule(expression(f"$own.part < {PARTS}"))

    def find_tables(self, item: Item, name: str) -> Task:
        """Whether there are uploaded tables: a job whose input has no object fails."""
        prefix = expression(f"'monitor/' & {item.of('models')}.name & '/'")
        request = {"Bucket": self.names.raw_bucket, "Prefix": prefix, "MaxKeys": 1}
        return self._listed(
            item.state(name), request, assign_own("$merge([$own, {'tables': $states.result.KeyCount > 0}])")
        )

    def _listed(self, name: str, request: object, assign: object) -> Task:
        retries = self._retries_of["S3"]
        return self._task(name, LIST, request, SMALL_CALL_SECONDS, retries, assign=assign, output={})

    def _captured(self, item: Item) -> str:
        """The folder in which SageMaker makes one for each hour."""
        return f"{self.names.captured(item.model)}{self.names.endpoint(item.model)}/{VARIANT}/"

    def serves(self) -> Rule:
        return Rule(expression("$own.folder != '' and ($count($own.captured) > 0 or $own.tables)"))

    def choose_rows(self, item: Item, name: str) -> Task:
        prefix = jsonata({"prefix": expression(f"$work & {quoted(self._captured(item))}")})
        given = {"Body": expression(f"$append([{prefix}], $own.captured)")}
        return self._s3(item.state(name), WRITE, expression(self._chosen(item)), given, output={})

    def _chosen(self, item: Item) -> str:
        return f"'monitor/' & {item.of('models')}.name & '/' & $run & '/captured.manifest'"

    def compare(self, item: Item, name: str) -> Task:
        rows = {
            "captured": f"$work & {self._chosen(item)}",
            "tables": f"{quoted(f's3://{self.names.raw_bucket}/monitor/')} & {item.of('models')}.name & '/'",
        }
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
