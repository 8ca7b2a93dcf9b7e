/** One video element that plays all parts of a replay as if they were one. */

import { type Part, partAt } from "./timeline";

export class ReplayPlayer {
  #index = 0;
  /** Where to begin once the part's file is known; what the position is until then. */
  #wantedMs: number | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly parts: readonly Part[],
    private readonly changed: () => void,
  ) {
    for (const name of ["timeupdate", "play", "pause", "waiting", "playing", "seeked", "volumechange"]) video.addEventListener(name, changed);
    video.addEventListener("loadedmetadata", () => this.#arrive());
    video.addEventListener("ended", () => this.#next());
    if (video.readyState >= HTMLMediaElement.HAVE_METADATA) this.#arrive();
  }

  get positionMs(): number {
    return this.#wantedMs ?? this.parts[this.#index]!.startsMs + this.video.currentTime * 1000;
  }

  get playing(): boolean {
    return !this.video.paused;
  }

  get waiting(): boolean {
    return this.playing && this.video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA;
  }

  toggle(): void {
    if (this.playing) this.video.pause();
    else this.#play();
  }

  seek(atMs: number): void {
    const { index, offsetMs } = partAt(this.parts, atMs);
    if (index !== this.#index) this.#load(index, atMs, this.playing);
    else if (this.video.readyState < HTMLMediaElement.HAVE_METADATA) this.#wantedMs = atMs;
    else this.video.currentTime = offsetMs / 1000;
    this.changed();
  }

  #load(index: number, atMs: number, play: boolean): void {
    this.#index = index;
    this.#wantedMs = atMs;
    this.video.src = this.parts[index]!.videoUrl;
    if (play) this.#play();
  }

  #arrive(): void {
    this.video.dataset["seen"] = "";
    if (this.#wantedMs !== null) this.video.currentTime = partAt(this.parts, this.#wantedMs).offsetMs / 1000;
    this.#wantedMs = null;
    this.changed();
  }

  #next(): void {
    const index = this.#index + 1;
    if (index < this.parts.length) this.#load(index, this.parts[index]!.startsMs, true);
    this.changed();
  }

  #play(): void {
    // Refused before a gesture, or broken off by the next file: the button says how it is.
    this.video.play().catch(() => this.changed());
  }
}
