"""Checks requests against botocore's models, as the service would.

botocore itself checks types, required members and lower limits; the service also checks upper limits, patterns and
enumerations, which are in the models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator, ValidationErrors

# Java's character classes, as closely as Python's `re` can express them.
_JAVA = {r"\p{L}": r"\w", r"\p{Z}": r"\s", r"\p{N}": r"\d", r"\p{ASCII}": r"\x00-\x7f", r"\p{M}": ""}


@lru_cache(maxsize=16)
def service_model(service: str) -> Any:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def problems(service: str, action: str, request: Mapping[str, Any]) -> list[str]:
    """What the service would refuse in a request, in its words."""
    model = service_model(service)
    errors = Errors()
    Validator(whole_patterns(model))._validate(request, model.operation_model(action).input_shape, errors, name="")
    return errors.sentences()


def whole_patterns(model: Any) -> bool:
    """Patterns match anywhere in the text, but SageMaker's must match all of it."""
    return bool(model.metadata.get("endpointPrefix") == "api.sagemaker")


class Errors(ValidationErrors):  # type: ignore[misc] # botocore has no types
    def sentences(self) -> list[str]:
        return [self._format_error(error) for error in self._errors]

    def _format_error(self, error: tuple[str, str, dict[str, Any]]) -> str:
        kind, name, more = error
        if kind != "constraint":
            return str(super()._format_error(error))
        place = self._get_name(name)
        return f"Value {more['value']!r} at '{place}' failed to satisfy constraint: {more['constraint']}"


class Validator(ParamValidator):  # type: ignore[misc] # botocore has no types
    VALIDATED_METADATA_ATTRS = ParamValidator.VALIDATED_METADATA_ATTRS | {"max", "pattern", "enum"}

    def __init__(self, whole: bool) -> None:
        self._whole = whole

    def _validate(self, params: Any, shape: Any, errors: Errors, name: str) -> None:
        if shape.type_name in ("integer", "long") and isinstance(params, float) and params.is_integer():
            params = int(params)
        super()._validate(params, shape, errors, name)
        constraint = self._broken(params, shape)
        if constraint:
            errors.report(name, "constraint", value=params, constraint=constraint)

    def _broken(self, value: Any, shape: Any) -> str:
        allowed = shape.metadata
        if shape.type_name in ("integer", "long", "float", "double"):
            more = isinstance(value, (int, float)) and value > allowed.get("max", value)
            return f"Member must have value less than or equal to {allowed['max']}" if more else ""
        if isinstance(value, (str, list, dict)) and len(value) > allowed.get("max", len(value)):
            return f"Member must have length less than or equal to {allowed['max']}"
        if shape.type_name != "string" or not isinstance(value, str):
            return ""
        if "enum" in allowed and value not in allowed["enum"]:
            return f"Member must satisfy enum value set: [{', '.join(allowed['enum'])}]"
        pattern = _pattern(allowed["pattern"]) if "pattern" in allowed else None
        if pattern and not (pattern.fullmatch(value) if self._whole else pattern.search(value)):
            return f"Member must satisfy regular expression pattern: {allowed['pattern']}"
        return ""


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str] | None:
    """A Java pattern in Python; None if Python cannot express it."""
    for java, python in _JAVA.items():
        text = text.replace(java, python)
    try:
        return re.compile(text, re.DOTALL)
    except re.error:
        return None
