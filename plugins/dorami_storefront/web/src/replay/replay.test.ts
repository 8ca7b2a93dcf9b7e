import { describe, expect, it } from "vitest";
import { AHEAD_MS, ChatFeed, type Line, type Page, SHOWN, type Source } from "./chatFeed";
import { firstShown, inOrder, partAt, showingAt } from "./timeline";

const PARTS = [
  { startsMs: 0, durationMs: 90_000, videoUrl: "a" },
  { startsMs: 90_000, durationMs: 40_000, videoUrl: "b" },
];
const SHOWINGS = [
  { productId: "knit", fromMs: 10_000, untilMs: 30_000 },
  { productId: "bag", fromMs: 30_000, untilMs: 60_000 },
  { productId: "knit", fromMs: 80_000, untilMs: 95_000 },
];

describe("the timeline", () => {
  it.each([
    [-5, 0, 0],
    [0, 0, 0],
    [89_999, 0, 89_999],
    [90_000, 1, 0],
    [129_000, 1, 39_000],
    [999_000, 1, 40_000],
  ])("finds %d ms in a part", (atMs, index, offsetMs) => {
    expect(partAt(PARTS, atMs)).toEqual({ index, offsetMs });
  });

  it.each([
    [0, null],
    [10_000, "knit"],
    [30_000, "bag"],
    [70_000, null],
    [94_999, "knit"],
    [95_000, null],
  ])("knows what was shown at %d ms", (atMs, product) => {
    expect(showingAt(SHOWINGS, atMs)?.productId ?? null).toBe(product);
  });

  it("lists products as they were shown, the others last", () => {
    const products = ["mug", "bag", "hat", "knit"].map((id) => ({ id }));
    expect(inOrder(products, SHOWINGS).map(({ id }) => id)).toEqual(["knit", "bag", "mug", "hat"]);
    expect(firstShown(SHOWINGS, "mug")).toBeNull();
  });
});

/** A line every second for ten minutes; pages of ten. */
class Room implements Source {
  readonly lines: Line[] = Array.from({ length: 600 }, (_, second) => ({ id: `${second}`, atMs: second * 1000, displayName: "m", role: "USER", message: `${second}` }));
  asked = 0;

  async from(atMs: number, cursor: string | null): Promise<Page> {
    this.asked += 1;
    const begin = cursor === null ? this.lines.findIndex((line) => line.atMs >= atMs) : Number(cursor);
    const end = begin + 10;
    return { items: this.lines.slice(begin, end), nextCursor: end < this.lines.length ? `${end}` : null };
  }

  async before(atMs: number): Promise<Page> {
    return { items: this.lines.filter((line) => line.atMs < atMs).slice(-50), nextCursor: null };
  }
}

async function play(feed: ChatFeed, fromMs: number, untilMs: number): Promise<void> {
  for (let at = fromMs; at <= untilMs; at += 250) {
    await feed.readAhead(at);
    feed.advance(at);
  }
}

const seen = (feed: ChatFeed) => feed.lines.map((line) => Number(line.message));

describe("the chat of a replay", () => {
  it("comes line by line, each once, and is read a little ahead", async () => {
    const room = new Room();
    const feed = new ChatFeed(room);
    await feed.jump(0);
    await play(feed, 0, 30_000);
    expect(seen(feed)).toEqual(Array.from({ length: 31 }, (_, second) => second));
    expect(room.asked).toBeLessThanOrEqual(Math.ceil((30_000 + AHEAD_MS) / 10_000) + 1);
    await play(feed, 30_000, 599_000);
    expect(feed.lines.length).toBe(SHOWN);
    expect(seen(feed).at(-1)).toBe(599);
    const asked = room.asked;
    await play(feed, 599_000, 700_000);
    expect(room.asked).toBe(asked);
  });

  it("moves with the video, back and forth, without a gap or a line twice", async () => {
    const feed = new ChatFeed(new Room());
    await feed.jump(300_000);
    await play(feed, 300_000, 305_000);
    expect(seen(feed)).toEqual(Array.from({ length: 56 }, (_, index) => 250 + index));
    await feed.jump(10_500);
    await play(feed, 10_500, 12_000);
    expect(seen(feed)).toEqual(Array.from({ length: 13 }, (_, second) => second));
  });

  it("forgets the answer to a question from before the jump", async () => {
    const room = new Room();
    let answer: (page: Page) => void = () => undefined;
    const slow: Source = { from: () => new Promise((resolve) => (answer = resolve)), before: (atMs) => room.before(atMs) };
    const feed = new ChatFeed(slow);
    await feed.jump(0);
    const late = feed.readAhead(0);
    await feed.jump(100_000);
    answer({ items: room.lines.slice(0, 10), nextCursor: null });
    await late;
    feed.advance(200_000);
    expect(seen(feed)).toEqual(Array.from({ length: 50 }, (_, index) => 50 + index));
  });
});
