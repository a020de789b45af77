"""The result of a check, as a line of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from stepgluon import __version__
from stepgluon.aws import NO_SUCH_API, Denied, code_of, passes, refusal
from stepgluon.deploy.stacks import StackBusy
from stepgluon.errors import StepgluonError, SurroundingsError

if TYPE_CHECKING:
    from stepgluon.names import Names

RIGHTS = "ask for the permissions in policy/deployer.json"


@dataclass(frozen=True)
class Check:
    name: str
    outcome: Literal["passed", "failed", "not checked"]
    sentence: str
    way_out: str = ""

    def line(self, account: str) -> str:
        """A line without the account's number, for a report that may be pasted anywhere."""
        return f"{self.outcome:<11}  {self.name}: {self.words()}\n".replace(account, "ACCOUNT")

    def words(self) -> str:
        return f"{self.sentence} ({self.way_out})" if self.way_out else self.sentence


def heading(names: Names) -> str:
    import botocore

    region = names.config.region
    return f"stepgluon {__version__}, botocore {botocore.__version__}: {names.prefix} in ACCOUNT, {region}\n"


def last_words(made: list[Check]) -> str:
    """The number of checks by outcome, and the first thing to fix."""
    counts = Counter(check.outcome for check in made)
    failed = next((check for check in made if check.outcome == "failed"), None)
    first = f"Mend first: {failed.name}: {failed.words()}\n" if failed else ""
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['not checked']} not checked\n{first}"


def answered(name: str, check: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The check's results, or why it could not be made."""
    from botocore.exceptions import ClientError

    try:
        yield from check()
    except ClientError as error:
        yield _unanswered(name, error)
    except (Denied, StackBusy) as error:
        yield Check(name, "not checked", str(error))
    except StepgluonError as error:
        yield Check(name, "failed", str(error))


def _unanswered(name: str, error: Any) -> Check:
    operation, ours = error.operation_name, refusal(error)
    if isinstance(ours, Denied):
        return Check(name, "not checked", f"may not call {operation}", RIGHTS)
    if code_of(error) in NO_SUCH_API:
        return Check(name, "not checked", f"the endpoint does not answer {operation}")
    if passes(error):
        return Check(name, "not checked", str(ours))
    if isinstance(ours, SurroundingsError):
        raise ours  # credentials, clock or region: no other check can be made either
    return Check(name, "failed", str(ours))
