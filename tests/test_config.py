from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stepgluon.config import yaml_tree
from stepgluon.config.json_schema import json_schema
from stepgluon.config.keys import section_in
from stepgluon.config.load import load, loads
from stepgluon.config.scalars import Unclear, resolve
from stepgluon.config.schema import Partitioned, PipelineConfig
from stepgluon.config.sections import Rest, Section
from stepgluon.config.source import LoadedConfig
from stepgluon.config.units import unit_of
from stepgluon.errors import ConfigError, Place
from stepgluon.names import Names

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "pipeline-config.yml"
TEXT = """\
name: penguins
account: 123456789012
region: ap-northeast-1
notify: [ml-team@example.com]
models:
  - name: adelie
    label: body_mass_g
fallback:
  threshold: 350
"""
GENERATED = """\
name: penguins
account: 123456789012
region: ap-northeast-1
notify: [ml-team@example.com]
models:
  partition_by: island
  values: [Biscoe, Île d'Or, 7, true, 北京]
  label: body_mass_g
  threshold: 300
"""


def read(text: str | bytes, environment: str | None = None, **variables: str) -> LoadedConfig:
    return loads(text, "config.yml", environment, variables)


def problems(text: str | bytes, environment: str | None = None, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, environment, **variables)
    return str(caught.value).split("\n")


# The demo


def test_the_demo_is_valid_in_each_of_its_environments() -> None:
    assert [model.name for model in load(DEMO, None, {}).config.models] == ["adelie", "chinstrap", "gentoo"]
    assert load(DEMO, "prod", {}).config.train.presets == "good_quality"


def owner(of: type[Section], name: str) -> str:
    declared = {one: {key.rstrip("_") for key in vars(one).get("__annotations__", {})} for one in of.__mro__}
    return next(one for one in reversed(of.__mro__) if name in declared[one]).__name__


def keys(of: type[Section]) -> set[tuple[str, str]]:
    """Each key with the section that declares it: jobs share theirs."""
    found = set()
    for name, key in of.entries.items():
        if isinstance(key.kind, Rest):
            continue
        found.add((owner(of, name), name))
        if inner := section_in(key.kind):
            found |= keys(inner)
    return found


def shown(of: type[Section], part: object) -> set[tuple[str, str]]:
    """The keys that a part of the demo has, in the same way."""
    if isinstance(part, list):
        return {key for one in part for key in shown(of, one)}
    found = set()
    for name, value in part.items() if isinstance(part, dict) else ():
        if name not in of.entries and any(isinstance(key.kind, Rest) for key in of.entries.values()):
            continue
        assert name in of.entries, f"the demo has the key {name}, which does not exist"
        found.add((owner(of, name), name))
        if inner := section_in(of.entries[name].kind):
            found |= shown(inner, value)
    return found


def test_every_key_of_the_schema_stands_in_the_demo_where_it_belongs() -> None:
    text = DEMO.read_text(encoding="utf-8")
    generated = re.search(r"^# models:\n(?:#   .*\n)+", text, re.MULTILINE)
    assert generated is not None
    models = yaml.safe_load(re.sub("(?m)^# ", "", generated[0]))["models"]
    assert {"partition_by", "values", "label"} <= set(models)
    demo = yaml.safe_load(re.sub(r"(?m)^( *)# (?=[a-z0-9_]+: )", r"\1", text.replace(generated[0], "")))
    assert demo.pop("environments")
    assert keys(PipelineConfig) - shown(PipelineConfig, demo) == set()


def test_the_json_schema_is_valid_and_accepts_the_demo() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(DEMO.read_text(encoding="utf-8")), schema, jsonschema.Draft202012Validator)
    for text in (GENERATED, FOUND):
        jsonschema.validate(yaml.safe_load(text), schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["nmae"], "x"),
        (["train", "time_limit"], 600),
        (["train", "presets"], "best"),
        (["environments", "prod", "regoin"], "us-east-1"),
        (["models"], []),
        (["models"], {"partition_by": "island", "values": []}),
        (["account"], "12345"),
        (["predict", "instance", "count"], 0),
    ],
)
def test_the_json_schema_refuses_what_validate_refuses(path: list[str], value: object) -> None:
    data = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    part = data
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(data)


def test_the_json_schema_shows_defaults_as_they_are_written() -> None:
    train = json_schema()["$defs"]["Train"]["properties"]
    assert train["max_runtime"]["default"] == "1h"
    assert train["time_limit"]["default"] == "10m"


# Reading


def test_an_account_without_quotes_is_text_also_when_it_begins_with_zero() -> None:
    assert read(TEXT).config.account == "123456789012"
    assert read(TEXT.replace("123456789012", "012345678901")).config.account == "012345678901"


def test_durations_become_seconds() -> None:
    train = read(TEXT + "train: {time_limit: 90s, max_runtime: 2h}\n").config.train
    assert (train.time_limit, train.max_runtime) == (90, 7200)


def test_dates_stay_text() -> None:
    config = read(TEXT.replace("label:", "where: {day: 2024-01-31, at: 2024-01-31 09:30}\n    label:")).config
    assert config.models[0].where == {"day": "2024-01-31", "at": "2024-01-31 09:30"}


def test_where_keeps_the_kind_of_each_value() -> None:
    config = read(
        TEXT.replace("label:", "where: {a: 1, b: 1.0, c: true, d: '1', e: [1, 'x', false]}\n    label:")
    ).config
    assert repr(config.models[0].where) == "{'a': 1, 'b': 1.0, 'c': True, 'd': '1', 'e': [1, 'x', False]}"


def test_merge_keys_work_and_what_is_written_out_wins() -> None:
    text = TEXT + "prepare: &p {max_runtime: 2h, instance: {volume_gb: 50}}\npredict: {<<: *p, max_runtime: 3h}\n"
    predict = read(text).config.predict
    assert (predict.max_runtime, predict.instance.volume_gb) == (10800, 50)


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    assert read(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()).config == read(TEXT).config


def test_the_same_text_is_read_the_same_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(DEMO, "prod", {})
    monkeypatch.setattr(yaml_tree, "LOADER", yaml.SafeLoader)
    assert load(DEMO, "prod", {}) == expected


def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml:1:1: \(file\): the config cannot be read: no such file"):
        load(tmp_path / "none.yml", None, {})
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path, None, {})


def test_a_file_larger_than_a_mebibyte_is_refused() -> None:
    assert problems(TEXT + "#" * 1024 * 1024) == [
        "config.yml:1:1: (file): the file is larger than 1 MiB (is it a config?)"
    ]


ALIKE = [("7", 7), ("+7", 7), ("0", 0), ("-0.5", -0.5), ("1.5e+3", 1500.0), ("0x1F", 31), (".5", 0.5), ("true", True)]
ALIKE += [("~", None), ("FALSE", False), ("1.2.3", "1.2.3"), ("1-2", "1-2"), ("09:30", "09:30"), ("tRUE", "tRUE")]
ALIKE += [("2024-01-31", "2024-01-31"), ("=", "="), ("NaN", "NaN"), ("yEs", "yEs"), ("0x", "0x"), ("_1", "_1")]


@pytest.mark.parametrize(
    ("text", "value"),
    ALIKE,
)
def test_a_scalar_that_all_read_alike_is_read_so(text: str, value: object) -> None:
    assert (type(resolve(text)), resolve(text)) == (type(value), value)


AMBIGUOUS = ["no", "Yes", "ON", "off", "010", "-010", "09", "0o17", "0b11", "1_000", "12:30", "190:20:30.5"]
AMBIGUOUS += ["1e3", "-0x1F", "0x_1", "0_"]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_scalar_that_is_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(Unclear, match=f"^{text} without quotes is .* in YAML 1.1 and .* in YAML 1.2"):
        resolve(text)


@settings(max_examples=1000, deadline=None)
@given(st.text("0123456789+-._:eExXob", max_size=12))
def test_a_scalar_that_is_accepted_is_read_as_pyyaml_reads_it(text: str) -> None:
    try:
        value = resolve(text)
    except Unclear:
        return
    try:
        theirs = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return  # no scalar, or one that PyYAML's own constructor stumbles over
    if isinstance(theirs, (datetime.date, list, dict)) or re.fullmatch(r"[-+]\.[0-9].*|0[0-9]{11}", text):
        return  # dates stay text; PyYAML misses -.5, which the specification has; an account keeps its zero
    assert (type(value), value) == (type(theirs), theirs) or value != value


# Variables


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("${A:-two}", "one"),
        ("${B:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("x-${A}-${B:-}-y", "x-one--y"),
        ("$${A}", "${A}"),
        ("'${A}'", "one"),
        ("$A $ {A}", "$A $ {A}"),
        ("${NESTED}", "${A}"),
        ("'${NUMBER}'", "7"),
    ],
)
def test_variables_are_replaced_once_and_in_values_only(text: str, value: str) -> None:
    config = read(TEXT.replace("body_mass_g", text), A="one", EMPTY="", NESTED="${A}", NUMBER="7").config
    assert config.models[0].label == value


def test_a_replaced_scalar_without_quotes_is_read_again_as_a_scalar_and_never_as_structure() -> None:
    assert read(TEXT.replace("350", "${LIMIT}"), LIMIT="12.5").config.fallback.threshold == 12.5
    assert read(TEXT + "encryption:\n  kms_key: ${KEY:-}\n").config.encryption.kms_key is None
    label = read(TEXT.replace("body_mass_g", "${L}"), L="{a: [b, &c *d]} # no comment").config.models[0].label
    assert label == "{a: [b, &c *d]} # no comment"


def test_a_lone_variable_in_quotes_is_a_number_or_true_where_the_key_takes_no_text() -> None:
    text = TEXT.replace("\n  threshold: 350", ' {threshold: "${LIMIT}"}') + "train: {spot: '${SPOT:-true}'}\n"
    text += "tags: {limit: '${LIMIT}'}\nprepare: {environment: {SPOT: '${LIMIT}'}}\n"
    config = read(text, LIMIT="12.5").config
    assert (config.fallback.threshold, config.train.spot) == (12.5, True)
    assert (config.tags, config.prepare.environment) == ({"limit": "12.5"}, {"SPOT": "12.5"})


def test_variables_of_an_environment_that_is_not_chosen_need_not_be_set() -> None:
    text = TEXT + "environments: {prod: {account: '${PROD}', train: {spot: '${SPOT}'}}, dev: {train: {spot: true}}}\n"
    assert read(text).config.train.spot is False
    assert read(text, "dev").config.train.spot is True
    assert len(problems(text, "prod")) == 2
    assert read(text, "prod", PROD="210987654321", SPOT="true").config.account == "210987654321"


SECRET = "Hunter2/x"
PLACES = ["name: penguins", "account: 123456789012", "region: ap-northeast-1", "name: adelie", "label: body_mass_g"]
PLACES += ["threshold: 350", "type: t", "volume_gb: 1", "time_limit: 1m", "spot: true", "default_model: promoted"]
PLACES += ["when: each", "subnets: x", "kms_key: k", "presets: p", "environment: {}"]
FULL = """\
  default_model: promoted
  when: each
train:
  presets: p
  time_limit: 1m
  spot: true
  environment: {}
  instance:
    type: t
    volume_gb: 1
network:
  subnets: x
encryption:
  kms_key: k
"""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("written", ["${SECRET}", '"${SECRET}"', "a${SECRET}", "s3://${SECRET}/b"])
@pytest.mark.parametrize("secret", [SECRET, "hunter two", "0123", "1e5", "1h30m", "x" * 80])
def test_the_value_of_a_variable_is_never_shown(place: str, written: str, secret: str) -> None:
    text = (TEXT + FULL).replace(place, f"{place.split(':')[0]}: {written}", 1)
    for line in problems(text, SECRET=secret):
        assert secret not in line
        assert secret[:50] not in line


# Environments


def test_an_environment_merges_mappings_and_replaces_everything_else() -> None:
    text = TEXT + "tags: {a: x, b: x}\nenvironments: {prod: {tags: {b: z}, notify: [ops@example.com]}}\n"
    base, prod = read(text).config, read(text, "prod").config
    assert (base.tags, base.notify, base.environment) == ({"a": "x", "b": "x"}, ["ml-team@example.com"], None)
    assert (prod.tags, prod.notify, prod.environment) == ({"a": "x", "b": "z"}, ["ops@example.com"], "prod")


def test_what_all_environments_give_need_not_stand_outside() -> None:
    text = TEXT.replace("name: penguins\n", "") + "environments: {prod: {name: penguins}}\n"
    assert read(text, "prod").config.name == "penguins"
    missing = "this key is missing (names the state machine, buckets, roles and jobs)"
    assert problems(text) == [f"config.yml:1:1: name: {missing}"]


def test_what_only_a_deployment_needs_has_defaults_for_local_runs() -> None:
    text = TEXT.replace("account: 123456789012\n", "").replace("region: ap-northeast-1\n", "")
    text = re.sub("notify: .*\n", "", text) + "environments: {prod: {account: 210987654321}}\n"
    config = read(text).config
    assert (config.account, config.region, config.notify) == ("123456789012", "us-east-1", ["you@example.com"])
    with pytest.raises(ConfigError) as error:
        loads(text, "config.yml", "prod", {}, to_deploy=True)
    assert [problem.key for problem in error.value.problems] == ["notify", "region"]


def test_an_environment_that_is_not_chosen_is_checked_too_and_once() -> None:
    text = TEXT + "environments:\n  dev: {}\n  prod: {train: {time_limit: 5}}\n"
    address, message = "config.yml:12:30: environments.prod.train.time_limit", "5 has no unit"
    expected = f"{address}: {message} (write 5s for seconds, or 5m for minutes)"
    assert problems(text) == problems(text, "dev") == problems(text, "prod") == [expected]


# Models


def test_each_model_has_the_top_level_train_under_its_own() -> None:
    text = TEXT.replace("fallback", "    train: {instance: {volume_gb: 9}}\nfallback")
    train = read(text + "train: {spot: true, instance: {type: ml.m5.large}}\n").config.models[0].train
    assert (train.spot, train.instance.type, train.instance.volume_gb) == (True, "ml.m5.large", 9)


def test_generated_models_are_one_for_each_value_and_named_after_it() -> None:
    models = read(GENERATED).config.models
    assert [model.name for model in models] == ["Biscoe", "Ile-d-Or", "7", "true", "value-68c77e"]
    assert [model.where["island"] for model in models] == ["Biscoe", "Île d'Or", 7, True, "北京"]
    assert {(model.label, model.threshold) for model in models} == {("body_mass_g", 300)}


def test_an_environment_can_list_other_values_for_generated_models() -> None:
    config = read(GENERATED + "environments: {dev: {models: {values: [Dream]}}}\n", "dev").config
    assert [(model.name, model.label) for model in config.models] == [("Dream", "body_mass_g")]


FOUND = """\
name: shop
models: {partition_by: Filiale Nr., label: sales, min_rows: 50, otherwise: shared, train: {time_limit: 30s}}
fan_out: {models_per_job: 25}
"""


def test_without_values_the_config_has_one_model_the_template_of_those_found_in_the_data() -> None:
    config = read(FOUND).config
    assert [(model.name, model.label, model.where) for model in config.models] == [("Filiale-Nr", "sales", {})]
    assert config.partitioned == Partitioned(column="Filiale Nr.", min_rows=50, otherwise="shared")
    assert (config.fan_out.models_per_job, config.fan_out.jobs_at_once) == (25, 20)
    assert config.models[0].train.time_limit == 30


def test_the_jobs_read_how_values_are_found_and_shared_but_not_how_many_jobs_run_at_once() -> None:
    told = json.loads(Names(read(FOUND).config).config_json)
    assert told["partitioned"] == {"column": "Filiale Nr.", "min_rows": 50, "otherwise": "shared"}
    assert told["fan_out"] == {"models_per_job": 25}
    assert [model["name"] for model in told["models"]] == ["Filiale-Nr"]
    assert Names(read(TEXT).config).config_json.count("fan_out") == 0


def test_an_environment_may_list_values_in_place_of_those_in_the_data() -> None:
    text = FOUND.replace("min_rows: 50, otherwise: shared, ", "").replace("fan_out: {models_per_job: 25}\n", "")
    overlay = "environments: {dev: {models: {values: [7, 8]}}}\n"
    assert [model.name for model in read(text + overlay, "dev").config.models] == ["7", "8"]
    assert read(text + overlay).config.partitioned == Partitioned(column="Filiale Nr.")


# Places


def test_a_place_is_that_of_the_value_or_of_the_nearest_parent_in_the_file() -> None:
    source = read(TEXT).source
    assert source.place("models[0].label") == Place(7, 12)
    assert source.place("models[0].train.spot") == Place(6, 5)
    assert source.place("retries.quota") == Place(1, 1)
    assert source.problem("retries.quota", "x").line("f") == "f:1:1: retries.quota: x"


def test_a_value_from_elsewhere_is_named_where_the_user_wrote_it() -> None:
    text = TEXT + "train: {spot: true}\nenvironments: {prod: {train: {spot: false}, models: [{name: a, label: b}]}}\n"
    assert read(text).source.origin("models[0].train.spot") == "train.spot"
    prod = read(text, "prod").source
    assert prod.origin("models[0].train.spot") == "environments.prod.train.spot"
    assert prod.problem("models[0].label", "x").line("f") == "f:11:71: environments.prod.models[0].label: x"


def test_reading_needs_neither_boto_nor_the_sdks() -> None:
    code = "import sys, stepgluon.config.reader; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    heavy = ("boto3", "botocore", "sagemaker", "stepfunctions", "pandas", "moto", "jsonschema")
    command = [sys.executable, "-c", code.replace("{heavy}", repr(heavy))]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


# Metrics


LIMITED = """
name: shop
models:
  - {name: price, label: price, where: {kind: flat}, at_most: 350}
  - {name: cost, label: price, where: {kind: house}, metric: rmse, threshold: 20}
  - {name: loss, label: lost, metric: log_loss, at_most: 0.5}
  - {name: churn, label: left, metric: roc_auc, at_least: 0.8}
  - {name: free, label: color, metric: accuracy}
  - {name: usual, label: size}
fallback: {threshold: 400}
"""


def test_each_metric_is_limited_in_its_direction_and_those_of_fallback_are_of_mae() -> None:
    config = read(LIMITED).config
    limits = [("threshold", 350), ("at_most", 20), ("at_most", 0.5), ("at_least", 0.8), None, ("threshold", 400)]
    assert [config.limit_of(model) for model in config.models] == limits


def test_a_config_without_metrics_keeps_its_address() -> None:
    given = TEXT.replace("body_mass_g\n", "body_mass_g\n    metric: mae\n")
    plain, given = (Names(read(text).config).config_json for text in (TEXT, given))
    assert plain == given
    assert not {"metric", "at_most", "at_least"} & {key for model in json.loads(plain)["models"] for key in model}


@pytest.mark.parametrize(
    ("label", "unit"),
    [
        *[("body_mass_g", "g"), ("price_usd", "USD"), ("PRICE_EUR", "EUR"), ("energy_kwh", "kWh"), ("Temp (°C)", "°C")],
        *[("duration [min]", "min"), ("Preis ( € ) ", "€"), ("speed (km/h)", "km/h")],
        *[
            ("temp_min", ""),
            ("price_m", ""),
            ("Price (net)", ""),
            ("share (%)", ""),
            ("g", ""),
            ("_g", ""),
            ("mug", ""),
        ],
    ],
)
def test_a_labels_unit_is_known_only_where_its_name_is_clear(label: str, unit: str) -> None:
    assert unit_of(label) == unit
