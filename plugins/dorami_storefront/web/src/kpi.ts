/** What a broadcast looked like from here: counters that the player feeds, pure but for the clock it is given. */

export class Kpi {
  firstFrameMs: number | null = null;
  rebuffers = 0;
  reconnects = 0;
  delayMs: number | null = null;
  protocol = "";
  #startedAt: number;
  #stalledAt: number | null = null;
  #stalledMs = 0;

  constructor(private readonly now: () => number) {
    this.#startedAt = now();
  }

  start(): void {
    this.#startedAt = this.now();
  }

  playing(): void {
    this.firstFrameMs ??= Math.round(this.now() - this.#startedAt);
    this.#endStall();
  }

  stalled(): void {
    if (this.firstFrameMs === null || this.#stalledAt !== null) return;
    this.#stalledAt = this.now();
    this.rebuffers += 1;
  }

  /** All stalls, the running one included, in milliseconds. */
  get stallMs(): number {
    return Math.round(this.#stalledMs + (this.#stalledAt === null ? 0 : this.now() - this.#stalledAt));
  }

  #endStall(): void {
    if (this.#stalledAt === null) return;
    this.#stalledMs += this.now() - this.#stalledAt;
    this.#stalledAt = null;
  }
}
