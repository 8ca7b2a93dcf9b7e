/** The seller's desk for the chat: banned words, moderators, who is silenced or banned, and the log of a broadcast. */

import { find, icon, make, toast } from "./dom";
import { api, data, sayError, t, timeOfDay } from "./page";

const LISTS = "/api/admin/moderation";

interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}

interface Person {
  readonly userId: string;
  readonly displayName: string;
  readonly at: string;
  readonly reason: string | null;
  readonly until: string | null;
}

interface Word {
  readonly id: string;
  readonly word: string;
}

interface Logged {
  readonly id: string;
  readonly displayName: string;
  readonly role: string;
  readonly message: string;
  readonly timestamp: string;
  readonly deletedAt: string | null;
}

export function chatDesk(desk: HTMLElement): void {
  for (const list of desk.querySelectorAll<HTMLElement>("[data-people]")) void people(list, list.dataset["people"] ?? "");
  void words(find("[data-testid=words]", desk));
}

async function people(list: HTMLElement, kind: string, cursor: string | null = null): Promise<void> {
  const rows = find("[data-rows]", list);
  try {
    const page = await api.get<Page<Person>>(`${LISTS}/${kind}${cursor === null ? "" : `?cursor=${cursor}`}`);
    rows.append(...page.items.map((person) => personRow(kind, person)));
    find("[data-none]", list).hidden = rows.childElementCount > 0;
    const more = find<HTMLButtonElement>("[data-more]", list);
    more.hidden = page.nextCursor === null;
    more.onclick = () => void people(list, kind, page.nextCursor);
  } catch (error) {
    sayError(error);
  }
}

function personRow(kind: string, person: Person): HTMLElement {
  const until = person.until === null ? "" : t("js_held_until", { time: timeOfDay(Date.parse(person.until), false) });
  const label = kind === "moderators" ? t("js_remove") : t("js_release");
  const undo = make("button", { type: "button", class: "btn btn-small", "aria-label": `${person.displayName} ${label}` }, label);
  const row = make(
    "li",
    { class: "desk-person", "data-testid": "desk-person" },
    make("span", { class: "grid min-w-0" }, make("b", {}, person.displayName), make("small", { class: "hint" }, person.reason || until || day(person.at))),
    undo,
  );
  undo.addEventListener("click", async () => {
    undo.disabled = true;
    try {
      await api.delete(`${LISTS}/${kind}/${person.userId}`);
      row.remove();
      toast(t("js_undone"));
    } catch (error) {
      undo.disabled = false;
      sayError(error);
    }
  });
  return row;
}

async function words(section: HTMLElement): Promise<void> {
  const list = find("[data-words]", section);
  const form = find<HTMLFormElement>("form", section);
  const input = find<HTMLInputElement>("input", form);
  const button = find<HTMLButtonElement>("button", form);
  const problem = find("[data-problem]", section);
  const drawNone = () => {
    find("[data-none]", section).hidden = list.childElementCount > 0;
  };
  const show = (word: Word) => {
    if (list.querySelector(`[data-word="${CSS.escape(word.id)}"]`)) return;
    list.append(wordChip(word, drawNone));
    drawNone();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    try {
      const word = input.value.trim();
      const { id } = await api.post<{ id: string }>(`${LISTS}/words`, { word });
      show({ id, word });
      form.reset();
    } catch (error) {
      problem.hidden = false;
      find("span", problem).textContent = error instanceof Error ? error.message : t("js_failed");
    } finally {
      button.disabled = false;
    }
  });
  try {
    let cursor: string | null = "";
    while (cursor !== null) {
      const page: Page<Word> = await api.get<Page<Word>>(`${LISTS}/words?limit=100${cursor && `&cursor=${cursor}`}`);
      page.items.forEach(show);
      cursor = page.nextCursor;
    }
    drawNone();
    button.disabled = false;
  } catch (error) {
    sayError(error);
  }
}

function wordChip({ id, word }: Word, gone: () => void): HTMLElement {
  const remove = make("button", { type: "button", class: "chip", "aria-label": t("js_word_remove", { word }) }, word, icon("x", data.icons));
  const item = make("li", { "data-word": id, "data-testid": "word" }, remove);
  remove.addEventListener("click", async () => {
    remove.disabled = true;
    try {
      await api.delete(`${LISTS}/words/${id}`);
      item.remove();
      gone();
    } catch (error) {
      remove.disabled = false;
      sayError(error);
    }
  });
  return item;
}

/** The log of one broadcast, oldest first, read when it is opened. */
export function chatLog(box: HTMLDetailsElement, streamKey: string): void {
  const lines = find("[data-log-lines]", box);
  const more = find<HTMLButtonElement>("[data-more]", box);
  let cursor: string | null = null;
  const read = async () => {
    more.disabled = true;
    try {
      const next = cursor === null ? "" : `&cursor=${cursor}`;
      const page = await api.get<Page<Logged>>(`/api/admin/chat/${encodeURIComponent(streamKey)}?limit=100${next}`);
      lines.append(...page.items.map(logLine));
      cursor = page.nextCursor;
      more.hidden = cursor === null;
      find("[data-none]", box).hidden = lines.childElementCount > 0;
    } catch (error) {
      sayError(error);
    } finally {
      more.disabled = false;
    }
  };
  more.addEventListener("click", () => void read());
  box.addEventListener("toggle", () => box.open && !lines.childElementCount && void read());
}

function logLine(line: Logged): HTMLElement {
  return make(
    "li",
    { class: `log-line ${line.deletedAt === null ? "" : "log-gone"}`.trim(), "data-testid": "log-line" },
    make("time", { class: "hint num", datetime: line.timestamp }, timeOfDay(Date.parse(line.timestamp))),
    make("span", {}, make("b", {}, line.displayName), " ", line.message, line.deletedAt !== null && make("small", { class: "hint" }, ` ${t("js_log_deleted")}`)),
  );
}

function day(at: string): string {
  return new Intl.DateTimeFormat(data.lang === "ko" ? "ko-KR" : "en-GB", { timeZone: data.timezone, dateStyle: "medium" }).format(Date.parse(at));
}
