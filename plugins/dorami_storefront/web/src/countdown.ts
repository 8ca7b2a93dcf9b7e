/** Deadlines as people read them. All times are milliseconds since the epoch, of the server's clock. */

export type Level = "calm" | "soon" | "urgent" | "over";

/** Amber under two minutes, red under thirty seconds. */
export function level(leftMs: number): Level {
  if (leftMs <= 0) return "over";
  if (leftMs < 30_000) return "urgent";
  return leftMs < 120_000 ? "soon" : "calm";
}

/** `08:41`, from an hour on `1:08:41`, from a day on `2일 03:08:41`; never below zero. Rounded up: 0 means over. */
export function clockText(leftMs: number, dayWord = "d"): string {
  const total = Math.max(0, Math.ceil(leftMs / 1000));
  const two = (value: number) => String(value).padStart(2, "0");
  const [days, hours, minutes, seconds] = [
    Math.floor(total / 86_400),
    Math.floor(total / 3600) % 24,
    Math.floor(total / 60) % 60,
    total % 60,
  ];
  const tail = `${two(minutes)}:${two(seconds)}`;
  if (days) return `${days}${dayWord} ${two(hours)}:${tail}`;
  return hours ? `${hours}:${tail}` : tail;
}

/** The server's clock as this page knows it. A phone that slept or whose clock is wrong still counts right. */
export class ServerClock {
  #offset = 0;

  constructor(private readonly local: () => number = Date.now) {}

  /** Learns from a `serverTime`; the trip back makes it late by at most the round trip. */
  learn(serverTime: string | null | undefined): void {
    const server = serverTime ? Date.parse(serverTime) : NaN;
    if (!Number.isNaN(server)) this.#offset = server - this.local();
  }

  now(): number {
    return this.local() + this.#offset;
  }
}
