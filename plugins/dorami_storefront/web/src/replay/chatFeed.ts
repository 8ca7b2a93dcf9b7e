/** The chat of a replay: read page by page ahead of the video, given out as it comes to its time. */

export interface Line {
  readonly id: string;
  readonly atMs: number;
  readonly displayName: string;
  readonly role: string;
  readonly message: string;
}

export interface Page {
  readonly items: readonly Line[];
  readonly nextCursor: string | null;
}

/** A page of the lines from a moment on, or after a cursor; or the last ones before a moment. */
export interface Source {
  from(atMs: number, cursor: string | null): Promise<Page>;
  before(atMs: number): Promise<Page>;
}

export const AHEAD_MS = 20_000;
export const SHOWN = 60;

export class ChatFeed {
  /** What is seen now, oldest first. */
  lines: readonly Line[] = [];
  #waiting: Line[] = [];
  #fromMs = 0;
  #cursor: string | null = null;
  #more = true;
  #loading = false;
  /** Grows with every jump: an answer to an older question is not for us any more. */
  #jump = 0;

  constructor(private readonly source: Source) {}

  /** Begins anew at a moment, with what was said just before it. */
  async jump(atMs: number): Promise<void> {
    const jump = (this.#jump += 1);
    this.#fromMs = atMs;
    this.#cursor = null;
    this.#more = true;
    this.#loading = false;
    this.#waiting = [];
    this.lines = [];
    const { items } = await this.source.before(atMs);
    if (jump === this.#jump) this.lines = [...items, ...this.lines].slice(-SHOWN);
  }

  /** The video is here now; true where there is something new to see. */
  advance(atMs: number): boolean {
    let due = 0;
    while (due < this.#waiting.length && this.#waiting[due]!.atMs <= atMs) due += 1;
    if (due > 0) this.lines = [...this.lines, ...this.#waiting.splice(0, due)].slice(-SHOWN);
    return due > 0;
  }

  /** Reads the next page where less than AHEAD_MS are known; one at a time. */
  async readAhead(atMs: number): Promise<void> {
    const last = this.#waiting.at(-1);
    if (this.#loading || !this.#more || (last !== undefined && last.atMs > atMs + AHEAD_MS)) return;
    const jump = this.#jump;
    this.#loading = true;
    try {
      const page = await this.source.from(this.#fromMs, this.#cursor);
      if (jump !== this.#jump) return;
      this.#waiting.push(...page.items);
      this.#cursor = page.nextCursor;
      this.#more = page.nextCursor !== null;
    } finally {
      if (jump === this.#jump) this.#loading = false;
    }
  }
}
