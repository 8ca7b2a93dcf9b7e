"""Where an address lies: what shipping rules may name. Pure.

`jeju` and `islands` are postal codes of five digits that Korean carriers commonly charge more for; carriers differ, so
ask yours and name other codes where it has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

KR_REGIONS: Mapping[str, str] = {
    "jeju": "63000-63644",
    "islands": (
        "22386-22388 23004-23010 23100-23116 23124-23136 31708-31711 32133 33411 40200-40240 46768-46771 52570-52571 "
        "53031-53033 53089-53104 54000 56347-56349 57069 58760-58762 58800-58810 58816-58818 58826 58832 58839-58841 "
        "58843-58866 58953-58958 59102-59103 59127 59129 59137-59170 59650 59766 59781-59790"
    ),
}
US_STATES: Mapping[str, str] = {
    "AL": "alabama",
    "AK": "alaska",
    "AZ": "arizona",
    "AR": "arkansas",
    "CA": "california",
    "CO": "colorado",
    "CT": "connecticut",
    "DE": "delaware",
    "DC": "district of columbia",
    "FL": "florida",
    "GA": "georgia",
    "HI": "hawaii",
    "ID": "idaho",
    "IL": "illinois",
    "IN": "indiana",
    "IA": "iowa",
    "KS": "kansas",
    "KY": "kentucky",
    "LA": "louisiana",
    "ME": "maine",
    "MD": "maryland",
    "MA": "massachusetts",
    "MI": "michigan",
    "MN": "minnesota",
    "MS": "mississippi",
    "MO": "missouri",
    "MT": "montana",
    "NE": "nebraska",
    "NV": "nevada",
    "NH": "new hampshire",
    "NJ": "new jersey",
    "NM": "new mexico",
    "NY": "new york",
    "NC": "north carolina",
    "ND": "north dakota",
    "OH": "ohio",
    "OK": "oklahoma",
    "OR": "oregon",
    "PA": "pennsylvania",
    "RI": "rhode island",
    "SC": "south carolina",
    "SD": "south dakota",
    "TN": "tennessee",
    "TX": "texas",
    "UT": "utah",
    "VT": "vermont",
    "VA": "virginia",
    "WA": "washington",
    "WV": "west virginia",
    "WI": "wisconsin",
    "WY": "wyoming",
    "AS": "american samoa",
    "GU": "guam",
    "MP": "northern mariana islands",
    "PR": "puerto rico",
    "VI": "virgin islands",
}
_FAR_STATES = (
    ("00801", "00851", "VI"),
    ("00600", "00988", "PR"),
    ("96799", "96799", "AS"),
    ("96701", "96898", "HI"),
    ("96910", "96932", "GU"),
    ("96950", "96952", "MP"),
    ("99501", "99950", "AK"),
)
"""ZIP codes of what lies off the mainland: there the code decides, whatever state was written."""
_COUNTRIES: Mapping[str, str] = {
    "대한민국": "KR",
    "한국": "KR",
    "KOREA": "KR",
    "SOUTH KOREA": "KR",
    "REPUBLIC OF KOREA": "KR",
    "미국": "US",
    "USA": "US",
    "UNITED STATES": "US",
    "UNITED STATES OF AMERICA": "US",
}
_CODE = re.compile(r"[0-9]{5}(-[0-9]{5})?")
_STATE = re.compile(r"[A-Z]{2}")


@attrs.frozen
class Place:
    """Of an address: `country` as two letters, `postal_code` as its first five digits ("" without), `state` of the US
    as two letters ("" elsewhere)."""

    country: str
    postal_code: str
    state: str


def place_of(address: Mapping[str, Any], default_country: str) -> Place:
    """`default_country` is that of an address that names none."""
    named = " ".join(_text(address, "country").upper().split())
    country = _COUNTRIES.get(named, named) or default_country
    digits = re.sub(r"[^0-9]", "", _text(address, "postalCode", "zipCode", "zip"))
    postal_code = digits[:5] if len(digits) >= 5 else ""
    return Place(country, postal_code, _state(_text(address, "state"), postal_code) if country == "US" else "")


def _state(written: str, postal_code: str) -> str:
    for first, last, code in _FAR_STATES:
        if first <= postal_code <= last:
            return code
    name = " ".join(written.lower().split())
    return next((code for code, full in US_STATES.items() if full == name), name.upper())


def check_region(country: str, region: str) -> None:
    """ValueError where a rule cannot name this."""
    known = country == "KR" and region in KR_REGIONS
    state = country == "US" and _STATE.fullmatch(region) is not None and region in US_STATES
    if not (known or state or _CODE.fullmatch(region)):
        raise ValueError(f"{country} has no region {region}")


def lies_in(place: Place, country: str, region: str) -> bool:
    """`region` as `check_region` allows it: a name, a state, a postal code or a range of them."""
    if place.country != country:
        return False
    if country == "US" and region in US_STATES:
        return place.state == region
    ranges = KR_REGIONS.get(region, region) if country == "KR" else region
    return bool(place.postal_code) and any(_covers(one, place.postal_code) for one in ranges.split())


def _covers(codes: str, code: str) -> bool:
    first, _, last = codes.partition("-")
    return first <= code <= (last or first)


def _text(address: Mapping[str, Any], *names: str) -> str:
    return next((value.strip() for name in names if isinstance(value := address.get(name), str) and value.strip()), "")
