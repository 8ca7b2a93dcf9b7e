/** The products of one broadcast, pure. Events may come late or twice: only a newer `version` changes anything. */

export interface Variant {
  readonly color: string | null;
  readonly size: string | null;
  readonly available: number;
  /** How many people wait for it; what is available is for them alone then. */
  readonly waiting?: number;
}

export interface Product {
  readonly id: string;
  readonly version: number;
  readonly name: string;
  readonly price: string;
  readonly finalPrice: string;
  readonly currency: string;
  readonly discountRate: number;
  readonly available: number;
  readonly waiting?: number;
  readonly status: "AVAILABLE" | "SOLD_OUT";
  readonly imageUrl: string | null;
  readonly colorOptions: readonly string[];
  readonly sizeOptions: readonly string[];
  readonly variants: readonly Variant[];
  readonly sortOrder: number;
  /** How many one buyer may have, or null. */
  readonly maxPerBuyer?: number | null;
  readonly createdAt: string;
}

export class Catalog {
  readonly #products = new Map<string, Product>();
  /** Versions of what was deleted, so that a late update does not bring it back. */
  readonly #deleted = new Map<string, number>();
  #pinned: string | null = null;

  /** All of a snapshot; what it does not name is gone. */
  reset(products: readonly Product[], pinned: string | null): void {
    const named = new Set(products.map((product) => product.id));
    for (const id of this.#products.keys()) if (!named.has(id)) this.#products.delete(id);
    for (const product of products) this.put(product);
    this.#pinned = pinned;
  }

  /** Which product is shown now; null: none is pinned. */
  pin(id: string | null): void {
    this.#pinned = id;
  }

  put(product: Product): boolean {
    const known = this.#products.get(product.id)?.version ?? this.#deleted.get(product.id) ?? -1;
    if (product.version <= known) return false;
    this.#products.set(product.id, product);
    return true;
  }

  delete(id: string, version: number): boolean {
    const known = this.#products.get(id);
    if (known && known.version > version) return false;
    this.#deleted.set(id, version);
    return this.#products.delete(id);
  }

  find(id: string): Product | undefined {
    return this.#products.get(id);
  }

  /** The pinned one first, then as the seller sorted them, sold-out ones last. */
  list(): Product[] {
    const rank = (product: Product) => (product.id === this.#pinned ? 0 : canBuy(product) ? 1 : 2);
    return [...this.#products.values()].sort(
      (a, b) => rank(a) - rank(b) || a.sortOrder - b.sortOrder || a.createdAt.localeCompare(b.createdAt),
    );
  }

  /** What the product is called in the chat ("3번 2개"): its place as the seller sorted them, from 1. */
  number(id: string): number {
    const sorted = [...this.#products.values()].sort(
      (a, b) => a.sortOrder - b.sortOrder || a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id),
    );
    return sorted.findIndex((product) => product.id === id) + 1;
  }

  /** The product shown now: the pinned one, else the first that can be bought, else the first. */
  current(): Product | undefined {
    return this.list()[0];
  }
}

export function canBuy(product: Product): boolean {
  return availableFor(product, null, null) > 0;
}

/** What is left of one choice; a choice that is not yet complete counts what its completions have. */
export function availableFor(product: Product, color: string | null, size: string | null): number {
  if (product.status !== "AVAILABLE") return 0;
  if (!product.variants.length) return product.waiting ? 0 : Math.max(0, product.available);
  return product.variants
    .filter((one) => !one.waiting && (color === null || one.color === color) && (size === null || one.size === size))
    .reduce((sum, one) => sum + Math.max(0, one.available), 0);
}

export const MAX_QUANTITY = 99;

/** Whether a choice can go into the cart, and if not, why not. */
export function refusal(product: Product, color: string | null, size: string | null): "option" | "soldOut" | null {
  if (product.colorOptions.length && color === null) return "option";
  if (product.sizeOptions.length && size === null) return "option";
  return availableFor(product, color, size) > 0 ? null : "soldOut";
}
