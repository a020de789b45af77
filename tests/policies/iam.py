"""Whether a call is allowed, as IAM decides it: an exact evaluator of the part of the language that policy/ uses.

AWS's "Policy evaluation logic" is the specification, for callers in the account that owns the resource:

    a statement with Effect Deny that matches, in any policy                     -> denied
    a resource policy that names the role itself, or the service that calls      -> allowed (a role: in its boundary)
    the role's own policy and its boundary both allow it                         -> allowed
    anything else                                                                -> denied

For a KMS key the role's own policy counts only where the key's policy hands the decision to the account. What is not
known here is never guessed at: an operator or a condition key that is unknown raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.reference import GLOBAL_KEYS, condition_keys

Policy = Mapping[str, Any]
Value = str | tuple[str, ...]  # a tuple is a key of several values, like aws:TagKeys
VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Call:
    """One request that IAM has to decide. The principal is a role's ARN, or a service like events.amazonaws.com."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, Value] = field(default_factory=dict, hash=False)
    why: str = field(default="", compare=False)

    def value(self, key: str) -> Value | None:
        return next((value for name, value in self.context.items() if name.lower() == key.lower()), None)


@dataclass(frozen=True)
class Policies:
    """Those that have a say in a call; None is a policy that there is not."""

    identity: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    resource: Policy | None = None


def allowed(call: Call, policies: Policies) -> bool:
    everyone = [*policies.identity, *filter(None, [policies.boundary, policies.resource])]
    if any(_matching(policy, "Deny", call) for policy in everyone):
        return False
    within = policies.boundary is None or bool(_matching(policies.boundary, "Allow", call))
    named = _matching(policies.resource, "Allow", call) if policies.resource else []
    if any(_names_the_caller(statement, call) for statement in named):
        return within
    if call.action.startswith("kms:") and not any(_names_the_account(statement, call) for statement in named):
        return False
    return within and any(_matching(policy, "Allow", call) for policy in policies.identity)


def _matching(policy: Policy, effect: str, call: Call) -> list[Policy]:
    return [s for s in statements(policy) if s["Effect"] == effect and applies(s, call)]


def statements(policy: Policy) -> list[Policy]:
    return listed(policy["Statement"])


def applies(statement: Policy, call: Call) -> bool:
    """Whether the statement speaks of this call: principal, action, resource and every condition."""
    unknown = statement.keys() - {
        *("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition")
    }
    if unknown:
        raise ValueError(f"a statement has {sorted(unknown)}, which is not known here")
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
        raise ValueError(f"the principal {principal} is not known here")
    of_account = {_root(call), _root(call).split(":")[4]} if call.principal.startswith("arn:") else set()
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
        return any(_like(pattern.lower(), call.action.lower()) for pattern in listed(patterns))

    return any_of(statement["Action"]) if "Action" in statement else not any_of(statement["NotAction"])


def _is_resource(statement: Policy, call: Call) -> bool:
    def any_of(patterns: Any) -> bool:
        return any(pattern == "*" or arn_like(pattern, call.resource, call) for pattern in listed(patterns))

    if "NotResource" in statement:
        return not any_of(statement["NotResource"])
    return "Resource" not in statement or any_of(statement["Resource"])  # a trust policy has none


def arn_like(pattern: str, arn: str, call: Call) -> bool:
    """Part by part: a wildcard never reaches over one of the first five colons."""
    expected, found = pattern.split(":", 5), arn.split(":", 5)
    return len(expected) == len(found) and all(_like(p, f, call) for p, f in zip(expected, found, strict=True))


def _like(pattern: str, text: str, call: Call | None = None) -> bool:
    expression = _expression(pattern, call)
    return expression is not None and re.fullmatch(expression, text, re.DOTALL) is not None


def _expression(pattern: str, call: Call | None) -> str | None:
    """As a regular expression: `*` and `?` mean any text and any character, ${key} the value of a context key."""
    parts = VARIABLE.split(pattern) if call else [pattern]
    expression = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            expression += re.escape(part).replace(r"\*", ".*").replace(r"\?", ".")
            continue
        value = part if part in ("*", "?", "$") else _variable(part, call)
        if value is None:
            return None  # a variable without a value: the element matches nothing
        expression += re.escape(value)
    return expression


def _variable(text: str, call: Call | None) -> str | None:
    name, _, default = text.partition(",")
    value = call.value(name.strip()) if call else None
    if isinstance(value, tuple):
        raise ValueError(f"{name} has several values, and a variable can have one")
    return value if value is not None else (default.strip().strip("'") if default else None)


# Conditions

Test = Callable[[str, str, Call], bool]
TESTS: dict[str, Test] = {
    "StringEquals": lambda wanted, found, call: _plain(wanted, call) == found,
    "StringEqualsIgnoreCase": lambda wanted, found, call: (_plain(wanted, call) or "").lower() == found.lower(),
    "StringLike": lambda wanted, found, call: _like(wanted, found, call),
    "ArnEquals": lambda wanted, found, call: arn_like(wanted, found, call),
    "ArnLike": lambda wanted, found, call: arn_like(wanted, found, call),
    "Bool": lambda wanted, found, call: wanted.lower() == found.lower(),
    "NumericEquals": lambda wanted, found, call: float(found) == float(wanted),
    "NumericLessThan": lambda wanted, found, call: float(found) < float(wanted),
    "NumericLessThanEquals": lambda wanted, found, call: float(found) <= float(wanted),
    "NumericGreaterThan": lambda wanted, found, call: float(found) > float(wanted),
    "NumericGreaterThanEquals": lambda wanted, found, call: float(found) >= float(wanted),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


def _plain(text: str, call: Call) -> str | None:
    """The text with its variables filled in; its `*` and `?` mean themselves."""
    parts = VARIABLE.split(text)
    values = [p if i % 2 == 0 or p in ("*", "?", "$") else _variable(p, call) for i, p in enumerate(parts)]
    return None if None in values else "".join(value or "" for value in values)


def _holds(operator: str, rules: Mapping[str, Any], call: Call) -> bool:
    return all(
        _key_holds(operator, key, [str(value) for value in listed(wanted)], call) for key, wanted in rules.items()
    )


def _key_holds(operator: str, key: str, wanted: list[str], call: Call) -> bool:
    _check_key(key, call)
    found = call.value(key)
    if operator == "Null":
        return (found is None) == (wanted[0].lower() == "true")
    quantifier, _, rest = operator.rpartition(":")
    optional, name = rest.endswith("IfExists"), rest.removesuffix("IfExists")
    negated, name = name in NEGATED, NEGATED.get(name, name)
    if name not in TESTS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"the condition operator {operator} is not known here")
    if quantifier == "" and isinstance(found, tuple):
        raise ValueError(f"{key} has several values, so {operator} needs ForAllValues or ForAnyValue")
    if found is None:
        return optional or quantifier == "ForAllValues" or (negated and not quantifier)
    results = [
        any(TESTS[name](text, value, call) for text in wanted) != negated
        for value in ([found] if isinstance(found, str) else found)
    ]
    return any(results) if quantifier == "ForAnyValue" else all(results)


def _check_key(key: str, call: Call) -> None:
    if not any(pattern.fullmatch(key) for pattern in (*GLOBAL_KEYS, *condition_keys(call.action, call.resource))):
        raise ValueError(f"{call.action} has no condition key {key}: such a condition never holds as it is meant")


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions_of(policy: Policy) -> Iterator[tuple[int, str]]:
    """Each granted action with its statement's number."""
    for number, statement in enumerate(statements(policy)):
        for action in listed(statement.get("Action", [])):
            yield number, action
