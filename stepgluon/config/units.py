"""The unit of a label, as far as its name says so: body_mass_g, price_usd, `Temp (°C)`, `duration [min]`."""

from __future__ import annotations

import re

# In brackets a unit is clear. % is left out: `error 3 %` would be read as a share of the value.
_IN_BRACKETS = re.compile(
    r"[(\[]\s*(µg|mg|g|kg|t|mm|cm|m|km|in|ft|mi|ms|s|min|h|d|°C|°F|K|ml|mL|l|L|m²|km²|ha|m³|m/s|km/h|mph|mV|V|mA|A"
    r"|mW|W|kW|MW|Wh|kWh|MWh|J|kJ|MJ|N|Pa|hPa|kPa|bar|Hz|kHz|MHz|GHz|kB|MB|GB|ppm|ppb"
    r"|\$|€|£|¥|USD|EUR|GBP|JPY|CHF|CNY|CAD|AUD|INR|KRW)\s*[)\]]\s*$"
)
# At the end of a name, m, s, c, h or min also have other meanings.
_ENDINGS = "g kg mg mm cm km ms ml ppm ppb kW kWh MWh hPa kPa USD EUR GBP JPY CHF CNY"
_BY_ENDING = {f"_{unit.lower()}": unit for unit in _ENDINGS.split()}


def unit_of(label: str) -> str:
    """The unit in the label's name; empty without one."""
    if found := _IN_BRACKETS.search(label):
        return found[1]
    name, separator, ending = label.rpartition("_")
    return _BY_ENDING.get(separator + ending.lower(), "") if name else ""
