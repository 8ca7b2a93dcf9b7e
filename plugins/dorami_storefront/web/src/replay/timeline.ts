/** Files played one after another as one video, and what was shown when. Pure; all times in milliseconds. */

export interface Part {
  readonly startsMs: number;
  readonly durationMs: number;
  readonly videoUrl: string;
}

export interface Showing {
  readonly productId: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Which file has this moment, and where in it. */
export function partAt(parts: readonly Part[], atMs: number): { index: number; offsetMs: number } {
  let index = 0;
  while (index + 1 < parts.length && parts[index + 1]!.startsMs <= atMs) index += 1;
  const part = parts[index]!;
  return { index, offsetMs: Math.min(Math.max(0, atMs - part.startsMs), part.durationMs) };
}

/** What is shown at a moment: the last that was begun, where it has not ended. */
export function showingAt(showings: readonly Showing[], atMs: number): Showing | null {
  let found: Showing | null = null;
  for (const showing of showings) if (showing.fromMs <= atMs && atMs < showing.untilMs) found = showing;
  return found;
}

/** When a product was shown first; null where it never was. */
export function firstShown(showings: readonly Showing[], productId: string): number | null {
  return showings.find((showing) => showing.productId === productId)?.fromMs ?? null;
}

/** Products in the order in which they were shown first, then the others as they are. */
export function inOrder<T extends { readonly id: string }>(products: readonly T[], showings: readonly Showing[]): T[] {
  const at = (product: T) => firstShown(showings, product.id) ?? Number.POSITIVE_INFINITY;
  return [...products].sort((a, b) => (at(a) === at(b) ? 0 : at(a) - at(b)));
}
