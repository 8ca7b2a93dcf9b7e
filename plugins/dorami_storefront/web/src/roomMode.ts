/** Whether one may write in a room just now, and how many hearts to let fly: pure, from what the server said. */

import type { ChatMessage } from "./chatLog";

export type PinnedMessage = Pick<ChatMessage, "id" | "userId" | "displayName" | "message">;

/** The acknowledgement of joining a room. */
export interface RoomState {
  readonly frozen: boolean;
  readonly slowSeconds: number;
  readonly pinned: PinnedMessage | null;
  readonly hearts: number;
  readonly isModerator: boolean;
  readonly timedOutUntil: string | null;
}

export type Barrier = "none" | "timedOut" | "frozen" | "slow";

export interface Writer {
  readonly frozen: boolean;
  readonly slowSeconds: number;
  readonly isModerator: boolean;
  /** In ms of the server's clock; 0: not at all. */
  readonly timedOutUntil: number;
  /** When slow mode lets the next message through. */
  readonly nextAt: number;
}

/** What keeps this person from writing at `now`, the strongest first; staff are kept by nothing. */
export function barrier(writer: Writer, now: number): Barrier {
  if (writer.isModerator) return "none";
  if (writer.timedOutUntil > now) return "timedOut";
  if (writer.frozen) return "frozen";
  return writer.slowSeconds > 0 && writer.nextAt > now ? "slow" : "none";
}

/** `1:05`, `0:09`: what is left of a wait, rounded up. */
export function leftText(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export const FLYING_MOST = 24;
const AT_ONCE = 8;

/** How many hearts fly for a new total: the people's own are there already, and a crowd is shown by a few. */
export function heartsToFly(before: number | null, total: number, own: number, flying: number): number {
  if (before === null) return 0;
  const others = total - before - own;
  return Math.max(0, Math.min(others, AT_ONCE, FLYING_MOST - flying));
}
