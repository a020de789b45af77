"""Fixes of moto's logs, speed and memory."""

from __future__ import annotations

import copy
import logging
import os
import types
from functools import cache, lru_cache
from typing import Any

from localaws.base.clients import models
from localaws.base.patches import Patches
from localaws.moto_fixes.registry import ASL, COMMON, SERVICE, Here, fix, loaded


@fix
def failures_are_not_printed_as_object_graphs(patches: Patches, here: Here) -> None:
    """Silence moto, which logs each failure at each level of the machine, with a dump of all its components."""
    component = loaded(f"{ASL}.component.eval_component").EvalComponent
    for name in ("_log_failure_event_exception", "_log_exception", "_log_evaluation_step"):
        patches.attribute(component, name, lambda self, *values, **named: None)
    for name in ("moto", "werkzeug"):
        logger = logging.getLogger(name)
        patches.later(lambda logger=logger, level=logger.level: logger.setLevel(level))  # type: ignore[misc]
        logger.setLevel(logging.CRITICAL)


@fix
def ended_threads_are_forgotten(patches: Patches, here: Here) -> None:
    """moto lists every thread that it has ever started, and never removes one."""

    class Forgetful(list[Any]):
        def append(self, thread: Any) -> None:
            """Do nothing: the list is never read."""

    patches.everywhere("moto.stepfunctions", loaded("moto.stepfunctions.parser.utils").TMP_THREADS, Forgetful())


@fix
def data_is_copied_quickly(patches: Patches, here: Here) -> None:
    """Each state copies its data many times; for JSON, a plain copy is enough, and faster than copy.deepcopy."""
    for name in (
        f"{ASL}.eval.states",
        f"{ASL}.eval.environment",
        f"{ASL}.eval.event.event_manager",
        f"{COMMON}.path.result_path",
        f"{COMMON}.string.string_expression",
        f"{SERVICE}.state_task_service",
    ):
        patches.attribute(loaded(name), "copy", types.SimpleNamespace(deepcopy=_copied, copy=copy.copy))


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list:
        return [_copied(item) for item in value]
    if kind in (str, int, float, bool, type(None)) or isinstance(value, str):  # the latter: types of events
        return value
    return copy.deepcopy(value)


@fix
def paths_are_parsed_once(patches: Patches, here: Here) -> None:
    """Each state puts its result at a path, `$` without a ResultPath, which moto parses every time: a sixth of its
    time.
    """
    module = loaded(f"{COMMON}.path.result_path")
    patches.attribute(module, "parse", lru_cache(maxsize=256)(module.parse))


@fix
def modules_and_methods_are_listed_once(patches: Patches, here: Here) -> None:
    """moto lists its own folder and a service's methods for each request: half of the time of a small request."""
    backends, responses = loaded("moto.backends"), loaded("moto.core.responses")
    names = tuple(backends.list_of_moto_modules())
    patches.attribute(backends, "list_of_moto_modules", lambda: names)
    patches.attribute(responses, "method_names_from_class", cache(responses.method_names_from_class))


@fix
def only_asymmetric_keys_have_a_private_key(patches: Patches, here: Here) -> None:
    """moto makes an RSA key for each key of KMS, which takes 0.1 s; a symmetric one never uses it."""
    module = loaded("moto.kms.models")
    plain = module.generate_private_key
    patches.attribute(module, "generate_private_key", lambda spec: None if spec == "SYMMETRIC_DEFAULT" else plain(spec))


@fix
def a_service_is_known_by_its_folder(patches: Patches, here: Here) -> None:
    """Before reading one service's model, botocore looks for the model files of all 400 services."""
    loader = loaded("botocore.loaders").Loader

    def list_available_services(self: Any, type_name: str) -> list[str]:
        return sorted({name for place in self._potential_locations() for name in os.listdir(place)})

    patches.attribute(
        loader, "list_available_services", loaded("botocore.loaders").instance_cache(list_available_services)
    )


@fix
def models_of_services_are_read_once(patches: Patches, here: Here) -> None:
    """moto reads the model of a service, and where the service is, again and again: our clients have read them."""

    def load(service: str, kind: str) -> Any:
        return models().load_service_model(service, kind)

    def session() -> Any:
        made = loaded("botocore.session").Session()
        made.register_component("data_loader", models())
        return made

    own = loaded("moto.core.utils")._load_service_model  # adds what moto knows more
    extended = ("s3", "sqs")
    patches.attribute(
        loaded("moto.core.utils"),
        "_load_service_model",
        lambda service, kind: (own if service in extended else load)(service, kind),
    )
    patches.attribute(loaded("moto.core.base_backend").AccountSpecificBackend, "get_session", cache(session))


@fix
def routes_build_no_addresses_ahead(patches: Patches, here: Here) -> None:
    """For each of moto's routes, werkzeug compiles two functions that build its URL; moto uses none of them."""
    rule = loaded("werkzeug.routing.rules").Rule
    plain = rule._compile_builder

    def when_called(self: Any, append_unknown: bool = True) -> Any:
        return lambda this, **values: plain(self, append_unknown)(this, **values)

    patches.attribute(rule, "_compile_builder", when_called)


@fix
def deleted_objects_are_freed(patches: Patches, here: Here) -> None:
    """Each class of moto keeps a list of its instances, so deleted objects are never freed."""
    patches.attribute(
        loaded("moto.core.common_models").BaseModel,
        "__new__",
        staticmethod(lambda cls, *_, **__: object.__new__(cls)),
    )
