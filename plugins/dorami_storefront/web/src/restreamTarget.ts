/** A restream target as the API tells it, and the words for how it is doing. Pure. */

export interface Target {
  readonly id: string;
  readonly name: string;
  readonly platform: string;
  readonly rtmpUrl: string;
  readonly streamKey: string;
  readonly muteAudio: boolean;
  readonly startMode: "AUTO" | "MANUAL";
  readonly delaySeconds: number;
  readonly status: "IDLE" | "CONNECTING" | "ACTIVE" | "FAILED" | "STOPPED";
  readonly cause: string;
  readonly restartCount: number;
  readonly bytes: number;
  readonly bitrateBps: number;
  readonly delayMs: number;
  readonly onSlate: boolean;
  readonly activeSince: string | null;
  readonly nextAttemptAt: string | null;
  readonly serverTime: string;
}

export const BADGES: Readonly<Record<Target["status"], string>> = {
  IDLE: "",
  CONNECTING: "badge-wait",
  ACTIVE: "badge-ok",
  FAILED: "badge-bad",
  STOPPED: "",
};

/** Causes that the seller is told in a sentence; the others explain themselves by the state. */
const TOLD = new Set(["UNREACHABLE", "UNTRUSTED", "REFUSED", "LOST", "STALLED", "OVER_LIMIT", "WORKER"]);

/** The key of the sentence about what is wrong, or null. */
export function trouble(target: Target): string | null {
  return TOLD.has(target.cause) && target.status !== "ACTIVE" ? `js_cause_${target.cause.toLowerCase()}` : null;
}

/** Whole seconds until the next attempt by the server's clock; null where none is planned, or it is due. */
export function againIn(target: Target): number | null {
  if (target.nextAttemptAt === null) return null;
  const seconds = Math.ceil((Date.parse(target.nextAttemptAt) - Date.parse(target.serverTime)) / 1000);
  return seconds > 0 ? seconds : null;
}

/** Whether it is sent, or about to be: then it can be stopped. */
export function isOn(target: Target): boolean {
  return target.status === "ACTIVE" || target.status === "CONNECTING" || target.nextAttemptAt !== null;
}

/** `2.5 Mbit/s`, `640 kbit/s`. */
export function bitrate(bps: number): string {
  return bps >= 1_000_000 ? `${(bps / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

/** `1.2 GB`, `34 MB`. */
export function size(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/** `1:02:03`, `2:03`. */
export function duration(seconds: number): string {
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
