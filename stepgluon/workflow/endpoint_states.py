"""The states that release a model to its endpoint. pipeline.py connects them; docs/decisions/0033-releases.md.

`own` of a release: the model's folder, archive, image and environment; `model` and `config`, the names of the
SageMaker model and endpoint config that follow from them; what the endpoint was last found to be (status, serves,
reason); `did`, created or updated; `before`, the config that it served before; `why` nothing is released, or the
`failure`. The names depend on everything that matters, so a release of what already serves changes nothing.
"""

from __future__ import annotations

from typing import Any

from stepgluon.names import VARIANT
from stepgluon.programs import serves_archive
from stepgluon.workflow import endpoints
from stepgluon.workflow.expressions import expression, jsonata, literal, quoted
from stepgluon.workflow.parts import ALL, MODEL, SMALL_CALL_SECONDS, WRITE, Item, Parts, assign_own
from stepgluon.workflow.retries import POLLS
from stepgluon.workflow.sdk import Catch, Pass, Rule, Task, Wait

DESCRIBE, DELETE = "aws-sdk:sagemaker:describeEndpoint", "aws-sdk:sagemaker:deleteEndpoint"
CREATE_CONFIG, CREATE, UPDATE = (
    f"sagemaker:{do}" for do in ("createEndpointConfig", "createEndpoint", "updateEndpoint")
)
_SCALING = "aws-sdk:applicationautoscaling:"
STOP_SCALING, SCALE = f"{_SCALING}deregisterScalableTarget", f"{_SCALING}registerScalableTarget"
FOLLOW = f"{_SCALING}putScalingPolicy"
VERSION = "aws-sdk:sagemaker:describeModelPackage"
IN_PROGRESS = ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting", "Unknown"]
UNKNOWN_POLLS = 10  # failed ones in a row
CONFLICTS = 5  # with other updates of the same endpoint
_LATER = "/[Ii]n.?progress|Cannot update|already exist|Rate exceeded|[Tt]hrottl/"  # another run changes the endpoint
_CAUSE = "($states.errorOutput.Cause & '')"
_WORDS = f"$substring($substringBefore({_CAUSE}, ' (Service: '), 0, 500)"
_SENTENCE = f"({_CAUSE} = '' ? $states.errorOutput.Error : {_WORDS})"
_KEPT = 12  # digits of a hash in a name
# [sm] what each of these would otherwise keep of the config before
_REPLACED = [{"VariantPropertyType": kind} for kind in ("DesiredWeight", "DataCaptureConfig")]


class EndpointStates(Parts):
    def without_endpoint(self, item: Item, name: str) -> Pass:
        return Pass(item.state(name), output={"outcome": "none"})

    def choose_to_serve(self, item: Item, name: str) -> Pass:
        """The chosen model, unless it is a rejected one; its names."""
        model, chosen = item.of("models"), item.of("verdicts")
        uri = f"{chosen}.model_uri"
        found = {
            "folder": expression(uri),
            "archive": expression(f"{uri} & 'model.tar.gz'"),
            "image": expression(f"{chosen}.image"),
            "manifest": expression(f"{chosen}.manifest"),
            "job": expression(f"{chosen}.uses = 'trained' ? {chosen}.job : $split({uri}, '/')[-2]"),
            "run": expression(f"{chosen}.run = '' ? $run : {chosen}.run"),
            "fingerprint": expression(
                f"{chosen}.uses = 'trained' ? $split({model}.place, '/')[2] : $hash({uri}, 'SHA-256')"
            ),
            "serving": expression(f"{chosen}.serving"),
            "why": expression(
                f"{chosen}.uses = 'default' or {chosen}.verdict = 'accepted' ? '' : "
                "'it is not good enough, and no model is promoted'"
            ),
        }
        return Pass(item.state(name), assign=assign_own(self._named(item, jsonata(found))))

    def describe_version(self, item: Item, name: str) -> Task:
        """The approved version of the registry, as choose_to_serve finds a model of a run."""
        container = "$p.InferenceSpecification.Containers[0]"
        archive = f"$exists({container}.ModelDataUrl) ? {container}.ModelDataUrl"
        found = {
            "folder": expression("$uri"),
            "archive": expression(f"{archive} : $uri & 'model.tar.gz'"),
            "image": expression(f"{container}.Image"),
            **{key: expression(f"$p.CustomerMetadataProperties.{key}") for key in ("manifest", "job", "run")},
            "fingerprint": expression("$split($uri, '/')[5]"),
            # A version of an earlier stepgluon names no script: the config's serves it.
            "serving": expression(f"$merge([{item.of('models')}.serving, {container}.Environment])"),
            "why": expression(
                "$p.ModelApprovalStatus = 'Approved' ? '' : 'the version is now ' & $p.ModelApprovalStatus"
            ),
        }
        trained = f"$replace({container}.ModelDataUrl, /model\\.tar\\.gz$/, 'model/')"
        uri = f"$exists({container}.ModelDataUrl) ? {trained} : {container}.ModelDataSource.S3DataSource.S3Uri"
        found_in = f"($p := $states.result; $uri := {uri}; {self._named(item, jsonata(found))})"
        request = {"ModelPackageName": expression("$version")}
        retries = self._retries_of["Registry"]
        return self._task(
            *(item.state(name), VERSION, request, SMALL_CALL_SECONDS, retries), output={}, assign=assign_own(found_in)
        )

    def _named(self, item: Item, found: str) -> str:
        """`found` with the names that follow from it, and nothing known of the endpoint yet."""
        model, plain = item.of("models"), item.model
        environment: str = jsonata(literal(self.config.predict.environment))
        more = [] if item.answers or item.shared else ["{'STEPGLUON_MANIFEST': $o.manifest}"]
        more += ["$o.serving"]
        unknown: dict[str, Any] = {"status": "", "serves": "", "reason": "", "did": "", "before": "", "failure": ""}
        unknown |= {"turn": 0, "unknown": 0, "conflicts": 0, "made": False, "stopped": False}
        place = "archive" if serves_archive(plain) or item.shared else "folder"
        shared = "$sift($jobs.model, function($v, $k) {$k != 'Tags'})"
        hashed = "$substring($hash($string({}), 'SHA-256'), 0, " + f"{_KEPT})"
        named = hashed.replace("{}", f"[$o.{place}, $o.image, $environment, {shared}]")
        config = hashed.replace("{}", f"[$served, {model}.serve.variant, {model}.serve.capture, {quoted(self._key)}]")
        return (
            f"($o := {found}; $environment := $merge([{', '.join([environment, *more])}]); "
            f"$served := {model}.of_endpoint & {named}; "
            f"$merge([$o, {jsonata(unknown)}, {{'environment': $environment, 'model': $served, "
            f"'config': {model}.of_endpoint & {config}}}]))"
        )

    @property
    def _key(self) -> str:
        return self.config.encryption.kms_key or ""

    # The endpoint as it is

    def describe_endpoint(self, item: Item, name: str) -> Task:
        """One poll. It has no Retry: its errors have one name, and one of them says that there is no endpoint."""
        variant = "$states.result.ProductionVariants[0].DesiredInstanceCount"
        found = {
            "status": expression("$states.result.EndpointStatus"),
            "serves": expression("$states.result.EndpointConfigName & ''"),
            "reason": expression("$states.result.FailureReason & ''"),
            "counted": expression(f"$exists({variant})"),
            "turn": expression("$own.turn + 1"),
            "unknown": 0,
        }
        own = f"$merge([$own, {jsonata(found)}])"
        return self._endpoint(item, name, DESCRIBE, {}, assign_own(own), retry=False)

    def undescribed(self, then: Any) -> Catch:
        """There is no endpoint; or the poll failed, and a later one may not."""
        given_up = f"$u >= {UNKNOWN_POLLS} or $contains({_CAUSE}, 'not authorized')"
        own = f"""($missing := $contains({_CAUSE}, 'Could not find'); $u := $own.unknown + 1;
$merge([$own, {{'status': $missing ? 'Missing' : 'Unknown', 'serves': '', 'reason': '', 'turn': $own.turn + 1,
'unknown': $missing ? 0 : $u, 'failure': $missing ? $own.failure : {given_up} ? {_SENTENCE} : $own.failure}}]))"""
        return Catch(error_equals=ALL, assign=assign_own(own), next_step=then)

    def wait(self, item: Item, name: str) -> Wait:
        """Short at first, then longer: an endpoint takes minutes and a release hours, and each poll is nine events."""
        seconds = "$min([900, $ceil(2 * $power(1.1, $own.turn))])"
        return Wait(item.state(name), seconds=expression(seconds))

    def unknown_endpoint(self) -> Rule:
        return Rule(expression("$own.status = '' and $own.why = ''"))

    def failed_release(self, stopped: bool = False) -> Rule:
        failed = "$own.failure != '' or $own.why != ''"
        return Rule(expression("$own.stopped and $own.failure != ''" if stopped else failed))

    def in_progress(self) -> Rule:
        return Rule(expression(f"$own.status in {jsonata(IN_PROGRESS)} and $own.turn < {POLLS}"))

    def serves(self) -> Rule:
        return Rule(expression(endpoints.SERVES))

    def rolled_back(self) -> Rule:
        """It serves another config after its update."""
        return Rule(expression("$own.status = 'InService' and $own.did != ''"))

    def needs(self, status: str, unless: str = "") -> Rule:
        """What is done with an endpoint of this status, once in a release; `unless` is a flag of what was done."""
        flag = f" and $not($own.{unless})" if unless else ""
        return Rule(expression(f"$own.did = '' and $contains($own.status, /^({status})$/){flag}"))

    # Changing it

    def create_served(self, item: Item, name: str) -> Task:
        container: dict[str, Any] = {"Image": expression("$own.image"), "ModelDataUrl": expression("$own.archive")}
        if item.shared:
            container["Mode"] = "MultiModel"
        elif not serves_archive(item.model):
            source = {"S3Uri": expression("$own.folder"), "S3DataType": "S3Prefix", "CompressionType": "None"}
            container = {"Image": expression("$own.image"), "ModelDataSource": {"S3DataSource": source}}
        container["Environment"] = expression("$own.environment")
        request = {"ModelName": expression("$own.model"), "PrimaryContainer": container}
        given = expression(f"$merge([$jobs.model, {jsonata(request)}])")
        return self._task(item.state(name), MODEL, given, SMALL_CALL_SECONDS, self._retries_of["SageMaker"], output={})

    def create_config(self, item: Item, name: str) -> Task:
        model, serve = item.of("models"), item.model.serve
        assert serve
        variant = {"VariantName": VARIANT, "ModelName": expression("$own.model")}
        request: dict[str, Any] = {
            "EndpointConfigName": expression("$own.config"),
            "ProductionVariants": [expression(f"$merge([{model}.serve.variant, {jsonata(variant)}])")],
            "Tags": expression("$jobs.model.Tags"),
        }
        if serve.capture:
            request["DataCaptureConfig"] = {
                "EnableCapture": True,
                "InitialSamplingPercentage": expression(f"{model}.serve.capture"),
                "DestinationS3Uri": expression(f"$work & 'captured/' & {model}.name & '/'"),
                "CaptureOptions": [{"CaptureMode": mode} for mode in ("Input", "Output")],
                "CaptureContentTypeHeader": {
                    "CsvContentTypes": ["text/csv"],
                    "JsonContentTypes": ["application/json", "application/jsonlines"],
                },
                **({"KmsKeyId": self._key} if self._key else {}),
            }
        if self._key and not serve.serverless:
            request["KmsKeyId"] = self._key
        retries, own = self._retries_of["SageMaker"], "$merge([$own, {'made': true}])"
        return self._task(
            *(item.state(name), CREATE_CONFIG, request, SMALL_CALL_SECONDS, retries), output={}, assign=assign_own(own)
        )

    def made_before(self, then: Any) -> Catch:
        """The name is a hash of the content, so one that exists is the same. Only the first failure is kept."""
        own = f"""$merge([$own, {{'made': true, 'failure': $own.failure != '' or
$contains({_CAUSE}, 'already exist') ? $own.failure : {_SENTENCE}}}])"""
        return Catch(error_equals=ALL, assign=assign_own(own), next_step=then)

    def create_endpoint(self, item: Item, name: str) -> Task:
        own = "$merge([$own, {'did': 'created'}])"
        more = {"EndpointConfigName": expression("$own.config"), "Tags": expression("$jobs.model.Tags")}
        return self._endpoint(item, name, CREATE, more, assign_own(own))

    def delete_endpoint(self, item: Item, name: str) -> Task:
        """SageMaker allows nothing else for a failed endpoint; then it is created again."""
        return self._endpoint(item, name, DELETE, {}, None)

    def update_endpoint(self, item: Item, name: str) -> Task:
        model, serve = item.of("models"), item.model.serve
        assert serve
        more: dict[str, Any] = {"EndpointConfigName": expression("$own.config")}
        if not serve.serverless:
            policy: dict[str, Any] = {"BlueGreenUpdatePolicy": expression(f"{model}.serve.traffic")}
            if serve.release and serve.release.roll_back_on:
                alarm = f"{{'AlarmName': {model}.endpoint & '-' & $a}}"
                alarms = expression(f"[$map({model}.serve.alarms, function($a) {{{alarm}}})]")
                policy["AutoRollbackConfiguration"] = {"Alarms": alarms}
            more["DeploymentConfig"] = policy
        if serve.scale:  # the update keeps the number of instances to which it was scaled
            more["RetainAllVariantProperties"] = expression("$own.counted")
            kept = expression(f"$own.counted ? {jsonata(_REPLACED)}")
            more["ExcludeRetainedVariantProperties"] = kept
        own = "$merge([$own, {'did': 'updated', 'before': $own.serves}])"
        return self._endpoint(item, name, UPDATE, more, assign_own(own))

    def refused(self, then: Any) -> Catch:
        """If another run is changing the same endpoint, look again later."""
        own = f"""($c := $own.conflicts + 1; $merge([$own, {{'conflicts': $c, 'failure':
$c <= {CONFLICTS} and $contains({_CAUSE}, {_LATER}) ? $own.failure : {_SENTENCE}}}]))"""
        return Catch(error_equals=ALL, assign=assign_own(own), next_step=then)

    # Scaling

    def stop_scaling(self, item: Item, name: str) -> Task:
        """Scaling during an update would fail and roll it back."""
        return self._scaling(item, name, STOP_SCALING, {}, assign_own("$merge([$own, {'stopped': true}])"))

    def not_scaled(self, then: Any) -> Catch:
        return Catch(error_equals=ALL, assign=assign_own("$merge([$own, {'stopped': true}])"), next_step=then)

    def scale(self, item: Item, name: str) -> Task:
        limits_of = f"{item.of('models')}.serve.scale"
        more = {key: expression(f"{limits_of}.{key}") for key in ("MinCapacity", "MaxCapacity")}
        return self._scaling(item, name, SCALE, more, None)

    def follow_traffic(self, item: Item, name: str) -> Task:
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        target = {
            "TargetValue": expression(f"{item.of('models')}.serve.invocations"),
            "PredefinedMetricSpecification": metric,
        }
        more = {
            "PolicyName": "invocations",
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": target,
        }
        return self._scaling(item, name, FOLLOW, more, None)

    def noted(self, what: str, then: Any) -> Catch:
        """The model serves anyway; the mail says what failed."""
        own = f"$merge([$own, {{'noted': {quoted(f' {what}: ')} & {_SENTENCE}}}])"
        return Catch(error_equals=ALL, assign=assign_own(own), next_step=then)

    # The outcome

    def point_to_model(self, item: Item, name: str) -> Task:
        """Write which model the endpoint serves."""
        model, keys = item.of("models"), ["folder", "job", "run", "fingerprint", "config"]
        keys += ["archive"] if serves_archive(item.model) else []
        pointer = {"model": expression(f"{model}.name"), **{key: expression(f"$own.{key}") for key in keys}}
        pointer["profile"] = expression("$own.folder & 'profile.json'")
        if self.config.data.files:
            del pointer["profile"]
        key = expression(f"'endpoints/' & {model}.name & '.json'")
        return self._s3(item.state(name), WRITE, key, given={"Body": expression(jsonata(pointer))}, output={})

    def end_release(self, item: Item, name: str, approved: bool = False) -> Pass:
        """The branch's output; of an approved version, the only entry of $verdicts."""
        outcome, model = endpoints.outcome(item.of("models")), item.of("models")
        verdicts = expression(f"[{{'name': {model}.name, 'release': {outcome}}}]")
        if approved:
            return Pass(item.state(name), assign={"verdicts": verdicts}, output={})
        return Pass(item.state(name), output=expression(outcome))

    def _endpoint(
        self, item: Item, name: str, action: str, more: dict[str, Any], assign: Any, retry: bool = True
    ) -> Task:
        request = {"EndpointName": expression(f"{item.of('models')}.endpoint"), **more}
        kind = "SdkSageMaker" if action.startswith("aws-sdk") else "SageMaker"
        retries = self._retries_of[kind] if retry else []
        given = {"assign": assign} if assign else {}
        return self._task(item.state(name), action, request, SMALL_CALL_SECONDS, retries, output={}, **given)

    def _scaling(self, item: Item, name: str, action: str, more: dict[str, Any], assign: Any) -> Task:
        request = {
            "ServiceNamespace": "sagemaker",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            "ResourceId": expression(f"'endpoint/' & {item.of('models')}.endpoint & '/variant/{VARIANT}'"),
            **more,
        }
        given = {"assign": assign} if assign else {}
        retries = [] if action == STOP_SCALING else self._retries_of["Scaling"]
        return self._task(item.state(name), action, request, SMALL_CALL_SECONDS, retries, output={}, **given)
