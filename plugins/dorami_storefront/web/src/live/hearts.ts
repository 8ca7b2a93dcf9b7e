/** The heart button: taps are sent in handfuls, everybody's hearts come back as one number and fly up. */

import { find, heart as makeHeart } from "../dom";
import { data, t } from "../page";
import { FLYING_MOST, heartsToFly } from "../roomMode";

const SEND_MS = 300;
const MOST_AT_ONCE = 50;

export class Hearts {
  readonly #button = find<HTMLButtonElement>("[data-heart]");
  readonly #sky = find("[data-hearts]");
  readonly #count = find("[data-heart-count]");
  readonly #calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  #tapped = 0;
  /** Sent, and not yet in a total that came back. */
  #own = 0;
  #total: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (count: number) => Promise<unknown>) {
    this.#button.addEventListener("click", () => {
      if (this.#tapped >= MOST_AT_ONCE) return;
      this.#tapped += 1;
      this.#fly();
      this.#timer ??= setTimeout(() => void this.#flush(), SEND_MS);
    });
  }

  /** What the server has counted; when joining nothing flies. */
  counted(total: number, joining = false): void {
    const fly = joining ? 0 : heartsToFly(this.#total, total, this.#own, this.#sky.childElementCount);
    this.#own = joining ? 0 : Math.max(0, this.#own - (total - (this.#total ?? total)));
    this.#total = total;
    this.#count.textContent = new Intl.NumberFormat(data.lang === "ko" ? "ko-KR" : "en-US", { notation: "compact" }).format(total);
    this.#count.hidden = total === 0;
    this.#button.setAttribute("aria-label", t("js_heart_count", { count: total.toLocaleString("en-US") }));
    for (let at = 0; at < fly; at += 1) setTimeout(() => this.#fly(), (at * 240) / fly);
  }

  shown(visible: boolean): void {
    this.#button.hidden = !visible;
  }

  async #flush(): Promise<void> {
    const count = this.#tapped;
    this.#tapped = 0;
    this.#timer = undefined;
    this.#own += count;
    try {
      await this.send(count);
    } catch {
      // A heart that was not counted is no reason to stop anybody.
      this.#own = Math.max(0, this.#own - count);
    }
  }

  #fly(): void {
    if (this.#calm.matches || document.hidden || this.#sky.childElementCount >= FLYING_MOST) return;
    const heart = makeHeart(`fly fly-${Math.floor(Math.random() * 4)}`);
    heart.style.setProperty("--drift", `${Math.round(Math.random() * 60 - 44)}px`);
    heart.style.setProperty("--size", `${22 + Math.round(Math.random() * 12)}px`);
    heart.addEventListener("animationend", () => heart.remove());
    this.#sky.append(heart);
  }
}
