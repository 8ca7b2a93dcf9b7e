"""What shipping costs: flat, free from an amount of goods, and more for regions that the shop names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dorami_core.hooks import Money
from dorami_orders.api import ShopInfo, Surcharge
from dorami_orders.regions import check_region, lies_in, place_of

_RULE = re.compile(r"([A-Z]{2}) ([^ ]+) ([0-9]+(?:\.[0-9]+)?)")


def fee_of(text: str, currency: str) -> Money:
    """An amount as Money; decimals that are all zeros pass for a currency without them. ValueError."""
    whole, _, decimals = text.partition(".")
    if "." not in str(Money(0, currency)) and not decimals.strip("0"):
        return Money.parse(whole, currency)
    return Money.parse(text, currency)


def check_rules(rules: Sequence[str]) -> None:
    """ValueError that says what a rule has to look like."""
    for rule in rules:
        found = _RULE.fullmatch(rule)
        if found is None:
            raise ValueError(f"{rule!r}: must be country, regions and amount, as in 'US AK,HI 10.00'")
        for region in found[2].split(","):
            check_region(found[1], region)


def surcharges_of(rules: Sequence[str], currency: str) -> list[Surcharge]:
    """Of rules that `check_rules` let pass. ValueError where an amount is none of this currency."""
    split = [rule.split(" ") for rule in rules]
    return [
        Surcharge(country=country, regions=regions.split(","), amount=fee_of(amount, currency))
        for country, regions, amount in split
    ]


def shipping_fee(info: ShopInfo, subtotal: Money, address: Mapping[str, Any]) -> Money:
    """Of an order that no broadcast ships free. The first surcharge that fits is added, also to goods that ship free
    for their amount."""
    free = info.free_shipping_from is not None and subtotal.minor >= info.free_shipping_from.minor
    fee = Money(0, subtotal.currency) if free else info.shipping_fee
    place = place_of(address, info.country)
    for one in info.surcharges:
        if any(lies_in(place, one.country, region) for region in one.regions):
            return fee + one.amount
    return fee
