"""Runs as Python objects, for notebooks and scripts: `from stepgluon import Run`.

Runs are found as on the command line: in the work folder, then in the account. Files are downloaded on use, to
WORK/fetched/RUN/; pandas and AutoGluon are imported on use.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.advice import CONFIG, WORK, as_given
from stepgluon.aws import Aws, one_sentence, there_are_credentials
from stepgluon.config.load import load
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import StepgluonError
from stepgluon.local.work_folder import all_runs, buckets_of, find_run, of_others
from stepgluon.names import Names
from stepgluon.runs.executions import LATEST, one, tell, unknown_run
from stepgluon.runs.fetch import NothingToFetch, download, model_address
from stepgluon.runs.history import metric_of, score_of
from stepgluon.runs.view import panel
from stepgluon.runs.watch import story_of

if TYPE_CHECKING:
    import pandas

REPORT, PREDICTIONS = "report.html", "predictions.parquet"


@dataclass(frozen=True)
class Model:
    name: str
    mae: float | None
    mae_of_median: float | None  # the error of always guessing the median
    threshold: float | None
    verdict: str
    uses: str  # trained, default or nothing
    reason: str
    cached: bool
    metric: str
    score: float | None  # by the metric


_FIELDS = Model.__dataclass_fields__.keys() - {"metric", "score"}


class Run:
    def __init__(
        self,
        name: str,
        *,
        config: str | os.PathLike[str] = CONFIG,
        env: str | None = None,
        work: str | os.PathLike[str] = WORK,
        aws: bool = False,
    ) -> None:
        """A run by its name, the beginning of it, or `latest`; `aws` skips the work folder."""
        self._config, self._env, self._work = Path(config), env, Path(work)
        with as_given(self._config, env, self._work):
            found = None if aws else find_run(self._work, name, self._names)
            self._local = found is not None
            self.told: dict[str, Any] = found or self._in_account(name, aws)
        self.name: str = self.told["run"]

    @classmethod
    def latest(cls, **places: Any) -> Run:
        """The config's run that started last; `places` are config, env, work and aws."""
        return cls(LATEST, **places)

    @property
    def status(self) -> str:
        return str(self.told["status"])

    @property
    def models(self) -> list[Model]:
        return [
            Model(**{key: model.get(key) for key in _FIELDS}, metric=metric_of(model), score=score_of(model))
            for model in self.told["models"]
        ]

    def predictions(self) -> pandas.DataFrame:
        """All rows of the tables with their predictions, in the tables' order."""
        import pandas

        return pandas.read_parquet(self._result / PREDICTIONS)

    def leaderboard(self, model: str) -> pandas.DataFrame:
        """The models that AutoGluon tried for one of ours, best first."""
        import pandas

        return pandas.read_csv(self._autogluon(model) / "leaderboard.csv")

    def predictor(self, model: str) -> Any:
        """AutoGluon's TabularPredictor."""
        from autogluon.tabular import TabularPredictor

        return TabularPredictor.load(str(self._autogluon(model) / "predictor"))

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.status}>"

    def _repr_html_(self) -> str:
        """The report, in a frame so that its style stays its own; without one, the end of `show`."""
        report = self.told.get("report") if self._local else None  # also of a failed run, which has no result
        try:
            page = (Path(report) if report else self._result / REPORT).read_text("utf-8")
        except (OSError, NothingToFetch):
            return f"<pre>{html.escape(panel(self.told))}</pre>"
        return f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: 50em; border: 0"></iframe>'

    # Where the files are

    def _loaded(self) -> LoadedConfig:
        return load(self._config, self._env, os.environ)

    def _names(self) -> Names | None:
        """None without a valid config, which a local run does not need."""
        try:
            return Names(self._loaded().config)
        except StepgluonError:
            return None

    def _in_account(self, name: str, aws: bool) -> dict[str, Any]:
        if not aws and not there_are_credentials():
            runs, mine = all_runs(self._work), self._names()
            of = of_others(mine.prefix, runs) if runs and mine and name == LATEST else ""
            raise unknown_run(name, [told["run"] for told in runs], str(self._work), "runs", of)
        with self._door() as (door, names):
            execution = one(door, names, name)
            return tell(door, names, execution, story_of(door, execution.arn))

    @contextmanager
    def _door(self) -> Iterator[tuple[Aws, Names]]:
        names = Names(load(self._config, self._env, os.environ, to_deploy=True).config)
        with one_sentence():
            yield Aws(names.config.region), names

    @contextmanager
    def _s3(self) -> Iterator[Any]:
        if self._local:
            with buckets_of(self._loaded(), self._work) as s3:
                yield s3
        else:
            with self._door() as (door, _):
                yield door.client("s3")

    def _fetched(self, address: str, folder: str) -> Path:
        """The folder of S3 on this computer; downloaded once, and complete or absent."""
        to = self._work / "fetched" / self.name / folder
        if not to.exists():
            part = to.with_name(f".{to.name}.{os.getpid()}.part")
            with self._s3() as s3:
                if not download(s3, address, part):
                    raise NothingToFetch(f"{address} is empty")
            part.rename(to)
        return to

    @cached_property
    def _result(self) -> Path:
        if not self.told["results"]:
            raise NothingToFetch(f"{self.name} has no result")
        return Path(self.told["folder"]) if self._local else self._fetched(self.told["results"], "result")

    def _model(self, model: str) -> Path:
        return self._fetched(model_address(self.told, model), f"models/{model}")

    def _autogluon(self, model: str) -> Path:
        folder = self._model(model)
        if (folder / "program").is_dir():
            raise StepgluonError(f"AutoGluon did not train {model} (its files are in {folder})")
        return folder
