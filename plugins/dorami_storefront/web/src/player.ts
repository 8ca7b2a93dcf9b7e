/** Plays one broadcast: HTTP-FLV by mpegts.js first, HLS where that cannot be or shows nothing, and says how it goes. */

import { Kpi } from "./kpi";
import type { PlayerEvent } from "./liveMachine";
import { type Engine, openFlv, openHls, type Protocol, supports } from "./playerEngines";

/** Nothing seen for this long on one protocol: the other is tried. FLV shows a picture in well under a second. */
const FIRST_FRAME_MS = 2500;
const HLS_FIRST_FRAME_MS = 12_000;
/** A pause of the picture that is worth a word. */
const STALL_MS = 700;
/** A stall that will not end by itself. Longer than the server takes to say that it is the seller who sends nothing, 5 s:
 * then there is nothing to open anew. */
const DEAD_MS = 8000;
const WATCH_MS = 250;
const RETRY_MS = [500, 1000, 2000, 4000, 6000] as const;

export class Player {
  readonly kpi = new Kpi(() => performance.now());
  #engine: Engine | null = null;
  #protocol: Protocol = "flv";
  #running = false;
  #everPlayed = false;
  #flvFailures = 0;
  #attempt = 0;
  #generation = 0;
  #openedAt = 0;
  #lastTime = 0;
  #movedAt = 0;
  #playing = false;
  #stalled = false;
  #away = false;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #watch: ReturnType<typeof setInterval> | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly lastFrame: HTMLCanvasElement,
    private readonly urls: Readonly<Record<Protocol, string>>,
    private readonly say: (event: PlayerEvent) => void,
  ) {}

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.kpi.start();
    this.#protocol = supports("flv") ? "flv" : "hls";
    this.#watch = setInterval(() => this.#look(), WATCH_MS);
    void this.#open();
  }

  stop(): void {
    this.#running = false;
    this.#generation += 1;
    if (this.#watch !== null) clearInterval(this.#watch);
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#watch = this.#retry = null;
    this.#close();
  }

  /** The broadcast is back, or the network: what waits for its next try goes at once, with the fast protocol first. */
  again(): void {
    if (!this.#running || this.#retry === null) return;
    this.#attempt = this.#flvFailures = 0;
    this.#everPlayed = false;
    if (supports("flv")) this.#protocol = "flv";
    this.#reopen(0);
  }

  /** Whether the seller is away: the picture stands still then, and the connection is kept. */
  set away(away: boolean) {
    if (this.#away && !away) this.#movedAt = performance.now();
    this.#away = away;
  }

  async #open(): Promise<void> {
    const generation = ++this.#generation;
    this.#close();
    this.#openedAt = performance.now();
    this.#movedAt = this.#openedAt;
    this.#lastTime = this.video.currentTime;
    const protocol = this.#protocol;
    this.kpi.protocol = protocol;
    const mine = () => this.#running && generation === this.#generation;
    try {
      const open = protocol === "flv" ? openFlv : openHls;
      const engine = await open(this.video, this.urls[protocol], {
        ended: () => mine() && this.#failed("STREAM_ENDED"),
        failed: () => mine() && this.#failed("MEDIA_ERROR"),
      });
      if (!mine()) return engine.close();
      this.#engine = engine;
      // Refused autoplay is not a failure: the picture is there, a tap starts it.
      await this.video.play().catch(() => undefined);
    } catch {
      if (mine()) this.#failed("MEDIA_ERROR");
    }
  }

  #close(): void {
    if (this.#engine === null) return;
    this.#keepLastFrame();
    this.#engine.close();
    this.#engine = null;
    this.#playing = this.#stalled = false;
  }

  #keepLastFrame(): void {
    const { videoWidth, videoHeight } = this.video;
    if (!videoWidth || this.video.readyState < 2) return;
    this.lastFrame.width = videoWidth;
    this.lastFrame.height = videoHeight;
    this.lastFrame.getContext("2d")?.drawImage(this.video, 0, 0);
    this.lastFrame.hidden = false;
  }

  #failed(event: "STREAM_ENDED" | "MEDIA_ERROR"): void {
    const shown = this.#playing || this.#stalled;
    if (this.#protocol === "flv" && !shown && event === "MEDIA_ERROR") this.#flvFailures += 1;
    this.say(event);
    this.kpi.stalled();
    const pause = RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)]!;
    this.#attempt += 1;
    // Before the first picture a failure is about the protocol; afterwards about the broadcast or the network,
    // and only what keeps failing is given up.
    if (event === "MEDIA_ERROR" && (!this.#everPlayed || this.#flvFailures > 2) && this.#switch())
      this.#reopen(this.#attempt > 2 ? pause : 0);
    else this.#reopen(pause);
  }

  #switch(): boolean {
    const other: Protocol = this.#protocol === "flv" ? "hls" : "flv";
    if (!supports(other)) return false;
    this.#protocol = other;
    this.#flvFailures = 0;
    this.say("PROTOCOL_SWITCHED");
    return true;
  }

  #reopen(pauseMs: number): void {
    this.#generation += 1;
    this.#close();
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.kpi.reconnects += 1;
      void this.#open();
    }, pauseMs);
  }

  /** Looks at the picture itself: what moves plays, whatever the library says. */
  #look(): void {
    const now = performance.now();
    if (this.#engine === null) return;
    if (this.video.currentTime !== this.#lastTime && this.video.videoWidth > 0) {
      this.#lastTime = this.video.currentTime;
      this.#movedAt = now;
      this.#moving();
    } else if (this.video.paused && this.video.readyState >= 3) {
      this.#movedAt = now;
      if (document.visibilityState === "visible") void this.video.play().catch(() => undefined);
    } else if (this.#playing && !this.#stalled && now - this.#movedAt > STALL_MS) {
      this.#stalled = true;
      this.kpi.stalled();
      this.say("STALL");
    } else if (this.#stalled && !this.#away && now - this.#movedAt > DEAD_MS) {
      this.#failed("MEDIA_ERROR");
    } else if (!this.#playing && now - this.#openedAt > this.#patienceMs()) {
      this.#failed("MEDIA_ERROR");
    }
    this.kpi.delayMs = this.#delayMs();
  }

  #patienceMs(): number {
    return this.#protocol === "flv" ? FIRST_FRAME_MS : HLS_FIRST_FRAME_MS;
  }

  #moving(): void {
    this.kpi.playing();
    this.lastFrame.hidden = true;
    if (!this.#playing) {
      this.#playing = this.#everPlayed = true;
      this.#stalled = false;
      this.#attempt = this.#flvFailures = 0;
      this.say("PLAY_OK");
    } else if (this.#stalled) {
      this.#stalled = false;
      this.say("STALL_RECOVERED");
    }
  }

  #delayMs(): number | null {
    const { buffered, currentTime } = this.video;
    return buffered.length ? Math.round((buffered.end(buffered.length - 1) - currentTime) * 1000) : null;
  }
}
