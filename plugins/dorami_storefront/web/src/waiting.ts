/** One's own places in queues, pure. Messages may come late or twice: of two the one with the later `serverTime` counts. */

import type { Product } from "./catalog";

export interface Place {
  readonly id: string;
  readonly productId: string;
  readonly productName: string;
  readonly color: string | null;
  readonly size: string | null;
  readonly quantity: number;
  readonly status: "WAITING" | "PROMOTED" | "FULFILLED" | "EXPIRED" | "CANCELLED";
  readonly position: number | null;
  readonly promotedQuantity: number | null;
  readonly expiresAt: string | null;
  readonly serverTime: string;
}

export class Waiting {
  readonly #places = new Map<string, Place>();

  /** All that is open, as the server listed it; what it does not name is over. */
  reset(places: readonly Place[]): void {
    const named = new Set(places.map((place) => place.id));
    for (const id of this.#places.keys()) if (!named.has(id)) this.#places.delete(id);
    for (const place of places) this.put(place);
  }

  /** False where something newer is known. */
  put(place: Place): boolean {
    const known = this.#places.get(place.id);
    if (known && Date.parse(known.serverTime) > Date.parse(place.serverTime)) return false;
    this.#places.set(place.id, place);
    return true;
  }

  /** The open place for a choice. A product with one stock for all has one queue, whatever is chosen. */
  find(product: Product, color: string | null, size: string | null, now: number): Place | undefined {
    return this.#open(now).find(
      (place) => place.productId === product.id && (!product.variants.length || (place.color === color && place.size === size)),
    );
  }

  /** Any open place for the product: a turn that has come, else the one that is nearest to it. */
  of(product: Product, now: number): Place | undefined {
    return this.#open(now)
      .filter((place) => place.productId === product.id)
      .sort((a, b) => (a.position ?? 0) - (b.position ?? 0))[0];
  }

  /** The turn that ends first. */
  turn(now: number): Place | undefined {
    return this.#open(now)
      .filter((place) => place.status === "PROMOTED")
      .sort((a, b) => ends(a) - ends(b))[0];
  }

  #open(now: number): Place[] {
    return [...this.#places.values()].filter(
      (place) => place.status === "WAITING" || (place.status === "PROMOTED" && ends(place) > now),
    );
  }
}

export function ends(place: Place): number {
  return place.expiresAt === null ? 0 : Date.parse(place.expiresAt);
}
