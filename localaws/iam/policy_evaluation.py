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
        return [s for s in statements(policy) if s["Effect"] == effect and applies(s, call)] if policy else []

    kinds = [
        *((policy, "an identity-based policy") for policy in policies.identity),
        (policies.boundary, "a permissions boundary"),
        (policies.resource, "a resource-based policy"),
    ]
    for policy, kind in kinds:
        if says(policy, "Deny"):
            return f"with an explicit deny in {kind}"
    outside = policies.boundary is not None and not says(policies.boundary, "Allow")
    beyond = _not_allowed(call, "permissions boundary") if outside else ""
    named = says(policies.resource, "Allow")
    if any(_names_the_caller(statement, call) for statement in named):
        return beyond
    if call.action.startswith("kms:") and not any(_names_the_account(statement, call) for statement in named):
        return _not_allowed(call, "resource-based policy")
    if not any(says(policy, "Allow") for policy in policies.identity):
        return _not_allowed(call, "identity-based policy" if _is_role(call) else "resource-based policy")
    return beyond


def _not_allowed(call: Call, kind: str) -> str:
    return f"because no {kind} allows the {call.action} action"


def _is_role(call: Call) -> bool:
    return call.principal.startswith("arn:")


def statements(policy: Policy) -> list[Policy]:
    return listed(policy["Statement"])


def applies(statement: Policy, call: Call) -> bool:
    """Whether the statement covers this call: principal, action, resource and every condition."""
    unknown = statement.keys() - {
        *("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition")
    }
    if unknown:
        raise ValueError(f"a statement has {sorted(unknown)}, which is unknown")
    return (
        ("Principal" not in statement or _is_principal(statement["Principal"], call))
        and _is_action(statement, call)
        and _is_resource(statement, call)
        and all(_holds(operator, rules, call) for operator, rules in statement.get("Condition", {}).items())
    )


# Principals


def _is_principal(principal: Any, call: Call) -> bool:
    if principal == "*":
        return True
    if principal.keys() - {"AWS", "Service"}:
        raise ValueError(f"the principal {principal} is unknown")
    of_account = {_root(call), _root(call).split(":")[4]} if _is_role(call) else set()
    return bool(
        {"*", call.principal, *of_account} & {*listed(principal.get("AWS", [])), *listed(principal.get("Service", []))}
    )


def _names_the_caller(statement: Policy, call: Call) -> bool:
    principal = statement.get("Principal")
    if not isinstance(principal, Mapping):
        return True
    return call.principal in listed(principal.get("Service", [])) or bool(
        {call.principal, "*"} & {*listed(principal.get("AWS", []))}
    )


def _names_the_account(statement: Policy, call: Call) -> bool:
    principal = statement.get("Principal")
    return isinstance(principal, Mapping) and _root(call) in listed(principal.get("AWS", []))


def _root(call: Call) -> str:
    parts = [*call.principal.split(":"), *[""] * 5]
    return f"arn:{parts[1]}:iam::{parts[4]}:root"


# Actions and resources


def _is_action(statement: Policy, call: Call) -> bool:
    def any_of(patterns: Any) -> bool:
        return any(_plain_pattern(pattern.lower()).fullmatch(call.action.lower()) for pattern in listed(patterns))

    return any_of(statement["Action"]) if "Action" in statement else not any_of(statement["NotAction"])


def _is_resource(statement: Policy, call: Call) -> bool:
    def any_of(patterns: Any) -> bool:
        return any(pattern == "*" or arn_like(pattern, call.resource, call) for pattern in listed(patterns))

    if "NotResource" in statement:
        return not any_of(statement["NotResource"])
    return "Resource" not in statement or any_of(statement["Resource"])  # a trust policy has none


def arn_like(pattern: str, arn: str, call: Call) -> bool:
    """Match part by part: a wildcard does not cross the first five colons."""
    expected, found = pattern.split(":", 5), arn.split(":", 5)
    return len(expected) == len(found) and all(_like(p, f, call) for p, f in zip(expected, found, strict=True))


def _like(pattern: str, text: str, call: Call) -> bool:
    """`*` matches any text, `?` any character, and ${key} the value of a context key."""
    if "$" not in pattern:
        return pattern == text or _plain_pattern(pattern).fullmatch(text) is not None
    parts = VARIABLE.split(pattern)
    expression = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            expression += _expression(part)
            continue
        value = part if part in ("*", "?", "$") else _variable(part, call)
        if value is None:
            return False  # an element with an undefined variable matches nothing
        expression += re.escape(value)
    return re.fullmatch(expression, text, re.DOTALL) is not None


@lru_cache(maxsize=4096)
def _plain_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(_expression(pattern), re.DOTALL)


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")


def _variable(text: str, call: Call) -> str | None:
    name, _, default = text.partition(",")
    value = call.value(name.strip())
    if isinstance(value, tuple):
        raise ValueError(f"{name} has several values, and a variable can have one")
    return value if value is not None else (default.strip().strip("'") if default else None)


# Conditions

Test = Callable[[str, str, Call], bool]
TESTS: dict[str, Test] = {
    "StringEquals": lambda wanted, found, call: _plain(wanted, call) == found,
    "StringLike": lambda wanted, found, call: _like(wanted, found, call),
    "ArnEquals": lambda wanted, found, call: arn_like(wanted, found, call),
    "ArnLike": lambda wanted, found, call: arn_like(wanted, found, call),
    "Bool": lambda wanted, found, call: wanted.lower() == found.lower(),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}


def _plain(text: str, call: Call) -> str | None:
    """The text with its variables filled in; `*` and `?` are literal."""
    parts = VARIABLE.split(text)
    values = [p if i % 2 == 0 or p in ("*", "?", "$") else _variable(p, call) for i, p in enumerate(parts)]
    return None if None in values else "".join(value or "" for value in values)


def _holds(operator: str, rules: Mapping[str, Any], call: Call) -> bool:
    return all(
        _key_holds(operator, key, [str(value) for value in listed(wanted)], call) for key, wanted in rules.items()
    )


def _key_holds(operator: str, key: str, wanted: list[str], call: Call) -> bool:
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
