/** The chat as it is seen: it follows the newest line, holds still for a reader, and never loses what was typed. */

import { ApiError } from "../api";
import { ChatLog, type ChatMessage } from "../chatLog";
import { find, icon, make } from "../dom";
import { data, sayError, t } from "../page";

const NEAR_END_PX = 40;
const NOTES_KEPT = 3;
/** Small events are told, but not so fast that nobody can talk. */
const NOTE_EVERY_MS = 2500;

export class ChatView {
  readonly #log = new ChatLog();
  readonly #lines = find("[data-lines]");
  readonly #newer = find<HTMLButtonElement>("[data-newer]");
  readonly #form = find<HTMLFormElement>("[data-chat-form]");
  readonly #input = find<HTMLInputElement>("#chat-input");
  readonly #rows = new Map<string, HTMLElement>();
  readonly #draftKey: string;
  #following = true;
  #lastNote = 0;
  /** What was sent and not answered: tried again it keeps its id, so that nobody reads it twice. */
  #unanswered: { readonly message: string; readonly clientId: string } | null = null;

  constructor(
    private readonly live: HTMLElement,
    streamKey: string,
    private readonly send: (message: string, clientId: string) => Promise<unknown>,
    private readonly typing: (active: boolean) => void,
    private readonly outcome: (waitMs?: number) => void,
    private readonly menu: (line: ChatMessage) => void,
  ) {
    this.#draftKey = `draft:${streamKey}`;
    this.#input.value = sessionStorage.getItem(this.#draftKey) ?? "";
    this.#input.addEventListener("input", () => sessionStorage.setItem(this.#draftKey, this.#input.value));
    this.#input.addEventListener("focus", () => this.typing(true));
    this.#input.addEventListener("blur", () => this.typing(false));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#lines.addEventListener("scroll", () => this.#scrolled());
    this.#lines.addEventListener("click", (event) => this.#pressed(event));
    this.#lines.addEventListener("keydown", (event) => event.key === "Enter" && event.target === this.#lines && this.#open());
    find("[data-chat-close]").addEventListener("click", () => this.#close());
    this.#newer.addEventListener("click", () => this.#toEnd());
    new ResizeObserver(() => this.#following && this.#toEnd()).observe(this.#lines);
  }

  history(messages: readonly ChatMessage[]): void {
    if (this.#log.merge(messages)) this.#draw();
  }

  message(message: ChatMessage): void {
    if (this.#log.add(message)) this.#draw();
  }

  remove(id: string): void {
    if (this.#log.remove(id)) this.#draw();
  }

  /** A line that nobody wrote: somebody put something into the cart. */
  note(text: string): void {
    const now = performance.now();
    if (now - this.#lastNote < NOTE_EVERY_MS) return;
    this.#lastNote = now;
    const notes = this.#lines.querySelectorAll(".say-note");
    if (notes.length >= NOTES_KEPT) notes[0]?.remove();
    this.#lines.append(make("p", { class: "say say-note", "aria-hidden": "true" }, text));
    if (this.#following) this.#toEnd();
  }

  async #submit(): Promise<void> {
    const message = this.#input.value;
    if (!message.trim()) return;
    if (data.user === null) return sayError(new ApiError(401, "UNAUTHORIZED", ""));
    if (this.#unanswered?.message !== message) {
      this.#unanswered = { message, clientId: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    }
    const button = find<HTMLButtonElement>(".send", this.#form);
    button.disabled = true;
    button.dataset["busy"] = "true";
    try {
      await this.send(message, this.#unanswered.clientId);
      this.#unanswered = null;
      this.outcome();
      // Only what was taken is cleared; what was typed meanwhile stays.
      if (this.#input.value === message) this.#input.value = "";
      sessionStorage.setItem(this.#draftKey, this.#input.value);
      this.#toEnd();
    } catch (error) {
      if (error instanceof ApiError && error.errorCode === "CHAT_SLOW_MODE") this.outcome(error.retryAfterMs);
      // What a second try cannot mend is only said.
      else sayError(error, error instanceof ApiError && error.errorCode.startsWith("CHAT_") ? undefined : () => void this.#submit());
    } finally {
      button.disabled = false;
      delete button.dataset["busy"];
    }
  }

  #draw(): void {
    const wanted = new Set(this.#log.lines.map((line) => line.id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    let previous: Element | null = null;
    for (const line of this.#log.lines) {
      let row = this.#rows.get(line.id);
      if (row === undefined) {
        row = this.#row(line);
        this.#rows.set(line.id, row);
        if (previous === null) this.#lines.prepend(row);
        else if (previous === this.#lastMessage(row)) this.#lines.append(row);
        else previous.after(row);
      }
      previous = row;
    }
    if (this.#following) this.#toEnd();
    else this.#newer.hidden = false;
  }

  /** The last message row, so that a new one goes below the notes that followed it. */
  #lastMessage(except: Element): Element | undefined {
    return [...this.#lines.querySelectorAll(".say[data-id]")].filter((row) => row !== except).at(-1);
  }

  #row(line: ChatMessage): HTMLElement {
    const mine = line.userId === data.user?.id;
    const seller = line.role === "ADMIN" || (mine && data.user?.isAdmin === true);
    const kind = seller ? "say-seller" : mine ? "say-mine" : "";
    // Seen by staff alone (live.css); a line that was there before they became staff has it too.
    const more = make("button", { type: "button", class: "say-more", "data-line-menu": line.id, "aria-label": t("js_line_menu_of", { name: line.displayName }) }, icon("ellipsis", data.icons));
    return make(
      "p",
      { class: `say ${kind}`.trim(), "data-testid": "chat-line", "data-id": line.id },
      make("b", {}, seller ? `${line.displayName} · ${t("js_seller")}` : line.displayName),
      line.message,
      more,
    );
  }

  #scrolled(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#lines;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.#following) this.#newer.hidden = true;
  }

  #toEnd(): void {
    this.#lines.scrollTop = this.#lines.scrollHeight;
    this.#following = true;
    this.#newer.hidden = true;
  }

  #pressed(event: Event): void {
    const button = (event.target as Element).closest<HTMLElement>("[data-line-menu]");
    const line = button && this.#log.lines.find((one) => one.id === button.dataset["lineMenu"]);
    if (line) this.menu(line);
    else this.#open();
  }

  #open(): void {
    if (window.getSelection()?.toString()) return;
    this.live.dataset["chat"] = "open";
  }

  #close(): void {
    delete this.live.dataset["chat"];
    this.#toEnd();
  }
}
