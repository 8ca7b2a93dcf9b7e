import { describe, expect, it } from "vitest";
import { advice, figures, type Signal } from "./signal";

const good: Signal = {
  verdict: "GOOD",
  encoder: "OBS",
  videoCodec: "H.264",
  audioCodec: "AAC",
  bitrateBps: 2_512_000,
  framesPerSecond: 29.9,
  keyframeIntervalMs: 2000,
  droppedFrames: 3,
  roundTripMs: 42,
  refused: null,
};
const none: Signal = { ...good, verdict: "NONE", videoCodec: null, audioCodec: null, keyframeIntervalMs: null, roundTripMs: null };

const same = (key: string) => key;

describe("a signal's words", () => {
  it("has none where all is well, or nobody publishes", () => {
    expect(advice(good)).toBeNull();
    expect(advice(none)).toBeNull();
    expect(figures(none, same)).toEqual([]);
  });

  it("says what to change", () => {
    expect(advice({ ...good, verdict: "LONG_KEYFRAMES", keyframeIntervalMs: 8333 })).toEqual(["js_signal_advice_long_keyframes", { seconds: "8.3" }]);
    expect(advice({ ...good, verdict: "LONG_KEYFRAMES", keyframeIntervalMs: 10_000 })?.[1]).toEqual({ seconds: "10" });
    expect(advice({ ...good, verdict: "SLOW" })).toEqual(["js_signal_advice_slow", {}]);
    expect(advice({ ...good, verdict: "SILENT" })).toEqual(["js_signal_advice_silent", {}]);
    expect(advice({ ...none, refused: { kind: "video", codec: "VP9" } })).toEqual(["js_signal_refused_video", { codec: "VP9" }]);
  });

  it("warns of codecs that not every phone plays", () => {
    expect(advice({ ...good, videoCodec: "HEVC", audioCodec: "Opus" })).toEqual(["js_signal_narrow_video", { codec: "HEVC" }]);
    expect(advice({ ...good, audioCodec: "Opus" })).toEqual(["js_signal_narrow_audio", { codec: "Opus" }]);
    expect(advice({ ...good, audioCodec: "MP3" })).toBeNull();
    expect(advice({ ...good, videoCodec: null })).toBeNull();
  });

  it("shows what is known", () => {
    expect(figures(good, same)).toEqual([
      ["js_restream_bitrate", "2.5 Mbit/s"],
      ["js_signal_fps", "30 fps"],
      ["js_signal_keyframes", "2 s"],
      ["js_signal_dropped", "3"],
      ["js_signal_round_trip", "42 ms"],
      ["js_signal_codecs", "H.264 · AAC"],
    ]);
    const sound = { ...good, videoCodec: null, keyframeIntervalMs: null, roundTripMs: null };
    expect(figures(sound, same).map(([key]) => key)).toEqual(["js_restream_bitrate", "js_signal_codecs"]);
  });
});
