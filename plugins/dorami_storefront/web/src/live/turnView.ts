/** "It is your turn": what is held for somebody who waited, until when, with a sound and a shake that can be turned off. */

import { clockText, level } from "../countdown";
import { find, icon, make } from "../dom";
import { clock, data, t } from "../page";
import { ends, type Place, type Waiting } from "../waiting";

const QUIET = "turn-quiet";

export class TurnView {
  readonly #box = find("[data-turn]");
  #drawn = "";
  #sound: AudioContext | null = null;

  constructor(
    private readonly waiting: Waiting,
    private readonly changed: () => void,
  ) {
    setInterval(() => this.draw(), 250);
  }

  /** Somebody's turn has come just now. */
  ring(): void {
    if (quiet()) return;
    navigator.vibrate?.([200, 100, 200]);
    this.#beep();
  }

  draw(): void {
    const now = clock.now();
    const place = this.waiting.turn(now);
    if ((place === undefined) !== this.#box.hidden) this.changed();
    this.#box.hidden = place === undefined;
    if (place === undefined) return;
    const left = ends(place) - now;
    this.#box.dataset["level"] = level(left);
    const key = `${place.id}|${Math.ceil(left / 1000)}|${quiet()}`;
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#box.replaceChildren(this.#link(place, left), this.#bell());
  }

  #link(place: Place, left: number): HTMLElement {
    return make(
      "a",
      { href: "/checkout", "data-testid": "turn" },
      make("b", {}, t("js_your_turn", { time: clockText(left, t("js_day")) })),
      make("small", {}, `${place.productName} · ${t("js_units", { count: place.promotedQuantity ?? place.quantity })}`),
    );
  }

  #bell(): HTMLElement {
    const off = quiet();
    const label = off ? t("js_turn_sound_on") : t("js_turn_sound_off");
    const button = make("button", { type: "button", class: "icon-btn", "aria-label": label, "aria-pressed": String(!off) }, icon(off ? "volume-x" : "bell", data.icons));
    button.addEventListener("click", () => {
      try {
        localStorage.setItem(QUIET, off ? "" : "1");
      } catch {
        // Without storage the choice lasts as long as nothing does.
      }
      this.draw();
    });
    return button;
  }

  #beep(): void {
    try {
      this.#sound ??= new AudioContext();
      const [tone, volume, now] = [this.#sound.createOscillator(), this.#sound.createGain(), this.#sound.currentTime];
      tone.frequency.setValueAtTime(880, now);
      tone.frequency.setValueAtTime(1175, now + 0.15);
      volume.gain.setValueAtTime(0.15, now);
      volume.gain.exponentialRampToValueAtTime(0.001, now + 0.45);
      tone.connect(volume).connect(this.#sound.destination);
      tone.start(now);
      tone.stop(now + 0.5);
    } catch {
      // A browser that allows no sound yet still shows the words.
    }
  }
}

function quiet(): boolean {
  try {
    return localStorage.getItem(QUIET) === "1";
  } catch {
    return false;
  }
}
