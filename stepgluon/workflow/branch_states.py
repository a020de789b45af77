"""The states of a model's two branches, in Train models and in Predict. pipeline.py connects them."""

from __future__ import annotations

from typing import Any

from stepgluon.workflow import decisions, registration, tuning
from stepgluon.workflow.expressions import expression, words_of_job, worth_another_try
from stepgluon.workflow.jobs import TRIALS_KEY
from stepgluon.workflow.parts import (
    ALL,
    ANSWERED,
    DELETE_MODEL,
    OF_CONTAINER,
    PROCESSING,
    READ,
    REGISTER,
    SCORE_BYTES,
    SMALL_CALL_SECONDS,
    TRAINING,
    TUNING,
    WRITE,
    Item,
    Parts,
    assign_own,
)
from stepgluon.workflow.sdk import Catch, Pass, Rule, Task


class BranchStates(Parts):
    # Train models: one branch per model

    def look_up(self, item: Item, name: str, then_train: Any) -> Task:
        """Check whether exactly this was trained before. An unreadable marker counts as none."""
        found = "$merge([$cached, $parse($states.result.Body)])"
        return self._marker_of(item.state(name), item.of("models"), found, "$untried", then_train)

    def train(self, item: Item, name: str) -> Task:
        model = item.of("models")
        # The tries count for the score job too, whose name has their number.
        tries = ", 'tries': $own.tries" if item.archived else ""
        own = f"$merge([$untried, {model}.trained, {{'job': $states.result.TrainingJobName{tries}{item.logged}}}])"
        request = expression(self.jobs.train(model))
        return self._job(item.state(name), TRAINING, request, item.training_seconds, assign_own(own))

    def tune(self, item: Item, name: str) -> Task:
        """Train the model with several values of its hyperparameters; the best training goes on."""
        model, best = item.of("models"), "$states.result.BestTrainingJob.TrainingJobName"
        found = f"{{'job': {best}, 'tuning': $states.result.HyperParameterTuningJobName, 'tries': $own.tries}}"
        own = assign_own(f"$merge([$untried, {model}.trained, {found}])")
        return self._job(item.state(name), TUNING, expression(self.jobs.tune(model)), item.training_seconds, own)

    def list_trials(self, item: Item, name: str) -> Task:
        """List the tuning's trainings, for the report."""
        return self._trials(item.state(name), item.shown_trainings, {"trials": expression(tuning.TRIALS)})

    def write_trials(self, item: Item, name: str) -> Task:
        model = item.of("models")
        body = {"Body": expression(tuning.trials(model))}
        return self._s3(item.state(name), WRITE, expression(TRIALS_KEY.format(model)), body, output={})

    def no_trials(self, then: Any) -> Catch:
        return Catch(error_equals=ALL, assign={"trials": []}, next_step=then)

    def find_failure(self, item: Item, name: str) -> Task:
        """Find why the trainings of a failed tuning failed: its own message does not say."""
        return self._trials(item.state(name), tuning.failed_trainings(), assign_own(tuning.CAUSE))

    def unknown_failure(self, then: Any) -> Catch:
        return Catch(error_equals=ALL, next_step=then)

    def score(self, item: Item, name: str) -> Task:
        """Make a model's folder of the training's archive, and measure the model on the held-out rows."""
        request = expression(self.jobs.score(item.of("models"), item.tested, item.tuned))
        return self._job(item.state(name), PROCESSING, request, self.jobs.scoring_job(item.tested).max_runtime)

    def create_model(self, item: Item, name: str) -> Task:
        """Register the trained archive with its image, so that a transform job can start the container."""
        model = item.of("models")
        return self._model(
            item, name, f"{model}.image", f"$work & {model}.place & '/' & $own.job & '/output/model.tar.gz'"
        )

    def ask(self, item: Item, name: str) -> Task:
        """Let the container answer the held-out rows, of which it sees everything but the label."""
        model = item.of("models")
        rows = f"$folder & 'prepared/models/' & {model}.name & '/asked/'"
        said = f"$work & {model}.place & '/' & $own.job & '/output/answers/'"
        request = self.jobs.transform("test", model, rows, said)
        return self._transform(item.state(name), request, assign_own(ANSWERED.format("$own")))

    def delete_model(self, item: Item, name: str) -> Task:
        """Delete SageMaker's model after its transform job. What follows does not depend on it."""
        given, retries = {"ModelName": "{% $own.model %}"}, self._retries_of["SdkSageMaker"]
        return self._task(item.state(name), DELETE_MODEL, given, SMALL_CALL_SECONDS, retries, output={})

    def answered(self) -> Rule:
        """Whether the transform job before has succeeded."""
        own = "$sift($own, function($v, $k) {$not($k in ['answered', 'model'])})"
        return Rule(expression("$own.answered = true"), assign_own(own))

    def read_score(self, item: Item, name: str) -> Task:
        """Read the score: only objects have one; Judge checks whether it is a number."""
        key = f"{item.of('models')}.place & '/' & $own.job & '/output/model/metrics.json'"
        score = "$sift($s, function($v, $k) {$k in $scored})"
        own = f"($s := $parse($states.result.Body); $type($s) = 'object' ? $merge([$own, {score}]) : $own)"
        part = {"Range": f"bytes=0-{SCORE_BYTES - 1}"}  # exceeding a state's limit would end the run, uncaught
        return self._s3(item.state(name), READ, expression(key), part, assign=assign_own(own), output={})

    def failed_training(self, then: Any) -> Catch:
        return self._failed("$merge([$untried, $states.errorOutput, {'tries': $own.tries + 1}])", then)

    def failed_measurement(self, then: Any) -> Catch:
        """The model is not usable unmeasured, so `own` has no job any more; `trained` keeps it for another try."""
        more = "{'tries': $own.tries + 1, 'model': $own.model, 'trained': $own}"
        return self._failed(f"$merge([$untried, {OF_CONTAINER}, {more}])", then)

    def worth_another_measurement(self) -> Rule:
        """Only the measurement is repeated: the same training, or a whole tuning, would give the same model."""
        again = worth_another_try("$own", "$own.tries", self.config.retries.job, of_aws=True)
        own = assign_own("$merge([$own.trained, {'tries': $own.tries}])")
        return Rule(expression(f"$exists($own.trained) ? ({again}) : false"), own)

    def failed_score(self, then: Any) -> Catch:
        return self._failed("$merge([$own, $states.errorOutput])", then)

    def remember(self, item: Item, name: str) -> Task:
        """Write the marker, which says that the model is complete. If that fails, a later run trains it again."""
        return self._remember(item.state(name), item.of("models"))

    def good_enough(self, item: Item) -> Rule:
        """Only a number is accepted: not a missing file or key, null or text."""
        return Rule(expression(decisions.good_enough(item.of("models"), item.metric, item.limit)))

    def registered(self, item: Item) -> Rule:
        good = decisions.good_enough(item.of("models"), item.metric, item.limit)
        return Rule(expression(f"$exists($own.version) ? ({good}) : false"))

    def register(self, item: Item, name: str) -> Task:
        """Make the model a version of its group. AWS returns the same version if this is called again."""
        request = registration.request(item.of("models"), item.metric, item.program, item.approval, item.scripted)
        own = "$merge([$own, {'version': $number($split($states.result.ModelPackageArn, '/')[2])}])"
        retries = self._retries_of["Registry"]
        given = expression(request)
        return self._task(
            item.state(name), REGISTER, given, SMALL_CALL_SECONDS, retries, assign=assign_own(own), output={}
        )

    def unregistered(self, then: Any) -> Catch:
        """The model predicts all the same, and the next run registers it."""
        return self._failed("$merge([$own, {'unregistered': $states.errorOutput}])", then)

    def worth_another_try(self, of_aws: bool = False) -> Rule:
        return Rule(expression(worth_another_try("$own", "$own.tries", self.config.retries.job, of_aws)))

    def accept(self, item: Item, name: str) -> Pass:
        own = "$own"
        if item.approval:
            words = f"$substring($own.unregistered.Error & ': ' & $own.unregistered.Cause, 0, {self._words_kept})"
            own = f"$exists($own.unregistered) ? $merge([$own, {{'unregistered': {words}}}]) : $own"
        return Pass(item.state(name), output=expression(f"$merge([{own}, {{'verdict': 'accepted'}}])"))

    def reject(self, item: Item, name: str) -> Pass:
        words, own = words_of_job("$own.Cause", self._words_kept), "$own"
        if item.archived:
            own = "$sift($own, function($v, $k) {$k != 'trained'})"
        return Pass(
            item.state(name), output=expression(f"$merge([{own}, {{'verdict': 'rejected', 'Cause': {words}}}])")
        )

    # Predict: one branch per model

    def look_up_result(self, item: Item, name: str, then: Any) -> Task:
        found = "$merge([$parse($states.result.Body), $cached_result])"
        return self._marker_of(item.state(name), item.of("chosen"), found, item.of("starts"), then)

    def predict(self, item: Item, name: str) -> Task:
        request = expression(self.jobs.predict(item.of("predictions"), item.of("chosen")))
        return self._job(
            item.state(name), PROCESSING, request, self.config.predict.max_runtime, assign_own("$predicted")
        )

    def create_chosen(self, item: Item, name: str) -> Task:
        chosen = item.of("chosen")
        manifest = "" if item.answers else f"{chosen}.manifest"
        return self._model(item, name, f"{chosen}.image", f"{chosen}.model_uri & 'model.tar.gz'", manifest)

    def transform(self, item: Item, name: str) -> Task:
        chosen = item.of("chosen")
        asked, answers = self.jobs.asked(chosen), self.jobs.answers(chosen)
        request = self.jobs.transform("predict", item.of("models"), asked, answers)
        own = "$own" if self.jobs.checks else "$merge([$own, $predicted])"
        return self._transform(item.state(name), request, assign_own(ANSWERED.format(own)))

    def check(self, item: Item, name: str) -> Task:
        """Make predictions of the answers, if there is one for each row."""
        request = expression(self.jobs.check(item.of("models"), item.of("chosen")))
        return self._job(
            item.state(name), PROCESSING, request, self.config.postprocess.max_runtime, assign_own("$predicted")
        )

    def failed_prediction(self, then: Any) -> Catch:
        return self._failed("$merge([$unpredicted, $states.errorOutput, {'tries': $own.tries + 1}])", then)

    def failed_answers(self, then: Any) -> Catch:
        more = "{'tries': $own.tries + 1, 'model': $own.model}"
        return self._failed(f"$merge([$unpredicted, {OF_CONTAINER}, {more}])", then)

    def remember_result(self, item: Item, name: str) -> Task:
        return self._remember(item.state(name), item.of("chosen"))

    def report(self, item: Item, name: str) -> Pass:
        words = words_of_job("$own.Cause", self._words_kept)
        return Pass(item.state(name), output=expression(f"$merge([$own, {{'Cause': {words}}}])"))
