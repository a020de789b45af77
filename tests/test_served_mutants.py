"""One mistake at a time in the states of a release, and the self-check names each."""

from __future__ import annotations

import json

import pytest
from test_served_states import compiled

from stepgluon.selfcheck import findings


@pytest.mark.parametrize(
    ("state", "old", "new", "code"),
    [
        ("Create endpoint of size", '"EndpointName"', '"EndpointNam"', "parameter-unknown"),
        ("Create endpoint of size", "createEndpoint", "createEndpoints", "resource"),
        ("Configure size", "'AllTraffic'", "'All_Traffic'", "parameter-pattern"),
        ("Update endpoint of size", "BlueGreenUpdatePolicy", "BlueGreenPolicy", "parameter-unknown"),
        ("Update endpoint of size", "'AlarmName'", "'Alarm'", "parameter-unknown"),
        ("Create served model size", "'ModelDataSource'", "'ModelSource'", "parameter-unknown"),
        ("Wait for endpoint of size", '"Seconds"', '"Second"', "field-unknown"),
        ("Describe version of size", "$version", "$versions", "variable-undefined"),
        ("Endpoint of size?", "$own.failure != ''", "$owned.failure != ''", "variable-undefined"),
        ("Endpoint of size?", "< 100", "< 1000000", "endless-poll"),
        ("Begin", '"LINEAR"', '"LINEARLY"', "parameter-enum"),
        ("Begin", '"ml.m5.large"', '"ml.m5.larg"', "parameter-enum"),
        ("Begin", '"CAPACITY_PERCENT"', '"PERCENT"', "parameter-enum"),
        ("End release of size", "$lookup", "$lookupp", "expression-function"),
    ],
)
def test_a_mistake_in_a_release_is_found(state: str, old: str, new: str, code: str) -> None:
    changed = json.loads(compiled().others["release"].text)
    text = json.dumps(changed["States"][state])
    assert old in text
    changed["States"][state] = json.loads(text.replace(old, new))
    assert code in {finding.code for finding in findings(changed)}


def test_the_machine_of_approved_versions_has_no_findings() -> None:
    assert findings(json.loads(compiled().others["release"].text)) == []
