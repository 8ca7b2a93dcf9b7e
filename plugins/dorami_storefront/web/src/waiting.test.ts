import { describe, expect, it } from "vitest";
import { availableFor, canBuy, Catalog, type Product, refusal } from "./catalog";
import { type Place, Waiting } from "./waiting";

const knit: Product = {
  id: "knit", version: 1, name: "knit", price: "10.00", finalPrice: "10.00", currency: "USD", discountRate: 0, available: 3,
  waiting: 1, status: "AVAILABLE", imageUrl: null, colorOptions: [], sizeOptions: ["S", "M"], sortOrder: 0, createdAt: "2026-01-01T00:00:00Z",
  variants: [{ color: null, size: "S", available: 2, waiting: 1 }, { color: null, size: "M", available: 1, waiting: 0 }],
};

function place(id: string, changes: Partial<Place> = {}): Place {
  return {
    id, productId: "knit", productName: "knit", color: null, size: "S", quantity: 1, status: "WAITING", position: 4,
    promotedQuantity: null, expiresAt: null, serverTime: "2026-01-01T00:00:10Z", ...changes,
  };
}

const AT = Date.parse("2026-01-01T00:01:00Z");

describe("places in queues", () => {
  it("belong to a choice", () => {
    const waiting = new Waiting();
    waiting.put(place("a"));
    expect(waiting.find(knit, null, "S", AT)?.id).toBe("a");
    expect(waiting.find(knit, null, "M", AT)).toBeUndefined();
    expect(waiting.find({ ...knit, variants: [] }, "red", null, AT)?.id).toBe("a");
    expect(waiting.of({ ...knit, id: "other" }, AT)).toBeUndefined();
  });
  it("keep what is newer", () => {
    const waiting = new Waiting();
    expect(waiting.put(place("a", { position: 2 }))).toBe(true);
    expect(waiting.put(place("a", { position: 3, serverTime: "2026-01-01T00:00:09Z" }))).toBe(false);
    expect(waiting.of(knit, AT)?.position).toBe(2);
  });
  it("end", () => {
    const waiting = new Waiting();
    const turn = { status: "PROMOTED", position: null, expiresAt: "2026-01-01T00:01:01Z" } as const;
    waiting.put(place("a", turn));
    expect(waiting.turn(AT)?.id).toBe("a");
    expect(waiting.turn(AT + 1000)).toBeUndefined();
    waiting.put(place("a", { ...turn, status: "EXPIRED" }));
    expect(waiting.turn(AT)).toBeUndefined();
    waiting.put(place("b"));
    waiting.reset([]);
    expect(waiting.of(knit, AT)).toBeUndefined();
  });
  it("of two the turn that has come, and of two turns the one that ends first", () => {
    const waiting = new Waiting();
    waiting.put(place("far"));
    waiting.put(place("now", { size: "M", status: "PROMOTED", position: null, expiresAt: "2026-01-01T00:05:00Z" }));
    expect(waiting.of(knit, AT)?.id).toBe("now");
    waiting.put(place("sooner", { productId: "x", status: "PROMOTED", expiresAt: "2026-01-01T00:03:00Z" }));
    expect(waiting.turn(AT)?.id).toBe("sooner");
  });
});

describe("units that others wait for", () => {
  it("are not for sale", () => {
    expect(availableFor(knit, null, "S")).toBe(0);
    expect(availableFor(knit, null, "M")).toBe(1);
    expect(refusal(knit, null, "S")).toBe("soldOut");
    expect(canBuy(knit)).toBe(true);
    expect(canBuy({ ...knit, variants: [], waiting: 1 })).toBe(false);
  });
});

describe("numbers for the chat", () => {
  it("follow the seller's order, whatever is sold out or pinned", () => {
    const catalog = new Catalog();
    catalog.reset([{ ...knit, id: "b", sortOrder: 2 }, { ...knit, id: "a", sortOrder: 1, status: "SOLD_OUT" }], "b");
    expect([catalog.number("a"), catalog.number("b"), catalog.number("gone")]).toEqual([1, 2, 0]);
  });
});
