/** A publisher's signal as the API tells it, and the words for it. Pure. */

import { bitrate } from "./restreamTarget";

export interface Signal {
  readonly verdict: "GOOD" | "SLOW" | "LONG_KEYFRAMES" | "SILENT" | "NONE";
  readonly encoder: string;
  readonly videoCodec: string | null;
  readonly audioCodec: string | null;
  readonly bitrateBps: number;
  readonly framesPerSecond: number;
  readonly keyframeIntervalMs: number | null;
  readonly droppedFrames: number;
  readonly roundTripMs: number | null;
  readonly refused: { readonly kind: "video" | "audio"; readonly codec: string } | null;
}

/** The key of a sentence, and what is put into it. */
export type Sentence = readonly [key: string, values: Readonly<Record<string, string | number>>];

export const LIGHTS: Readonly<Record<Signal["verdict"], string>> = {
  GOOD: "badge-ok",
  SLOW: "badge-wait",
  LONG_KEYFRAMES: "badge-wait",
  SILENT: "badge-bad",
  NONE: "",
};

/** What the seller is to do about it, or null. */
export function advice(signal: Signal): Sentence | null {
  const { verdict, refused, keyframeIntervalMs } = signal;
  if (refused) return [`js_signal_refused_${refused.kind}`, { codec: refused.codec }];
  if (verdict === "GOOD") return narrow(signal);
  if (verdict === "NONE") return null;
  return [`js_signal_advice_${verdict.toLowerCase()}`, verdict === "LONG_KEYFRAMES" ? { seconds: seconds(keyframeIntervalMs ?? 0) } : {}];
}

/** A codec that some phones do not play. */
function narrow({ videoCodec, audioCodec }: Signal): Sentence | null {
  if (videoCodec !== null && videoCodec !== "H.264") return ["js_signal_narrow_video", { codec: videoCodec }];
  if (audioCodec === "Opus") return ["js_signal_narrow_audio", { codec: audioCodec }];
  return null;
}

/** Label and figure of each number that is known. */
export function figures(signal: Signal, t: (key: string) => string): [label: string, text: string][] {
  if (signal.verdict === "NONE") return [];
  const found: [string, string][] = [[t("js_restream_bitrate"), bitrate(signal.bitrateBps)]];
  if (signal.videoCodec !== null) found.push([t("js_signal_fps"), `${Math.round(signal.framesPerSecond)} fps`]);
  if (signal.keyframeIntervalMs !== null) found.push([t("js_signal_keyframes"), `${seconds(signal.keyframeIntervalMs)} s`]);
  if (signal.videoCodec !== null) found.push([t("js_signal_dropped"), String(signal.droppedFrames)]);
  if (signal.roundTripMs !== null) found.push([t("js_signal_round_trip"), `${signal.roundTripMs} ms`]);
  const codecs = [signal.videoCodec, signal.audioCodec].filter((codec) => codec !== null);
  if (codecs.length > 0) found.push([t("js_signal_codecs"), codecs.join(" · ")]);
  return found;
}

/** Whole seconds as such, others with one digit. */
function seconds(ms: number): string {
  return (ms / 1000).toFixed(1).replace(/\.0$/, "");
}
