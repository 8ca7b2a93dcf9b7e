/** The state of the room as it is seen: the pinned message, and an input that says why it is closed. */

import { find } from "../dom";
import { clock, data, t, timeOfDay } from "../page";
import { barrier, leftText, type PinnedMessage, type RoomState, type Writer } from "../roomMode";

const TICK_MS = 250;

export class RoomView {
  readonly #pinned = find("[data-pinned]");
  readonly #note = find("[data-room-note]");
  readonly #input = find<HTMLInputElement>("#chat-input");
  readonly #send = find<HTMLButtonElement>("[data-chat-form] .send");
  readonly #tools = find("[data-room-tools]");
  #writer: Writer = { frozen: false, slowSeconds: 0, isModerator: data.user?.isAdmin === true, timedOutUntil: 0, nextAt: 0 };
  #pin: PinnedMessage | null = null;
  #banned = false;

  constructor(private readonly staffChanged: (isStaff: boolean) => void) {
    setInterval(() => this.#draw(), TICK_MS);
    this.#draw();
  }

  get pinned(): PinnedMessage | null {
    return this.#pin;
  }

  get mode(): Pick<Writer, "frozen" | "slowSeconds"> {
    return this.#writer;
  }

  joined(state: RoomState): void {
    this.#writer = {
      ...this.#writer,
      frozen: state.frozen,
      slowSeconds: state.slowSeconds,
      timedOutUntil: state.timedOutUntil === null ? 0 : Date.parse(state.timedOutUntil),
    };
    this.pin(state.pinned);
    this.staff(state.isModerator);
  }

  /** Became a moderator, or is one no more. */
  staff(isModerator: boolean): void {
    if (isModerator !== this.#writer.isModerator) this.staffChanged(isModerator);
    this.#writer = { ...this.#writer, isModerator };
    this.#draw();
  }

  changed(mode: Pick<Writer, "frozen" | "slowSeconds">): void {
    this.#writer = { ...this.#writer, frozen: mode.frozen, slowSeconds: mode.slowSeconds };
    this.#draw();
  }

  pin(message: PinnedMessage | null): void {
    this.#pin = message;
    this.#pinned.hidden = message === null;
    find("b", this.#pinned).textContent = message?.displayName ?? "";
    find("span", this.#pinned).textContent = message?.message ?? "";
  }

  timedOut(until: string | null): void {
    this.#writer = { ...this.#writer, timedOutUntil: until === null ? 0 : Date.parse(until) };
    this.#draw();
  }

  /** A message was taken, or slow mode refused one that many ms too early. */
  sent(waitMs = this.#writer.slowSeconds * 1000): void {
    this.#writer = { ...this.#writer, nextAt: clock.now() + waitMs };
    this.#draw();
  }

  banned(): void {
    this.#banned = true;
    this.#draw();
  }

  #draw(): void {
    const now = clock.now();
    const why = barrier(this.#writer, now);
    const closed = this.#banned || why === "timedOut" || why === "frozen";
    this.#input.disabled = closed;
    this.#send.dataset["wait"] = why === "slow" ? leftText(this.#writer.nextAt - now) : "";
    this.#send.disabled = closed || why === "slow" || this.#send.dataset["busy"] === "true";
    const placeholder = closed ? "" : data.user === null ? t("js_chat_guest") : t("js_chat_placeholder");
    if (this.#input.placeholder !== placeholder) this.#input.placeholder = placeholder;
    const note = this.#sentence(why, now);
    if (this.#note.textContent !== note) this.#note.textContent = note;
    this.#note.hidden = note === "";
    this.#note.dataset["kind"] = this.#banned ? "banned" : why;
    this.#tools.hidden = !this.#writer.isModerator;
  }

  #sentence(why: string, now: number): string {
    const { frozen, slowSeconds, timedOutUntil, nextAt } = this.#writer;
    if (this.#banned) return t("js_chat_banned");
    if (why === "timedOut") return t("js_chat_timed_out", { left: leftText(timedOutUntil - now), time: timeOfDay(timedOutUntil, false) });
    if (frozen) return t("js_chat_frozen");
    if (why === "slow") return t("js_chat_slow_wait", { left: leftText(nextAt - now) });
    return slowSeconds > 0 ? t("js_chat_slow", { seconds: slowSeconds }) : "";
  }
}
