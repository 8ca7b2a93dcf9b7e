/** Puts the machine's layout on the page: notices, shape of the picture, sound, the countdown to the schedule. */

import { clockText } from "../countdown";
import { find, icon, toast } from "../dom";
import { type LiveState, layout, snapshot } from "../liveMachine";
import { clock, data, t } from "../page";

export class StateView {
  readonly #live = find(".live");
  readonly #video = find<HTMLVideoElement>("video");
  readonly #sound = find<HTMLButtonElement>("[data-sound]");
  readonly #mute = find<HTMLButtonElement>("[data-mute]");

  constructor(private readonly streamKey: string) {
    this.#video.muted = true;
    this.#video.addEventListener("resize", () => this.#shape());
    this.#video.addEventListener("loadedmetadata", () => this.#shape());
    this.#video.addEventListener("volumechange", () => this.#drawSound());
    this.#sound.addEventListener("click", () => this.#setMuted(false));
    this.#mute.addEventListener("click", () => this.#setMuted(!this.#video.muted));
    this.#schedule();
  }

  draw(state: LiveState): void {
    const shown = layout(state);
    this.#live.dataset["state"] = snapshot(state);
    this.#live.dataset["media"] = state.media;
    for (const notice of document.querySelectorAll<HTMLElement>("[data-notice]")) {
      notice.hidden = notice.dataset["notice"] !== shown.notice;
    }
    find("[data-loading]").hidden = !shown.loading;
    find("[data-live]").hidden = !shown.play;
    find("[data-chat-box]").hidden = !shown.chat;
    find("[data-chat-form]").hidden = !shown.chat;
    if (state.media === "playing") this.#video.dataset["seen"] = "";
    if (!shown.play) delete this.#video.dataset["seen"];
    this.#live.classList.toggle("no-card", !shown.card);
    // Without a moving picture the notice has the whole screen.
    if (!shown.play) this.#live.dataset["shape"] = "portrait";
    this.#drawSound();
  }

  viewers(count: number): void {
    find("[data-viewers]").textContent = t("js_viewers", { count: count.toLocaleString("en-US") });
  }

  /** Portrait fills the screen; landscape keeps its own shape at the top, and the chat goes below it. */
  #shape(): void {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !videoHeight) return;
    this.#live.dataset["shape"] = videoWidth > videoHeight ? "landscape" : "portrait";
    this.#live.style.setProperty("--shape", `${videoWidth} / ${videoHeight}`);
    this.#live.style.setProperty("--ratio", String(videoWidth / videoHeight));
  }

  #setMuted(muted: boolean): void {
    this.#video.muted = muted;
    // Unmuting is a gesture: a picture that the browser had refused to start may start now.
    void this.#video.play().catch(() => undefined);
  }

  #drawSound(): void {
    const playing = "seen" in this.#video.dataset;
    const { muted } = this.#video;
    this.#sound.hidden = !playing || !muted || this.#live.dataset["state"] === "RETRYING";
    this.#mute.hidden = !playing;
    this.#mute.setAttribute("aria-pressed", String(!muted));
    this.#mute.setAttribute("aria-label", muted ? t("js_sound_on") : t("js_sound_off"));
    this.#mute.replaceChildren(icon(muted ? "volume-x" : "volume-2", data.icons));
  }

  #schedule(): void {
    const big = document.querySelector<HTMLElement>("[data-schedule]");
    const at = big ? Date.parse(big.dataset["schedule"] ?? "") : NaN;
    const alarm = find<HTMLButtonElement>("[data-alarm]");
    const key = `alarm:${this.streamKey}`;
    const drawAlarm = () => {
      const on = localStorage.getItem(key) !== null;
      alarm.setAttribute("aria-pressed", String(on));
      find("span", alarm).textContent = on ? t("js_alarm_on") : t("js_alarm");
    };
    alarm.addEventListener("click", () => {
      if (localStorage.getItem(key) === null) {
        localStorage.setItem(key, "1");
        toast(t("js_alarm_told"));
      } else localStorage.removeItem(key);
      drawAlarm();
    });
    drawAlarm();
    if (big && !Number.isNaN(at)) {
      const tick = () => {
        const left = at - clock.now();
        big.textContent = left > 0 ? clockText(left, t("js_day")) : t("js_soon");
      };
      tick();
      setInterval(tick, 500);
    }
  }

  /** The broadcast began while somebody waited for it. */
  began(): void {
    const key = `alarm:${this.streamKey}`;
    if (localStorage.getItem(key) === null) return;
    localStorage.removeItem(key);
    navigator.vibrate?.([120, 80, 120]);
    chime();
  }
}

/** Two short tones; silent where the browser wants a gesture first. */
function chime(): void {
  try {
    const context = new AudioContext();
    [660, 880].forEach((frequency, at) => {
      const tone = new OscillatorNode(context, { frequency });
      const gain = new GainNode(context, { gain: 0.12 });
      tone.connect(gain).connect(context.destination);
      tone.start(context.currentTime + at * 0.18);
      tone.stop(context.currentTime + at * 0.18 + 0.15);
    });
  } catch {
    // No audio device: the vibration and the picture are enough.
  }
}
