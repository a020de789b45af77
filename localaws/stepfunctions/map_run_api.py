"""DescribeMapRun, ListMapRuns and ListExecutions of a Map Run, and child executions in DescribeExecution."""

from __future__ import annotations

from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.registry import Here, aws_error
from localaws.stepfunctions import execution_archive
from localaws.stepfunctions.child_executions import children, map_run, map_runs, running_child
from localaws.stepfunctions.map_run import MapRun
from localaws.stepfunctions.versions import with_more


def install(patches: Patches, here: Here) -> None:
    from moto.core.responses import ActionResult
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend
    from moto.stepfunctions.responses import StepFunctionResponse

    describe, listing = StepFunctionsParserBackend.describe_execution, StepFunctionResponse.list_executions

    def describe_execution(backend: Any, execution_arn: str) -> Any:
        if "/" not in execution_arn.rpartition(":")[0]:
            return describe(backend, execution_arn)
        found = running_child(execution_arn) or (here.objects and execution_archive.child(here.objects, execution_arn))
        if not found:
            raise aws_error("ExecutionDoesNotExist", f"Execution Does Not Exist: '{execution_arn}'")
        return found

    def known(response: Any) -> MapRun:
        arn = response._get_param("mapRunArn")
        found = map_run(here.objects, arn)
        if found is None:
            raise aws_error("ResourceNotFound", f"Resource not found: '{arn}'")
        return found

    def list_executions(response: Any) -> Any:
        if not response._get_param("mapRunArn"):
            return listing(response)
        run, wanted = known(response), response._get_param("statusFilter")
        found = children(here.objects, run.arn)
        entries = [_listed(child, run) for child in found if wanted in (None, child.status)]
        entries.sort(key=lambda entry: entry["startDate"], reverse=True)
        start, most = int(response._get_param("nextToken") or 0), int(response._get_param("maxResults") or 100)
        more = {"nextToken": str(start + most)} if start + most < len(entries) else {}
        return ActionResult({"executions": entries[start : start + most], **more})

    def list_map_runs(response: Any) -> Any:
        arn = response._get_param("executionArn")
        response.stepfunction_backend.describe_execution(arn)
        return ActionResult({"mapRuns": [run.listed() for run in map_runs(here.objects, arn)]})

    def update_map_run(response: Any) -> Any:
        raise NotImplementedError("UpdateMapRun")  # as moto answers what it lacks

    def its_map_run(response: Any) -> dict[str, Any]:
        execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
        arn = getattr(execution, "map_run_arn", "")
        return {"mapRunArn": arn} if arn else {}

    patches.attribute(StepFunctionsParserBackend, "describe_execution", describe_execution)
    patches.attribute(StepFunctionResponse, "list_executions", list_executions)
    patches.attribute(StepFunctionResponse, "list_map_runs", list_map_runs)
    patches.attribute(StepFunctionResponse, "describe_map_run", lambda r: ActionResult(known(r).described()))
    patches.attribute(StepFunctionResponse, "update_map_run", update_map_run)
    plain = StepFunctionResponse.describe_execution
    patches.attribute(StepFunctionResponse, "describe_execution", with_more(plain, its_map_run))


def _listed(child: Any, run: MapRun) -> dict[str, Any]:
    ended = {"stopDate": child.stop_date} if child.stop_date else {}
    return {
        "executionArn": child.execution_arn,
        "stateMachineArn": run.machine,
        "mapRunArn": run.arn,
        "name": child.name,
        "status": child.status,
        "startDate": child.start_date,
        "redriveCount": getattr(child, "redrives", 0),
        **ended,
    }
