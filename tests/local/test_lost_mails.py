"""A failure is mailed, or its event is in the dead-letter queue with the alarm, or on disk for the next server."""

from __future__ import annotations

import json
from pathlib import Path

from local_aws import MINUTES, until
from small_machines import MACHINE, Place, a_place, letters
from whole import whole


def test_a_run_that_takes_too_long_is_one_mail(tmp_path: Path) -> None:
    machine = json.loads(MACHINE) | {"TimeoutSeconds": 1}
    with whole(tmp_path / "work", json.dumps(machine), waiting=1.0) as it:
        place = Place(it)
        place.ended(place.start("slow-1", "Waits"))
        ((subject, text),) = place.mails("slow-1")
    assert subject == "penguins slow-1: took too long"
    assert text.startswith(
        "The run took longer than a run may.\n\nRun slow-1 of the pipeline penguins was ended in Waits"
    )


def test_without_a_topic_the_event_is_in_the_dead_letter_queue_and_its_alarm_is_raised(tmp_path: Path) -> None:
    from moto.cloudwatch.models import cloudwatch_backends

    with a_place(tmp_path / "work") as place:
        place.client("sns").delete_topic(TopicArn=place.names.topic_arn)
        place.ended(place.start("lost-1", "Fails"))
        (letter,) = place.in_queue()
        settings = place.it.place.aws.settings
        alarm = cloudwatch_backends[settings.account][settings.region].alarms[place.names.alarm]
        assert json.loads(letter["Body"])["detail"]["name"] == "lost-1"
        assert alarm.state_value == "ALARM"
        assert place.mails("lost-1") == []


def test_a_server_that_is_stopped_with_a_run_in_it_mails_before_it_goes(tmp_path: Path) -> None:
    with a_place(tmp_path / "work") as place:
        arn = place.start("left-1", "Waits")
        until(lambda: len(place.steps.get_execution_history(executionArn=arn)["events"]) >= 4)
    ((subject, text),) = [mail for mail in letters(tmp_path / "work" / "outbox") if "left-1" in mail[0]]
    assert subject == "penguins left-1: stopped" and text.startswith("The local AWS was stopped.\n")


def test_after_kill_9_between_end_and_mail_the_next_server_mails_once(tmp_path: Path) -> None:
    """The child dies as soon as the event is on disk, before the function has it."""
    import subprocess
    import sys

    work = tmp_path / "work"
    child = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from small_machines import a_place
with a_place(Path({str(work)!r})) as place:
    kept = place.functions.pending.keep
    def keep(arn, event):
        kept(arn, event)
        os.kill(os.getpid(), signal.SIGKILL)
    place.functions.pending.keep = keep
    place.ended(place.start("killed-1", "Fails"))
"""
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode == -9
    assert letters(work / "outbox") == []
    for _ in range(2):
        with a_place(work) as place:
            place.functions.deliver_left(place.names.tell_function)
            for begun in place.it.place.journal.cut_off():
                place.it.place.go_on(begun)
                place.ended(begun.arn)
            assert place.functions.drain(MINUTES, place.names.tell_function)
        ((subject, text),) = letters(work / "outbox")
        assert subject == "penguins killed-1: failed" and text.startswith("The input is odd.\n")
