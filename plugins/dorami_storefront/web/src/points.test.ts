import { describe, expect, it } from "vitest";

import { reduced } from "./points";

describe("points in the order form", () => {
  it.each([
    ["129.60", "12.50", "", "0.00", "129.60"],
    ["129.60", "12.50", "3", "3.00", "126.60"],
    ["129.60", "12.50", "3.5", "3.50", "126.10"],
    ["129.60", "12.50", " 12.50 ", "12.50", "117.10"],
    ["5.00", "5.00", "5", "5.00", "0.00"],
    ["39000", "1250", "1,250", "1250", "37750"],
  ])("%s with up to %s, typed %s", (whole, usable, typed, used, total) => {
    expect(reduced(whole, usable, typed)).toEqual({ used, total });
  });

  it.each(["12.51", "-1", "1.234", "많이", "1e3", "0x1"])("%s is not taken", (typed) => {
    expect(reduced("129.60", "12.50", typed)).toBeNull();
  });
});
