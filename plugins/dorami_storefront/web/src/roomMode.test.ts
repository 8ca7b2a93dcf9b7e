import { describe, expect, it } from "vitest";
import { barrier, FLYING_MOST, heartsToFly, leftText, type Writer } from "./roomMode";

const writer = (changes: Partial<Writer> = {}): Writer => ({
  frozen: false, slowSeconds: 0, isModerator: false, timedOutUntil: 0, nextAt: 0, ...changes,
});

describe("who may write", () => {
  it.each([
    ["none", {}],
    ["frozen", { frozen: true }],
    ["timedOut", { frozen: true, timedOutUntil: 1001 }],
    ["none", { timedOutUntil: 1000 }],
    ["slow", { slowSeconds: 5, nextAt: 1001 }],
    ["none", { slowSeconds: 5, nextAt: 1000 }],
    ["none", { slowSeconds: 0, nextAt: 9000 }],
    ["none", { isModerator: true, frozen: true, slowSeconds: 5, nextAt: 9000, timedOutUntil: 9000 }],
  ] as const)("%s for %o", (expected, changes) => expect(barrier(writer(changes), 1000)).toBe(expected));

  it.each([[0, "0:00"], [1, "0:01"], [65_000, "1:05"], [3_600_000, "60:00"], [-5, "0:00"]])("%d ms left is %s", (ms, text) =>
    expect(leftText(ms)).toBe(text));
});

describe("hearts", () => {
  it.each([
    [null, 500, 0, 0, 0],
    [10, 13, 0, 0, 3],
    [10, 13, 3, 0, 0],
    [10, 1000, 0, 0, 8],
    [10, 1000, 0, FLYING_MOST - 2, 2],
    [10, 1000, 0, FLYING_MOST, 0],
    [500, 3, 0, 0, 0],
  ])("%s to %d with %d of one's own and %d in the air: %d fly", (before, total, own, flying, expected) =>
    expect(heartsToFly(before, total, own, flying)).toBe(expected));
});
