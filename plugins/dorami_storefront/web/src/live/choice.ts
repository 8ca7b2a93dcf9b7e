/** Choosing within the sheet: colour, size, how many, and the one button. Stock may change underneath at any time. */

import { availableFor, MAX_QUANTITY, type Product, refusal } from "../catalog";
import { find, icon, make } from "../dom";
import { money } from "../money";
import { clock, data, t } from "../page";
import type { Place, Waiting } from "../waiting";
import { cost, leftText, picture } from "./productView";

export interface Wish {
  readonly productId: string;
  readonly quantity: number;
  readonly color?: string;
  readonly size?: string;
}

/** What can be done with a choice; each answers whether it was done. */
export interface Buying {
  add(wish: Wish): Promise<boolean>;
  wait(wish: Wish): Promise<boolean>;
  leave(place: Place): Promise<boolean>;
}

type Option = "color" | "size";

export class Choice {
  readonly body = make("div", { class: "scroll choice" });
  readonly foot = make("div", { class: "foot" });
  readonly #chosen: Record<Option, string | null> = { color: null, size: null };
  #quantity = 1;
  #busy = false;

  constructor(
    public product: Product,
    private readonly waiting: Waiting,
    private readonly buying: Buying,
    private readonly done: () => void,
  ) {
    // A single possibility need not be chosen.
    if (product.colorOptions.length === 1) this.#chosen.color = product.colorOptions[0] ?? null;
    if (product.sizeOptions.length === 1) this.#chosen.size = product.sizeOptions[0] ?? null;
  }

  update(product: Product): void {
    this.product = product;
    this.#draw();
  }

  #draw(): void {
    const focus = (document.activeElement as HTMLElement | null)?.dataset["key"];
    const { product } = this;
    this.body.replaceChildren(
      make(
        "div",
        { class: "head" },
        picture(product),
        make("div", {}, make("h3", {}, product.name), cost(product), leftText(this.#available(), product.waiting), ...this.#limit()),
      ),
      ...this.#options("color", t("js_color"), product.colorOptions),
      ...this.#options("size", t("js_size"), product.sizeOptions),
    );
    this.foot.replaceChildren(this.#stepper(), this.#button());
    if (focus) find<HTMLElement>("dialog[open]").querySelector<HTMLElement>(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }

  #available(): number {
    return availableFor(this.product, this.#chosen.color, this.#chosen.size);
  }

  #limit(): HTMLElement[] {
    const most = this.product.maxPerBuyer;
    return most ? [make("p", { class: "hint" }, t("js_limit", { count: most }))] : [];
  }

  #options(option: Option, label: string, values: readonly string[]): HTMLElement[] {
    if (!values.length) return [];
    const chips = values.map((value) => {
      const other = option === "color" ? this.#chosen.size : this.#chosen.color;
      const left = option === "color" ? availableFor(this.product, value, other) : availableFor(this.product, other, value);
      const chip = make(
        "button",
        {
          type: "button",
          class: "chip",
          role: "radio",
          "aria-checked": String(this.#chosen[option] === value),
          "aria-label": left > 0 ? value : `${value} ${t("js_sold_out")}`,
          // Crossed out, but it can be chosen: to wait for it.
          "data-gone": left <= 0,
          "data-key": `${option}:${value}`,
          "data-testid": `${option}-${value}`,
        },
        value,
      );
      chip.addEventListener("click", () => {
        this.#chosen[option] = this.#chosen[option] === value ? null : value;
        this.#draw();
      });
      return chip;
    });
    return [make("div", { role: "radiogroup", "aria-label": label }, make("p", { class: "label pb-2" }, label), make("div", { class: "chips" }, ...chips))];
  }

  #stepper(): HTMLElement {
    const left = this.#available();
    const most = Math.min(MAX_QUANTITY, left > 0 ? left : MAX_QUANTITY, this.product.maxPerBuyer ?? MAX_QUANTITY);
    this.#quantity = Math.min(this.#quantity, most);
    const step = (by: number, name: string, label: string) => {
      const button = make("button", { type: "button", "aria-label": label, disabled: this.#quantity + by < 1 || this.#quantity + by > most, "data-key": name }, icon(name, data.icons));
      button.addEventListener("click", () => {
        this.#quantity += by;
        this.#draw();
      });
      return button;
    };
    const count = make("output", { "aria-live": "polite", "aria-label": t("js_quantity") }, String(this.#quantity));
    return make(
      "div",
      { class: "line" },
      make("span", { class: "stepper" }, step(-1, "minus", t("js_less")), count, step(1, "plus", t("js_more"))),
      make("span", { class: "price total" }, total(this.product, this.#quantity)),
    );
  }

  #button(): HTMLElement {
    const { product } = this;
    const place = this.waiting.find(product, this.#chosen.color, this.#chosen.size, clock.now());
    if (place?.status === "PROMOTED") {
      return make("a", { href: "/checkout", class: "btn btn-primary btn-wide" }, t("js_turn_order"));
    }
    if (place) return this.#place(place);
    const why = refusal(product, this.#chosen.color, this.#chosen.size);
    const label = this.#busy ? t("js_adding") : why === "option" ? t("js_choose_first") : why === "soldOut" ? t("js_wait") : t("js_add");
    return this.#press(label, why === "soldOut" ? "wait-in-line" : "add-to-cart", why === "option", () =>
      why === "soldOut" ? this.buying.wait(this.#wish()) : this.buying.add(this.#wish()),
    );
  }

  #place(place: Place): HTMLElement {
    const words = make("p", { class: "place", role: "status", "data-testid": "place" }, t("js_waiting_at", { position: place.position ?? "" }));
    const leave = this.#press(t("js_leave_queue"), "leave-queue", false, () => this.buying.leave(place));
    leave.classList.replace("btn-primary", "btn-quiet");
    return make("div", { class: "line" }, words, leave);
  }

  #press(label: string, testid: string, disabled: boolean, act: () => Promise<boolean>): HTMLElement {
    const button = make(
      "button",
      { type: "button", class: "btn btn-primary btn-wide", disabled: disabled || this.#busy, "aria-busy": String(this.#busy), "data-testid": testid, "data-key": "add" },
      label,
    );
    button.addEventListener("click", () => void this.#run(act, testid === "add-to-cart"));
    return button;
  }

  #wish(): Wish {
    const { color, size } = this.#chosen;
    return { productId: this.product.id, quantity: this.#quantity, ...(color ? { color } : {}), ...(size ? { size } : {}) };
  }

  async #run(act: () => Promise<boolean>, closes: boolean): Promise<void> {
    this.#busy = true;
    this.#draw();
    try {
      if ((await act()) && closes) this.done();
    } finally {
      this.#busy = false;
      this.#draw();
    }
  }
}

/** What so many cost, in whole minor units so that nothing is rounded. */
function total(product: Product, quantity: number): string {
  const [whole = "0", rest = ""] = product.finalPrice.split(".");
  const digits = (BigInt(whole + rest) * BigInt(quantity)).toString().padStart(rest.length + 1, "0");
  const amount = rest ? `${digits.slice(0, -rest.length)}.${digits.slice(-rest.length)}` : digits;
  return money(amount, product.currency);
}
