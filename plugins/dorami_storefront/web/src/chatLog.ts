/** The chat of one room, pure: history and messages go in, in any order and any number of times; one line each comes out. */

export interface ChatMessage {
  readonly id: string;
  readonly liveId: string;
  readonly userId: string;
  readonly displayName: string;
  readonly message: string;
  readonly timestamp: string;
  readonly seq: number;
  readonly epoch: number | string;
  readonly role?: string;
}

export const MAX_LINES = 300;

export class ChatLog {
  #lines: ChatMessage[] = [];
  readonly #gone = new Set<string>();

  get lines(): readonly ChatMessage[] {
    return this.#lines;
  }

  /** True where the message was new. A room that began anew (another epoch) forgets the old order, not the lines. */
  add(message: ChatMessage): boolean {
    if (this.#gone.has(message.id) || this.#lines.some((line) => line.id === message.id)) return false;
    let at = this.#lines.length;
    while (at > 0 && this.#later(this.#lines[at - 1]!, message)) at -= 1;
    this.#lines.splice(at, 0, message);
    if (this.#lines.length > MAX_LINES) this.#lines.splice(0, this.#lines.length - MAX_LINES);
    return true;
  }

  /** How many of a history were new: after a reconnect, what was missed. */
  merge(history: readonly ChatMessage[]): number {
    return history.filter((message) => this.add(message)).length;
  }

  remove(id: string): boolean {
    this.#gone.add(id);
    const before = this.#lines.length;
    this.#lines = this.#lines.filter((line) => line.id !== id);
    return this.#lines.length < before;
  }

  #later(line: ChatMessage, than: ChatMessage): boolean {
    if (line.epoch === than.epoch) return line.seq > than.seq;
    return Date.parse(line.timestamp) > Date.parse(than.timestamp);
  }
}
