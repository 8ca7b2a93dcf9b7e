import { describe, expect, it } from "vitest";
import { pill } from "./cart";
import { availableFor, Catalog, type Product, refusal } from "./catalog";
import { type ChatMessage, ChatLog, MAX_LINES } from "./chatLog";
import { clockText, level, ServerClock } from "./countdown";
import { list, newProduct } from "./forms";
import { Kpi } from "./kpi";
import { Messages } from "./messages";
import { money } from "./money";

function product(id: string, changes: Partial<Product> = {}): Product {
  return {
    id, version: 1, name: id, price: "10.00", finalPrice: "10.00", currency: "USD", discountRate: 0, available: 5,
    status: "AVAILABLE", imageUrl: null, colorOptions: [], sizeOptions: [], variants: [], sortOrder: 0,
    createdAt: "2026-01-01T00:00:00Z", ...changes,
  };
}

function line(id: string, seq: number, changes: Partial<ChatMessage> = {}): ChatMessage {
  return {
    id, seq, epoch: "a", liveId: "demo", userId: "u", displayName: "n", message: id,
    timestamp: `2026-01-01T00:00:${String(seq).padStart(2, "0")}Z`, ...changes,
  };
}

describe("deadlines", () => {
  it.each([[0, "00:00"], [1, "00:01"], [521_000, "08:41"], [520_001, "08:41"], [3_600_000, "1:00:00"], [90_061_000, "1일 01:01:01"], [-5, "00:00"]])(
    "%d ms reads %s", (left, text) => expect(clockText(left, "일")).toBe(text));
  it.each([[0, "over"], [1, "urgent"], [29_999, "urgent"], [30_000, "soon"], [119_999, "soon"], [120_000, "calm"]])(
    "%d ms is %s", (left, expected) => expect(level(left)).toBe(expected));
  it("counts by the server's clock", () => {
    let local = 1000;
    const clock = new ServerClock(() => local);
    clock.learn(new Date(61_000).toISOString());
    local += 500;
    expect(clock.now()).toBe(61_500);
    clock.learn("nonsense");
    clock.learn(null);
    expect(clock.now()).toBe(61_500);
  });
});

describe("products", () => {
  it("takes only what is newer", () => {
    const catalog = new Catalog();
    catalog.reset([product("a", { version: 3 })], null);
    expect(catalog.put(product("a", { version: 3, available: 1 }))).toBe(false);
    expect(catalog.put(product("a", { version: 2, available: 1 }))).toBe(false);
    expect(catalog.put(product("a", { version: 4, available: 1 }))).toBe(true);
    expect(catalog.find("a")?.available).toBe(1);
  });
  it("does not bring back what was deleted", () => {
    const catalog = new Catalog();
    catalog.reset([product("a", { version: 3 })], null);
    expect(catalog.delete("a", 2)).toBe(false);
    expect(catalog.delete("a", 4)).toBe(true);
    expect(catalog.put(product("a", { version: 4 }))).toBe(false);
    expect(catalog.list()).toEqual([]);
  });
  it("drops what a snapshot no longer names, and keeps what it knows newer", () => {
    const catalog = new Catalog();
    catalog.reset([product("a"), product("b", { version: 9, available: 0 })], null);
    catalog.reset([product("b", { version: 8 })], null);
    expect(catalog.list().map((one) => [one.id, one.available])).toEqual([["b", 0]]);
  });
  it("shows the pinned one, else the first that can be bought", () => {
    const catalog = new Catalog();
    const all = [product("sold", { available: 0 }), product("late", { sortOrder: 2 }), product("first", { sortOrder: 1 })];
    catalog.reset(all, null);
    expect(catalog.current()?.id).toBe("first");
    catalog.reset(all, "sold");
    expect(catalog.list().map((one) => one.id)).toEqual(["sold", "first", "late"]);
  });
  it("counts what a choice has", () => {
    const knit = product("k", {
      colorOptions: ["red", "blue"], sizeOptions: ["S", "M"], available: 3,
      variants: [{ color: "red", size: "S", available: 0 }, { color: "red", size: "M", available: 2 }, { color: "blue", size: "S", available: 1 }],
    });
    expect(availableFor(knit, null, null)).toBe(3);
    expect(availableFor(knit, "red", null)).toBe(2);
    expect(availableFor(knit, "red", "S")).toBe(0);
    expect(refusal(knit, null, "M")).toBe("option");
    expect(refusal(knit, "red", "S")).toBe("soldOut");
    expect(refusal(knit, "red", "M")).toBeNull();
    expect(refusal({ ...knit, status: "SOLD_OUT" }, "red", "M")).toBe("soldOut");
  });
});

describe("chat", () => {
  it("keeps one line each, in order, whatever comes when", () => {
    const log = new ChatLog();
    log.add(line("c", 3));
    expect(log.merge([line("a", 1), line("b", 2), line("c", 3)])).toBe(2);
    expect(log.lines.map((one) => one.id)).toEqual(["a", "b", "c"]);
  });
  it("orders another epoch by time", () => {
    const log = new ChatLog();
    log.merge([line("a", 40), line("b", 41)]);
    log.add(line("c", 1, { epoch: "b", timestamp: "2026-01-01T00:01:00Z" }));
    expect(log.lines.map((one) => one.id)).toEqual(["a", "b", "c"]);
  });
  it("forgets what was deleted, also when history says it again", () => {
    const log = new ChatLog();
    log.add(line("a", 1));
    expect(log.remove("a")).toBe(true);
    expect(log.merge([line("a", 1)])).toBe(0);
  });
  it("is bounded", () => {
    const log = new ChatLog();
    for (let seq = 0; seq < MAX_LINES + 50; seq += 1) log.add(line(String(seq), seq));
    expect(log.lines).toHaveLength(MAX_LINES);
    expect(log.lines[0]?.id).toBe("50");
  });
});

describe("the pill", () => {
  it("names the nearest end of what is alive", () => {
    const at = (ms: number) => new Date(ms).toISOString();
    const item = (id: string, expiresAt: string | null) => ({ id, quantity: 1, expiresAt });
    expect(pill({ items: [] }, 0)).toEqual({ count: 0, until: null });
    expect(pill({ items: [item("a", at(5000)), item("b", at(9000)), item("c", null)] }, 6000)).toEqual({ count: 2, until: 9000 });
    expect(pill({ items: [item("c", null)] }, 6000)).toEqual({ count: 1, until: null });
  });
});

describe("kpi", () => {
  it("counts stalls after the first picture only, the running one included", () => {
    let now = 100;
    const kpi = new Kpi(() => now);
    kpi.stalled();
    now = 900;
    kpi.playing();
    expect([kpi.firstFrameMs, kpi.rebuffers, kpi.stallMs]).toEqual([800, 0, 0]);
    kpi.stalled();
    kpi.stalled();
    now = 1200;
    expect([kpi.rebuffers, kpi.stallMs]).toEqual([1, 300]);
    kpi.playing();
    now = 9000;
    expect(kpi.stallMs).toBe(300);
  });
});

describe("words and forms", () => {
  it.each([["12500", "KRW", "12,500원"], ["12.5", "USD", "$12.50"], ["1234567.00", "USD", "$1,234,567.00"], ["-3.00", "USD", "-$3.00"]])(
    "%s %s is %s", (amount, currency, text) => expect(money(amount, currency)).toBe(text));
  it("fills messages in and shows what it does not know", () => {
    const { t } = new Messages({ js_left: "{count}개 남음" });
    expect(t("js_left", { count: 3 })).toBe("3개 남음");
    expect(t("js_left")).toBe("{count}개 남음");
    expect(t("js_none")).toBe("js_none");
  });
  it("makes a product of a form, without what was left empty", () => {
    expect(list(" 블랙, 화이트,,블랙 ")).toEqual(["블랙", "화이트"]);
    const fields: Record<string, string> = { name: " 니트 ", price: "39.00", quantity: "10", colorOptions: "블랙", discountRate: "0" };
    expect(newProduct("demo", (name) => fields[name] ?? "")).toEqual({
      streamKey: "demo", name: "니트", price: "39.00", quantity: 10, colorOptions: ["블랙"],
    });
  });
});
