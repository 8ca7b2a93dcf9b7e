/** What the seller and moderators may do: to one line and who wrote it, or to the room. */

import type { ChatMessage } from "../chatLog";
import { find, icon, make, toast } from "../dom";
import { data, sayError, t } from "../page";

const MINUTES = [1, 5, 10, 60] as const;
const SLOW_SECONDS = [0, 5, 10, 30, 60] as const;

/** Sends a command of staff; the room is added by the connection. */
export type Command = (event: string, payload: object) => Promise<unknown>;

export interface Room {
  readonly frozen: boolean;
  readonly slowSeconds: number;
  readonly pinnedId: string | null;
}

export class StaffSheet {
  readonly #sheet = find<HTMLDialogElement>("[data-staff-sheet]");

  constructor(
    private readonly command: Command,
    private readonly room: () => Room,
  ) {
    this.#sheet.addEventListener("click", (event) => event.target === this.#sheet && this.#sheet.close());
    find("[data-room-tools]").addEventListener("click", () => this.openRoom());
  }

  openLine(line: ChatMessage): void {
    const userId = line.userId;
    const isPinned = this.room().pinnedId === line.id;
    const isSeller = line.role === "ADMIN";
    const mine = userId === data.user?.id;
    const name = line.displayName;
    const rows: (HTMLElement | false)[] = [
      isPinned
        ? this.#action("pin", t("js_unpin"), "unpin", "chat:unpin-message", {}, t("js_unpinned"))
        : this.#action("pin", t("js_pin"), "pin", "chat:pin-message", { messageId: line.id }, t("js_pinned")),
      this.#action("trash-2", t("js_delete_line"), "delete", "chat:delete-message", { messageId: line.id }, t("js_line_deleted")),
    ];
    const about: (HTMLElement | false)[] = isSeller || mine ? [] : [
      make("p", { class: "label pt-2" }, t("js_time_out", { name })),
      make("div", { class: "chips" }, ...MINUTES.map((minutes) => this.#minutes(userId, name, minutes))),
      this.#action("ban", t("js_ban", { name }), "ban", "chat:ban-user", { userId }, t("js_banned_told", { name }), {
        event: "chat:unban-user", payload: { userId },
      }),
      data.user?.isAdmin === true &&
        this.#action("shield", t("js_make_moderator", { name }), "moderator", "chat:add-moderator", { userId }, t("js_moderator_told", { name }), {
          event: "chat:remove-moderator", payload: { userId },
        }),
    ];
    const quote = make("blockquote", { class: "quote" }, make("b", {}, name), line.message);
    this.#show(t("js_line_menu"), quote, ...rows, ...about);
  }

  openRoom(): void {
    const { frozen, slowSeconds, pinnedId } = this.room();
    const slow = SLOW_SECONDS.map((seconds) => {
      const chip = make(
        "button",
        { type: "button", class: "chip", role: "radio", "aria-checked": String(seconds === slowSeconds), "data-testid": `slow-${seconds}` },
        seconds === 0 ? t("js_off") : t("js_seconds", { count: seconds }),
      );
      chip.addEventListener("click", () => void this.#do("chat:set-mode", { slowSeconds: seconds }, seconds === 0 ? t("js_slow_off_told") : t("js_slow_told", { count: seconds })));
      return chip;
    });
    this.#show(
      t("js_room_tools"),
      this.#action(
        "snowflake",
        frozen ? t("js_thaw") : t("js_freeze"),
        "freeze",
        "chat:set-mode",
        { frozen: !frozen },
        frozen ? t("js_thawed") : t("js_frozen_told"),
      ),
      make("p", { class: "label pt-2" }, t("js_slow_mode")),
      make("div", { class: "chips", role: "radiogroup", "aria-label": t("js_slow_mode") }, ...slow),
      pinnedId !== null && this.#action("pin", t("js_unpin"), "unpin", "chat:unpin-message", {}, t("js_unpinned")),
    );
  }

  #show(title: string, ...rows: (HTMLElement | false)[]): void {
    const close = make("button", { type: "button", class: "icon-btn", "aria-label": t("js_close") }, icon("x", data.icons, "icon-lg"));
    close.addEventListener("click", () => this.#sheet.close());
    this.#sheet.replaceChildren(
      make("header", {}, make("h2", { id: "staff-title" }, title), close),
      make("div", { class: "scroll staff" }, ...rows),
    );
    if (!this.#sheet.open) this.#sheet.showModal();
  }

  #action(
    symbol: "pin" | "trash-2" | "ban" | "shield" | "snowflake",
    label: string,
    testId: string,
    event: string,
    payload: object,
    told: string,
    undo?: { readonly event: string; readonly payload: object },
  ): HTMLElement {
    const button = make(
      "button",
      { type: "button", class: `staff-row ${symbol === "ban" || symbol === "trash-2" ? "staff-danger" : ""}`, "data-testid": `staff-${testId}` },
      icon(symbol, data.icons),
      make("span", {}, label),
    );
    button.addEventListener("click", () => void this.#do(event, payload, told, undo));
    return button;
  }

  #minutes(userId: string, name: string, minutes: number): HTMLElement {
    const chip = make("button", { type: "button", class: "chip", "data-testid": `timeout-${minutes}` }, t("js_minutes", { count: minutes }));
    chip.addEventListener("click", () =>
      void this.#do("chat:timeout-user", { userId, minutes }, t("js_timed_out_told", { name, count: minutes }), {
        event: "chat:end-timeout", payload: { userId },
      }),
    );
    return chip;
  }

  /** Done, told, and where it can be taken back that is one press away. */
  async #do(event: string, payload: object, told: string, undo?: { readonly event: string; readonly payload: object }): Promise<void> {
    this.#sheet.close();
    try {
      await this.command(event, payload);
      toast(told, undo && { label: t("js_undo"), press: () => void this.#do(undo.event, undo.payload, t("js_undone")) });
    } catch (error) {
      sayError(error);
    }
  }
}
