"""Products from a table, and one change of many."""

from __future__ import annotations

from typing import Any

import pytest
from dorami_catalog.model import ProductPatch
from dorami_catalog.table import read

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import new_uuid

SHEET = """상품명\t가격\t수량\t색상\t사이즈\t할인율
울 니트\t39.00\t3\t블랙\tS\t20%
울 니트\t\t2\t블랙\tM
머그\t"1,018.50"\t1,000

"""


def test_what_was_pasted_from_a_spreadsheet() -> None:
    knit, mug = read(SHEET, "live-show")
    assert (knit.name, knit.price, knit.discount_rate, knit.quantity, knit.stream_key) == (
        "울 니트",
        "39.00",
        20,
        None,
        "live-show",
    )
    assert knit.variants is not None
    assert [(one.color, one.size, one.quantity) for one in knit.variants] == [("블랙", "S", 3), ("블랙", "M", 2)]
    assert (mug.price, mug.quantity, mug.variants) == ("1018.50", 1000, None)


def test_csv_with_a_mark_and_columns_in_any_order() -> None:
    (one,) = read('\ufeffquantity,sort_order,Name,price,maxPerBuyer\r\n5,2,"Bag, big",12.50,3\r\n', None)
    assert (one.name, one.price, one.quantity, one.sort_order, one.stream_key) == ("Bag, big", "12.50", 5, 2, None)
    assert one.max_per_buyer == 3


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "line 1"),
        ("name,price\na,1.00", "line 1"),
        ("name,price,quantity,weight\n", "line 1"),
        ("name,name,price,quantity\n", "line 1"),
        ("name,price,quantity\n", "csv"),
        ("name,price,quantity\na,1.00,x", "line 2"),
        ("name,price,quantity\na,1.00,1\n,2.00,1", "line 3"),
        ("name,price,quantity\na,1.00,-1", "line 2"),
        ("name,price,quantity,color\na,1.00,1,red\na,,1,red", "line 2"),
        ("name,price,quantity,color\na,1.00,1,\na,,1,", "line 2"),
        ("name,price,quantity,discountRate\na,1.00,1,101", "line 2"),
        ("name,price,quantity\n" + "".join(f"a{n},1.00,1\n" for n in range(201)), "csv"),
    ],
)
def test_what_is_wrong_is_said_by_line(text: str, field: str) -> None:
    with pytest.raises(DoramiError) as caught:
        read(text, None)
    assert caught.value.code == "VALIDATION_FAILED"
    assert caught.value.details["fields"][0]["field"] == field


async def test_all_or_none_is_made(selling: Any) -> None:
    made = await selling.catalog.create_many(read(SHEET, "live-show"))
    assert [product.name for product in made] == ["울 니트", "머그"]
    with pytest.raises(DoramiError):
        await selling.catalog.create_many(read("name,price,quantity\nfine,1.00,1\nbad,1.001,1", "live-show"))
    assert len(await selling.catalog.list_for_stream("live-show")) == 2


async def test_all_or_none_is_changed(selling: Any) -> None:
    products = [await selling.product(5) for _ in range(3)]
    ids = [product.id for product in products]
    changed = await selling.catalog.change_many(ids, ProductPatch(discount_rate=10))
    assert [(one.id, str(one.final_price)) for one in changed] == [(product_id, "9.00") for product_id in ids]
    with pytest.raises(DoramiError) as caught:
        await selling.catalog.change_many([*ids, new_uuid()], ProductPatch(discount_rate=50))
    assert caught.value.code == "PRODUCT_NOT_FOUND"
    assert {one.discount_rate for one in await selling.catalog.list_for_stream("live-show")} == {10}
