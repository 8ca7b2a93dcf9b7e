/** The cart pill, pure: how many things are held and which hold ends first. */

export interface CartItem {
  readonly id: string;
  readonly quantity: number;
  readonly expiresAt: string | null;
}

export interface Cart {
  readonly items: readonly CartItem[];
  readonly serverTime?: string;
}

export interface Pill {
  readonly count: number;
  /** Milliseconds since the epoch, or null where nothing has a timer. */
  readonly until: number | null;
}

export function pill(cart: Cart, now: number): Pill {
  const alive = cart.items.filter((item) => item.expiresAt === null || Date.parse(item.expiresAt) > now);
  const ends = alive.flatMap((item) => (item.expiresAt === null ? [] : [Date.parse(item.expiresAt)]));
  return { count: alive.length, until: ends.length ? Math.min(...ends) : null };
}
