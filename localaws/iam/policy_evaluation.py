"""Decides as IAM does whether a call is allowed: an exact evaluator of the part of the language that policy/ uses.

AWS's "Policy evaluation logic" is the specification, for callers in the account that owns the resource:

    a statement with Effect Deny that matches, in any policy                     -> denied
    a resource policy that names the role itself, or the calling service         -> allowed (role: within its boundary)
    the role's own policy and its boundary both allow it                         -> allowed
    anything else                                                                -> denied

For a KMS key the role's own policy counts only if the key's policy delegates to the account. An element or operator
that this module does not know raises ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Policy = Mapping[str, Any]
Value = str | tuple[str, ...]  # a tuple is a key of several values, like aws:TagKeys
VARIABLE = re.compile(r"\$\{([^}]*)\}")
_ELEMENTS = frozenset(["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"])


@dataclass(frozen=True)
class Call:
    """A request for IAM to decide. The principal is a role's ARN, or a service like events.amazonaws.com."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, Value] = field(default_factory=dict, hash=False)
    why: str = field(default="", compare=False)

    def value(self, key: str) -> Value | None:
        return next((value for name, value in self.context.items() if name.lower() == key.lower()), None)


@dataclass(frozen=True)
class Policies:
    """The policies that decide a call; None: the policy does not exist."""

    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    resource: Policy | None = None


def refusal(call: Call, policies: Policies) -> str:
    """Why the call is denied, in the words of AWS's messages; empty if it is allowed."""

    def says(policy: Policy | None, effect: str) -> list[Policy]:
        found = policy.about(effect, call.action) if isinstance(policy, Unchanging) else statements(policy or {})
        return [statement for statement in found if statement["Effect"] == effect and applies(statement, call)]

    def unless_allowed(kind: str, *kinds: Policy | None) -> str:
        allowed = any(says(policy, "Allow") for policy in kinds)
        return "" if allowed else f"because no {kind} allows the {call.action} action"

    kinds = [
        *((policy, "an identity-based policy") for policy in policies.identity),
        (policies.boundary, "a permissions boundary"),
        (policies.resource, "a resource-based policy"),
    ]
    for policy, kind in kinds:
        if says(policy, "Deny"):
            return f"with an explicit deny in {kind}"
    beyond = unless_allowed("permissions boundary", policies.boundary) if policies.boundary is not None else ""
    named = [_principals(statement) for statement in says(policies.resource, "Allow")]
    if any(not principals or {call.principal, "*"} & principals for principals in named):
        return beyond
    if call.action.startswith("kms:") and not any(_root(call) in principals for principals in named):
        return unless_allowed("resource-based policy")
    kind = "identity-based policy" if _is_role(call) else "resource-based policy"
    return unless_allowed(kind, *policies.identity) or beyond


def _is_role(call: Call) -> bool:
    return call.principal.startswith("arn:")


def statements(policy: Policy) -> list[Policy]:
    return listed(policy.get("Statement", []))


class Unchanging(dict[str, Any]):
    """A policy that decides many calls: it knows its statements about each action. It must not be changed."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self._about: dict[tuple[str, str], list[Policy]] = {}

    def about(self, effect: str, action: str) -> list[Policy]:
        known = self._about.get((effect, action))
        if known is None:
            same = [statement for statement in statements(self) if statement["Effect"] == effect]
            known = self._about[effect, action] = [one for one in same if _concerns(one, action)]
        return known


def _concerns(statement: Policy, action: str) -> bool:
    """Whether the statement is about the action; ValueError if it cannot be evaluated, whatever it is about."""
    if unknown := statement.keys() - _ELEMENTS:
        raise ValueError(f"a statement has {sorted(unknown)}, which is unknown")
    if not statement.keys() & {"Action", "NotAction"}:
        raise ValueError("a statement has no Action")
    _principals(statement)
    return _is_one_of(statement, "Action", lambda pattern: _is_action(pattern, action))


def applies(statement: Policy, call: Call) -> bool:
    """Whether the statement covers this call: principal, action, resource and every condition."""
    return (
        _concerns(statement, call.action)
        and _is_principal(statement, call)
        and _is_one_of(statement, "Resource", lambda pattern: pattern == "*" or arn_like(pattern, call.resource, call))
        and all(
            _holds(operator, key, [str(value) for value in listed(wanted)], call)
            for operator, rules in statement.get("Condition", {}).items()
            for key, wanted in rules.items()
        )
    )


# Principals, actions and resources


def _principals(statement: Policy) -> set[str]:
    """The principals that a statement names; empty if they are not restricted."""
    principal = statement.get("Principal", "*")
    if principal == "*":
        return set()
    if principal.keys() - {"AWS", "Service"}:
        raise ValueError(f"the principal {principal} is unknown")
    return {*listed(principal.get("AWS", [])), *listed(principal.get("Service", []))}


def _is_principal(statement: Policy, call: Call) -> bool:
    principals = _principals(statement)
    if not principals:
        return True
    of_account = {_root(call), _root(call).split(":")[4]} if _is_role(call) else set()
    return bool({"*", call.principal, *of_account} & principals)


def _root(call: Call) -> str:
    parts = [*call.principal.split(":"), *[""] * 5]
    return f"arn:{parts[1]}:iam::{parts[4]}:root"


def _is_one_of(statement: Policy, element: str, matches: Callable[[str], bool]) -> bool:
    if f"Not{element}" in statement:
        return not any(matches(pattern) for pattern in listed(statement[f"Not{element}"]))
    # a trust policy has no resource
    return element not in statement or any(matches(pattern) for pattern in listed(statement[element]))


@lru_cache(maxsize=1 << 14)  # every statement of a policy is compared with every call's action
def _is_action(pattern: str, action: str) -> bool:
    return _pattern(pattern.lower(), action.lower())


def arn_like(pattern: str, arn: str, call: Call) -> bool:
    """Match part by part: a wildcard does not cross the first five colons."""
    if "$" not in pattern:
        return _arn(pattern).fullmatch(arn) is not None
    expected, found = pattern.split(":", 5), arn.split(":", 5)
    return len(expected) == len(found) and all(_like(p, f, call) for p, f in zip(expected, found, strict=True))


@lru_cache(maxsize=4096)
def _arn(pattern: str) -> re.Pattern[str]:
    parts = pattern.split(":", 5)
    any_ = ["[^:]"] * 5 + ["."]  # a sixth part may have colons
    return re.compile(":".join(_expression(p, c) for p, c in zip(parts, any_, strict=False)), re.DOTALL)


def _like(pattern: str, text: str, call: Call) -> bool:
    """`*` matches any text, `?` any character, and ${key} the value of a context key."""
    if "$" not in pattern:
        return pattern == text or _pattern(pattern, text)
    values = _filled(pattern, call)
    if values is None:
        return False
    expression = "".join(re.escape(value) if n % 2 else _expression(value) for n, value in enumerate(values))
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _pattern(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_expression(pattern), re.DOTALL)


def _expression(pattern: str, character: str = ".") -> str:
    return re.escape(pattern).replace(r"\*", f"{character}*").replace(r"\?", character)


def _filled(text: str, call: Call) -> list[str] | None:
    """Text and values of variables in turn; None if a variable is undefined, so that the element matches nothing."""
    parts = VARIABLE.split(text)
    values = [p if n % 2 == 0 or p in ("*", "?", "$") else _variable(p, call) for n, p in enumerate(parts)]
    return None if None in values else [value or "" for value in values]


def _variable(text: str, call: Call) -> str | None:
    name, _, default = text.partition(",")
    value = call.value(name.strip())
    if isinstance(value, tuple):
        raise ValueError(f"{name} has several values, and a variable can have one")
    return value if value is not None else (default.strip().strip("'") if default else None)


# Conditions

Test = Callable[[str, str, Call], bool]
TESTS: dict[str, Test] = {
    "StringEquals": lambda wanted, found, call: (
        (values := _filled(wanted, call)) is not None and "".join(values) == found
    ),
    "StringLike": _like,
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": lambda wanted, found, call: wanted.lower() == found.lower(),
}
NEGATED = {name.replace(kind, f"{kind}Not"): name for name in TESTS for kind in ("String", "Arn") if kind in name}


def _holds(operator: str, key: str, wanted: list[str], call: Call) -> bool:
    found = call.value(key)
    if operator == "Null":
        return (found is None) == (wanted[0].lower() == "true")
    quantifier, _, rest = operator.rpartition(":")
    optional, name = rest.endswith("IfExists"), rest.removesuffix("IfExists")
    negated, name = name in NEGATED, NEGATED.get(name, name)
    if name not in TESTS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"the condition operator {operator} is unknown")
    if quantifier == "" and isinstance(found, tuple):
        raise ValueError(f"{key} has several values, so {operator} needs ForAllValues or ForAnyValue")
    if found is None:
        return optional or quantifier == "ForAllValues" or (negated and not quantifier)
    results = [
        any(TESTS[name](text, value, call) for text in wanted) != negated
        for value in ([found] if isinstance(found, str) else found)
    ]
    return any(results) if quantifier == "ForAnyValue" else all(results)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
