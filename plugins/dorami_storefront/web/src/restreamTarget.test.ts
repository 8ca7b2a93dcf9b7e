import { describe, expect, it } from "vitest";
import { againIn, bitrate, duration, isOn, size, trouble, type Target } from "./restreamTarget";

const base: Target = {
  id: "1",
  name: "n",
  platform: "CUSTOM",
  rtmpUrl: "rtmp://a/live",
  streamKey: "•••",
  muteAudio: false,
  startMode: "AUTO",
  delaySeconds: 0,
  status: "IDLE",
  cause: "",
  restartCount: 0,
  bytes: 0,
  bitrateBps: 0,
  delayMs: 0,
  onSlate: false,
  activeSince: null,
  nextAttemptAt: null,
  serverTime: "2026-01-01T00:00:00.000Z",
};

describe("a target's words", () => {
  it("tells what is wrong until it is active again", () => {
    expect(trouble({ ...base, status: "FAILED", cause: "REFUSED" })).toBe("js_cause_refused");
    expect(trouble({ ...base, status: "CONNECTING", cause: "STALLED" })).toBe("js_cause_stalled");
    expect(trouble({ ...base, status: "FAILED", cause: "UNTRUSTED" })).toBe("js_cause_untrusted");
    expect(trouble({ ...base, status: "ACTIVE", cause: "LOST" })).toBeNull();
    expect(trouble({ ...base, status: "IDLE", cause: "ENDED" })).toBeNull();
  });
  it("counts down by the server's clock", () => {
    expect(againIn(base)).toBeNull();
    expect(againIn({ ...base, nextAttemptAt: "2026-01-01T00:00:02.100Z" })).toBe(3);
    expect(againIn({ ...base, nextAttemptAt: "2025-12-31T23:59:00.000Z" })).toBeNull();
  });
  it("can be stopped while it runs or waits", () => {
    expect(isOn(base)).toBe(false);
    expect(isOn({ ...base, status: "ACTIVE" })).toBe(true);
    expect(isOn({ ...base, status: "FAILED", nextAttemptAt: base.serverTime })).toBe(true);
    expect(isOn({ ...base, status: "FAILED" })).toBe(false);
  });
  it("reads numbers as people do", () => {
    expect([bitrate(2_540_000), bitrate(640_400)]).toEqual(["2.5 Mbit/s", "640 kbit/s"]);
    expect([size(1.24e9), size(34e6)]).toEqual(["1.2 GB", "34 MB"]);
    expect([duration(3723), duration(123), duration(5)]).toEqual(["1:02:03", "2:03", "0:05"]);
  });
});
