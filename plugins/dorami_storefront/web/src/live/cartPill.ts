/** The pill with what is held and the nearest end of it: amber under two minutes, red under thirty seconds. */

import { type Cart, pill } from "../cart";
import { clockText, level } from "../countdown";
import { find, icon, make, toast } from "../dom";
import { api, clock, data, t, timeOfDay } from "../page";

export class CartPill {
  readonly #element = find<HTMLAnchorElement>("[data-pill]");
  #cart: Cart = { items: [] };
  #loading = 0;
  #drawn = "";
  readonly #announcer = make("p", { class: "sr-only", role: "status" });
  #announced = "";

  constructor() {
    document.body.append(this.#announcer);
    setInterval(() => this.#draw(), 250);
    // A phone that slept has missed events.
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && void this.load());
  }

  /** Reads the cart again; of two answers the later question's counts. */
  async load(): Promise<void> {
    if (data.user === null) return;
    const mine = ++this.#loading;
    try {
      const cart = await api.get<Cart>("/api/cart");
      if (mine !== this.#loading) return;
      clock.learn(cart.serverTime);
      this.#cart = cart;
      this.#draw();
    } catch {
      // The pill keeps what it knew; the next event or the next glance at the page asks again.
    }
  }

  /** Every second would be a flood for a listener: it is said once when it gets amber and once when it gets red. */
  #announce(shown: string, key: string, time: string): void {
    if (key === this.#announced || (shown !== "soon" && shown !== "urgent")) return;
    this.#announced = key;
    this.#announcer.textContent = t("js_cart_ends", { time });
  }

  expired(): void {
    toast(t("js_cart_expired"), { label: t("js_cart"), href: "/cart" });
    void this.load();
  }

  /** The seller gave more time. */
  extended(until: number): void {
    toast(t("js_cart_extended", { time: timeOfDay(until) }));
    void this.load();
  }

  #draw(): void {
    const now = clock.now();
    const { count, until } = pill(this.#cart, now);
    this.#element.hidden = count === 0;
    if (count === 0) return;
    const left = until === null ? null : until - now;
    const shown = level(left ?? Infinity);
    this.#element.dataset["level"] = shown;
    const text = t("js_cart_count", { count });
    const key = `${count}|${left === null ? "" : Math.ceil(left / 1000)}`;
    if (key === this.#drawn) return;
    this.#drawn = key;
    if (left !== null) this.#announce(shown, `${until}|${shown}`, clockText(left, t("js_day")));
    const held = until === null ? "" : t("js_held_until", { time: timeOfDay(until) });
    this.#element.setAttribute("aria-label", `${text}. ${held}`);
    this.#element.replaceChildren(
      icon("shopping-bag", data.icons),
      make("span", {}, left === null ? text : `${text} · `, left === null ? null : make("span", { "data-testid": "countdown" }, clockText(left, t("js_day")))),
      ...(held ? [make("small", {}, held)] : []),
    );
  }
}
