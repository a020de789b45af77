"""The requests for the jobs of a group of models, and what a run's other jobs read about groups.

A group's folders: runs/<run>/prepared/groups/<g>/ from prepare; runs/<run>/groups/<g>/ with the machine's
decisions; models/groups/<g>/<hash>/ and predictions/groups/<g>/<hash>/ with the results, by a hash of their inputs.
"""

from __future__ import annotations

from stepgluon.names import PROMOTED_PARTITIONS
from stepgluon.workflow.expressions import expression, jsonata, quoted
from stepgluon.workflow.jobs import Jobs
from stepgluon.workflow.request_parts import ATTEMPT, Request, channel, input_of

CHECKPOINTS = "/opt/ml/checkpoints"  # SageMaker copies it to S3 while the job runs, and back for another try
# The machine's files of a group, below runs/<run>/.
TODO = "'runs/' & $run & '/todo/' & $group & '/todo.json'"
ARCHIVES = "'runs/' & $run & '/todo/' & $group & '.manifest'"
CHOICES = "'runs/' & $run & '/groups/' & $group & '/choices.json'"
PREDICTED = "'predictions/groups/' & $group & '.json'"  # below the folder of markers
FAILURE = "'runs/' & $run & '/groups/' & $group & '/failure.json'"


class GroupJobs(Jobs):
    def prepare(self) -> Request:
        """Prepare adds the promoted models to their groups."""
        request = super().prepare()
        promoted = input_of("promoted", f"s3://{self.names.work_bucket}/{PROMOTED_PARTITIONS}")
        inputs = f"$append({jsonata(request['ProcessingInputs'])}, $promoted ? [{jsonata(promoted)}] : [])"
        return {**request, "ProcessingInputs": expression(inputs)}

    def postprocess(self) -> Request:
        request = super().postprocess()
        inputs = [one for one in request["ProcessingInputs"] if one["InputName"] != "verdicts"]
        choices = input_of("choices", expression("$folder & 'groups/'"))
        return {**request, "ProcessingInputs": [*inputs, choices]}

    def train_group(self) -> str:
        """The request for the job that trains the models of todo.json; another try finds the finished ones."""
        # A fresh run may use only checkpoints of its own tries.
        kept = "$work & $found.place & ($markers = 'markers/' ? '' : '/' & $run) & '/checkpoints/'"
        own = {
            "TrainingJobName": expression(self._name("train")),
            "HyperParameters": {"group": expression("$group")},
            "InputDataConfig": [
                channel("data", "$folder & 'prepared/groups/' & $group & '/'"),
                channel("todo", "$folder & 'todo/' & $group & '/'"),
            ],
            "OutputDataConfig": self._trained("$found.place", "NONE"),
            "CheckpointConfig": {"S3Uri": expression(kept), "LocalPath": CHECKPOINTS},
        }
        return f"$merge([$jobs.train, $model.train, {jsonata(own)}])"

    def predict_group(self) -> str:
        own = {
            "ProcessingJobName": expression(self._name("predict")),
            "ProcessingInputs": [
                input_of("group", expression("$folder & 'prepared/groups/' & $group & '/'")),
                input_of("choices", expression(f"$work & {CHOICES}")),
                input_of("models", expression(f"$work & {ARCHIVES}")),
            ],
            "ProcessingOutputConfig": self._output("$work & $due.place & '/' & $id"),
        }
        return f"$merge([$jobs.predict, {jsonata(own)}])"

    def _name(self, step: str) -> str:
        """Names are unique: each has the group, the run's id, the try, Step Functions' own retry, and the redrive."""
        return f"{quoted(f'{self.names.prefix}-{step}-')} & $group & '-' & $id & '-' & $own.tries & {ATTEMPT}"
