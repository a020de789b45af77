"""Durations in the config's notation: `90s`, `10m`, `1h`."""

from __future__ import annotations

import re

DURATION = r"^[1-9][0-9]{0,6}(s|m|h)$"
LIKE = "90s, 10m or 1h is expected"
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_UNITS = (("d(?:ays?)?", 86400), ("h(?:ours?|rs?)?", 3600), ("m(?:in(?:ute)?s?)?", 60), ("s(?:ec(?:ond)?s?)?", 1))
_MEANT = re.compile(r"\s*".join(f"(?:([0-9]{{1,7}})\\s*{unit})?" for unit, _ in _UNITS), re.IGNORECASE)


def as_duration(seconds: int) -> str:
    """3600 -> 1h, 5400 -> 90m: the notation of the file."""
    unit, length = next((unit, length) for unit, length in _SECONDS.items() if seconds % length == 0)
    return f"{seconds // length}{unit}"


def seconds(written: object, most: int) -> int:
    """The number of seconds, from 1 to `most`; raises ValueError with {} as placeholder for the written value."""
    if isinstance(written, int) and not isinstance(written, bool) and 0 < written <= most // 60:
        raise ValueError(f"{{}} has no unit (write {written}s for seconds, or {written}m for minutes)")
    if not isinstance(written, str):
        raise ValueError(f"{{}} is not a duration ({LIKE})")
    if match := re.fullmatch(r"([0-9]{1,40})([smh])", written):
        length = int(match[1]) * _SECONDS[match[2]]
        if length == 0:
            raise ValueError(f"{{}} is too short (1s to {as_duration(most)} is expected)")
        if length > most:
            raise ValueError(f"{{}} is too long (1s to {as_duration(most)} is expected)")
        if re.fullmatch(DURATION, written):
            return length
    raise ValueError(f"{{}} is not a duration ({_way_out(written, most)})")


def _way_out(written: str, most: int) -> str:
    match = _MEANT.fullmatch(written.strip())
    length = sum(int(part or 0) * size for part, (_, size) in zip(match.groups(), _UNITS, strict=True)) if match else 0
    if length > most:
        return f"1s to {as_duration(most)} is expected"
    return f"write {as_duration(length)}" if length else LIKE
