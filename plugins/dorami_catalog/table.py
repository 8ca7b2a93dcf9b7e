"""Products as a table that was pasted from a spreadsheet, or a CSV file. Pure.

The first line names the columns, in Korean or English, in any order. Lines with the same name, one after another, are
the colours and sizes of one product; what belongs to the product is read from its first line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from dorami_catalog.model import MAX_UNITS, NewProduct
from dorami_core.hooks import DoramiError, from_json, invalid

MAX_PRODUCTS = 200
MAX_LINES = 2000
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "상품명", "이름"),
    "price": ("price", "가격"),
    "quantity": ("quantity", "수량", "재고"),
    "color": ("color", "색상"),
    "size": ("size", "사이즈"),
    "discountRate": ("discountrate", "할인율"),
    "imageUrl": ("imageurl", "사진", "이미지"),
    "sortOrder": ("sortorder", "순서"),
    "maxPerBuyer": ("maxperbuyer", "구매제한"),
}
_NEEDED = ("name", "price", "quantity")


def read(text: str, stream_key: str | None) -> list[NewProduct]:
    """VALIDATION_FAILED with the line as the field (`line 3`) where something is wrong."""
    lines = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=_delimiter(text))]
    if len(lines) > MAX_LINES:
        raise invalid("csv", f"has more than {MAX_LINES} lines")
    columns = _columns(lines[0] if lines else [])
    groups: list[tuple[int, list[dict[str, str]]]] = []
    for number, row in enumerate(lines[1:], start=2):
        cells = {name: row[at].strip() for name, at in columns.items() if at < len(row) and row[at].strip()}
        if not cells:
            continue
        if not cells.get("name"):
            raise invalid(f"line {number}", "has no name")
        if groups and groups[-1][1][0]["name"] == cells["name"]:
            groups[-1][1].append(cells)
        else:
            groups.append((number, [cells]))
    if not groups:
        raise invalid("csv", "has no products")
    if len(groups) > MAX_PRODUCTS:
        raise invalid("csv", f"has more than {MAX_PRODUCTS} products")
    return [_product(number, rows, stream_key) for number, rows in groups]


def _delimiter(text: str) -> str:
    return "\t" if "\t" in text.partition("\n")[0] else ","


def _columns(head: list[str]) -> dict[str, int]:
    known = {alias: name for name, aliases in COLUMNS.items() for alias in aliases}
    found: dict[str, int] = {}
    for at, title in enumerate(head):
        name = known.get(title.strip().replace("_", "").replace(" ", "").casefold())
        if name is None:
            raise invalid("line 1", f"there is no column {title.strip()[:50]}")
        if name in found:
            raise invalid("line 1", f"has the column {title.strip()[:50]} twice")
        found[name] = at
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise invalid("line 1", f"needs the columns {', '.join(missing)}")
    return found


def _product(number: int, rows: list[dict[str, str]], stream_key: str | None) -> NewProduct:
    first = rows[0]
    body: dict[str, object] = {"name": first["name"], "price": first.get("price", "").replace(",", "")}
    body |= {"streamKey": stream_key, "imageUrl": first.get("imageUrl")}
    for name in ("discountRate", "sortOrder", "maxPerBuyer"):
        if name in first:
            body[name] = _number(number, name, first[name].removesuffix("%"))
    is_plain = len(rows) == 1 and "color" not in first and "size" not in first
    quantities = [_number(number + at, "quantity", row.get("quantity", "0")) for at, row in enumerate(rows)]
    try:
        if is_plain:
            return from_json({**body, "quantity": quantities[0]}, NewProduct)
        variants = [
            {"color": row.get("color"), "size": row.get("size"), "quantity": quantity}
            for row, quantity in zip(rows, quantities, strict=True)
        ]
        return from_json({**body, "variants": variants}, NewProduct)
    except DoramiError as error:
        problem = error.details["fields"][0]
        raise invalid(f"line {number}", f"{problem['field']}: {problem['problem']}") from None


def _number(line: int, name: str, text: str) -> int:
    plain = text.replace(",", "").strip()
    if not (plain.removeprefix("-").isascii() and plain.removeprefix("-").isdigit()) or len(plain) > 8:
        raise invalid(f"line {line}", f"{name}: must be a whole number up to {MAX_UNITS}")
    return int(plain)
