"""The states of a run that fails: from whatever went wrong to one mail and the state Failed.

`failed` in the state data is {state, failure, details}; states.py has the rest of what flows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepgluon.config.schema import PipelineConfig
from stepgluon.names import Names
from stepgluon.workflow import mails
from stepgluon.workflow.failure_rule import MAILED
from stepgluon.workflow.intrinsics import constant, merged, parsed, text
from stepgluon.workflow.sdk import Catch, Chain, Choice, ChoiceRule, Fail, Map, Parallel, Pass, Task
from stepgluon.workflow.stages import STAGES

BLANK = {"Error": "", "Cause": ""}
_KEPT = {f"{key}.$": f"$.{key}" for key in ("run", "home", "id", "newline")}  # what the mail of a failure tells


class Failures:
    """`mail` makes the state that sends a mail of this name."""

    def __init__(self, config: PipelineConfig, names: Names, mail: Callable[[str], Task]) -> None:
        self._config = config
        self._names = names
        self._mail = mail

    # What may go wrong

    def bad_input(self, then: Chain) -> Pass:
        failure = {
            "Error": "BadInput",
            "Cause": "The execution was started with an input that is not usable. It may have data (the folder's S3 "
            "URI), note (text), overrides (an object with threshold, a number) and resume (an object with run, a name, "
            f"and from, one of {', '.join(STAGES)}), and nothing in place of an object.",
        }
        return self._failed("Input is not usable", {"state": "Settings", "failure": failure, "details": ""}, then)

    def of(self, stage: Task | Parallel, then: Chain) -> Pass:
        failure = {"failure.$": merged("$.blank", "$.failure")}
        return self._failed(f"{stage.state_id} failed", {"state": stage.state_id, **failure, "details": ""}, then)

    def missing_models(self, stage: Parallel, then: Chain) -> Pass:
        failure = {
            "Error": "NoDefaultModel",
            "Cause": "A model was rejected, and no default model stands in for it. Raise its threshold, improve its "
            "data, or promote the models of a run that was good: " + self._names.pipeline_py("promote RUN"),
        }
        return self._failed("A model is missing", {"state": stage.state_id, "failure": failure, "details": ""}, then)

    def missing_predictions(self, stage: Parallel, then: Chain) -> Pass:
        failure = {"Error": "PredictionFailed", "Cause": "At least one model could not predict its rows."}
        details = {"details.$": mails.outcomes(self._config)}
        return self._failed("A prediction is missing", {"state": stage.state_id, "failure": failure, **details}, then)

    def other_models(self, read: Task, then: Chain) -> Pass:
        failure = {
            "Error": "OtherModels",
            "Cause": "The run that is to be taken up had other models than the pipeline has now. Start a new run.",
        }
        return self._failed("Its models are others", {"state": read.state_id, "failure": failure, "details": ""}, then)

    def _failed(self, name: str, failed: dict[str, Any], then: Chain) -> Pass:
        """The first state of the failure path; it drops all data but what the mail says, so that the mail fits."""
        state = Pass(name, parameters={**_KEPT, "failed": failed})
        state.next(then.steps[0])
        return state

    # Why, and the end

    def path(self) -> Chain:
        """Find the reason, mail it, and end with the real error and cause, also when the mail cannot be sent.

        The cause then says that it was mailed: docs/decisions/0030.
        """
        failure = "$.failed.failure"
        first, last = self._explanation("Why did it fail?", "Read failed job", "Note failed job", failure)
        mail = self._mail("Announce failure")
        noted = {"Error.$": f"{failure}.Error", "Cause.$": text(f"{MAILED}{{}}", f"{failure}.Cause")}
        note = Pass("Note the mail", parameters=noted, result_path=failure)
        end = Fail("Failed", error_path=f"{failure}.Error", cause_path=f"{failure}.Cause")
        mail.add_catch(Catch(error_equals=["States.ALL"], result_path=None, next_step=end))
        for step, following in ((first, mail), (last, mail), (mail, note), (note, end)):
            step.next(following)
        return Chain([first])

    def explain(self, name: str, job: str, items: str) -> Map:
        """Each item's failure, with the sentence that a failed job left in place of the job's description."""
        steps = self._explanation(f"Did the {job} job fail?", f"Read failed {job}", f"Note failed {job}", "$.failure")
        end = Pass(f"The {job} is explained")
        for step in steps:
            step.next(end)
        return Map(name, iterator=Chain([steps[0]]), items_path=items, result_path=items)

    def _explanation(self, ask: str, read: str, note: str, failure: str) -> tuple[Choice, Pass]:
        """The first and the last state; both go on to what comes next.

        Of a failed job the cause is its whole description as JSON; of everything else it is plain text. The sentence of
        the job itself comes first: AWS's reason beside it says only that the log knows more.
        """
        described = merged(constant({"FailureReason": "", "ExitMessage": ""}), parsed(f"{failure}.Cause"))
        sentence = text("{} {}", f"{failure}.job.ExitMessage", f"{failure}.job.FailureReason")
        first = Choice(ask)
        parse = Pass(read, parameters={"Error.$": f"{failure}.Error", "job.$": described}, result_path=failure)
        last = Pass(note, parameters={"Error.$": f"{failure}.Error", "Cause.$": sentence}, result_path=failure)
        first.add_choice(ChoiceRule.StringMatches(f"{failure}.Cause", '{"*JobArn"*}'), Chain([parse, last]))
        return first, last
