/** The products as they are seen: the card of the one shown now, the rows beside the video, the sheet. */

import { availableFor, canBuy, type Catalog, type Product } from "../catalog";
import { find, gradient, icon, make } from "../dom";
import { money } from "../money";
import { clock, data, t } from "../page";
import type { Waiting } from "../waiting";
import { type Buying, Choice } from "./choice";

const FEW = 5;

export class ProductView {
  readonly #card = find("[data-now]");
  readonly #list = find("[data-product-list]");
  readonly #count = find("[data-product-count]");
  readonly #sheet = find<HTMLDialogElement>("[data-sheet]");
  #choice: Choice | null = null;

  constructor(
    private readonly catalog: Catalog,
    private readonly waiting: Waiting,
    private readonly buying: Buying,
  ) {
    find("[data-open-sheet]").addEventListener("click", () => this.open(null));
    this.#sheet.addEventListener("click", (event) => event.target === this.#sheet && this.#sheet.close());
    this.#sheet.addEventListener("close", () => {
      this.#choice = null;
    });
  }

  draw(): void {
    const products = this.catalog.list();
    this.#count.textContent = String(products.length);
    this.#count.hidden = products.length === 0;
    this.#list.replaceChildren(
      ...(products.length ? products.map((product, at) => this.#row(product, at)) : [make("p", { class: "hint p-3" }, t("js_no_products"))]),
    );
    this.#drawCard(this.catalog.current());
    if (this.#sheet.open) this.#drawSheet();
  }

  /** The sheet with one product, or with all of them. */
  open(product: Product | null): void {
    this.#choice = product && new Choice(product, this.waiting, this.buying, () => this.#sheet.close());
    this.#drawSheet();
    if (!this.#sheet.open) this.#sheet.showModal();
  }

  #drawCard(product: Product | undefined): void {
    this.#card.hidden = product === undefined;
    if (product === undefined) return;
    const open = make("button", { type: "button", class: "now-open", "aria-label": t("js_open_product", { name: product.name }) }, picture(product), words(product));
    open.addEventListener("click", () => this.open(product));
    const buy = make("button", { type: "button", class: "btn btn-primary btn-small", "data-testid": "card-buy" }, this.#call(product));
    buy.addEventListener("click", () => this.open(product));
    const focused = this.#card.contains(document.activeElement) ? document.activeElement?.className : null;
    this.#card.dataset["product"] = product.id;
    this.#card.replaceChildren(open, buy);
    // An update must not take the focus from somebody's keyboard.
    if (focused) this.#card.querySelector<HTMLElement>(focused.includes("btn") ? ".btn" : ".now-open")?.focus();
  }

  /** What the card's button says: buy, wait, or how far one's own waiting is. */
  #call(product: Product): string {
    const place = this.waiting.of(product, clock.now());
    if (place?.status === "PROMOTED") return t("js_turn_short");
    if (place?.position) return t("js_waiting_at", { position: place.position });
    return canBuy(product) ? t("js_buy") : t("js_wait");
  }

  #row(product: Product, at: number): HTMLElement {
    const row = make("button", { type: "button", class: "row", "data-soldout": !canBuy(product), "data-product": product.id }, picture(product), words(product, at === 0, this.catalog.number(product.id)));
    row.addEventListener("click", () => this.open(product));
    return row;
  }

  #drawSheet(): void {
    const chosen = this.#choice;
    const product = chosen && this.catalog.find(chosen.product.id);
    const close = make("button", { type: "button", class: "icon-btn", "aria-label": t("js_close") }, icon("x", data.icons, "icon-lg"));
    close.addEventListener("click", () => this.#sheet.close());
    const title = make("h2", { id: "sheet-title" }, chosen ? t("js_choose") : t("js_all_products", { count: this.catalog.list().length }));
    if (chosen && product) {
      const back = make("button", { type: "button", class: "icon-btn", "aria-label": t("js_back_to_all") }, icon("arrow-left", data.icons, "icon-lg"));
      back.addEventListener("click", () => this.open(null));
      chosen.update(product);
      const head = make("header", { class: "inner" }, back, title, close);
      this.#sheet.replaceChildren(head, chosen.body, chosen.foot);
      return;
    }
    this.#choice = null;
    const rows = this.catalog.list().map((one, at) => this.#row(one, at));
    const empty = make("p", { class: "hint py-8 text-center" }, t("js_no_products"));
    this.#sheet.replaceChildren(make("header", {}, title, close), make("div", { class: "scroll" }, ...(rows.length ? rows : [empty])));
  }
}

export function picture(product: Product): HTMLElement {
  const box = make("span", { class: `picture ${gradient(product.id)}` }, icon("image", data.icons));
  if (product.imageUrl) box.append(make("img", { src: product.imageUrl, alt: "", decoding: "async" }));
  if (!canBuy(product)) box.append(make("span", { class: "veil" }, t("js_sold_out")));
  return box;
}

export function cost(product: Product): HTMLElement {
  const rate = product.discountRate > 0;
  return make(
    "span",
    { class: "cost" },
    rate && make("span", { class: "rate" }, `${product.discountRate}%`),
    make("span", { class: "price" }, money(product.finalPrice, product.currency)),
    rate && make("s", { class: "price-old" }, money(product.price, product.currency)),
  );
}

/** `3개 남음`; of few it is said louder. */
export function leftText(available: number, waiting = 0): HTMLElement {
  if (available <= 0) {
    return make("span", { class: "left" }, waiting ? t("js_sold_out_waiting", { count: waiting.toLocaleString("en-US") }) : t("js_sold_out"));
  }
  const few = available <= FEW ? "left-few" : "";
  return make("span", { class: `left ${few}` }, t("js_left", { count: available.toLocaleString("en-US") }));
}

function words(product: Product, current = false, number = 0): HTMLElement {
  return make(
    "span",
    { class: "what" },
    current && make("span", { class: "badge badge-live tag" }, t("js_now")),
    make("span", { class: "name" }, number ? `${t("js_number", { number })} ` : null, product.name),
    cost(product),
    leftText(availableFor(product, null, null), product.waiting),
  );
}
