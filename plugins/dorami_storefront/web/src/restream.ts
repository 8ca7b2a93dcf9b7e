/** Where broadcasts are sent on to: the targets with how each is doing, once a second, and the form to keep them. */

import { submits } from "./deskForms";
import { find, icon, make, toast } from "./dom";
import { api, data, sayError, t, timeOfDay } from "./page";
import { againIn, BADGES, bitrate, duration, isOn, size, trouble, type Target } from "./restreamTarget";

const LOOK_MS = 1000;
const PATH = "/api/restream/targets";

interface Entry {
  readonly startedAt: string;
  readonly lines: readonly string[];
}

const list = find("[data-targets]");
const form = find<HTMLFormElement>("#target-form");
const cards = new Map<string, Card>();
let edited: Target | null = null;

class Card {
  readonly element: HTMLElement;
  #target: Target;
  readonly #badge = make("span", { class: "badge", "data-testid": "target-status" });
  readonly #title = make("b", { class: "text-lg" });
  readonly #where = make("span", { class: "hint break-all" });
  readonly #numbers = make("dl", { class: "numbers" });
  readonly #trouble = make("p", { class: "notice notice-bad" }, icon("circle-alert", data.icons));
  readonly #sentence = make("span");
  readonly #slate = make("p", { class: "notice", hidden: true }, icon("clock", data.icons), make("span", {}, t("js_restream_slate")));
  readonly #toggle = make("button", { class: "btn btn-small", type: "button", "data-testid": "target-toggle" });
  readonly #log = make("pre", { class: "log", tabindex: "0" });

  constructor(target: Target) {
    this.#target = target;
    this.#trouble.append(this.#sentence);
    const edit = make("button", { class: "btn btn-small", type: "button" }, t("js_restream_edit"));
    const remove = make("button", { class: "btn btn-small btn-quiet", type: "button", "aria-label": t("js_restream_delete", { name: target.name }) }, icon("trash-2", data.icons));
    const log = make("details", { class: "grid gap-2" }, make("summary", { class: "tap hint" }, t("js_restream_log")), this.#log);
    this.element = make(
      "article",
      { class: "card grid gap-3", "data-target": target.id },
      make("div", { class: "flex flex-wrap items-center gap-3" }, make("div", { class: "grid flex-1 gap-1" }, this.#title, this.#where), this.#badge),
      this.#trouble,
      this.#slate,
      this.#numbers,
      make("div", { class: "flex flex-wrap gap-2" }, this.#toggle, edit, remove),
      log,
    );
    this.#toggle.addEventListener("click", () => void this.#press());
    edit.addEventListener("click", () => fill(this.#target));
    remove.addEventListener("click", () => this.#remove());
    log.addEventListener("toggle", () => log.open && void this.#readLog());
    this.show(target);
  }

  show(target: Target): void {
    this.#target = target;
    this.#title.textContent = target.name;
    this.#where.textContent = `${t(`js_platform_${target.platform.toLowerCase()}`)} · ${target.rtmpUrl} · ${target.streamKey}`;
    this.#badge.className = `badge ${BADGES[target.status]}`;
    this.#badge.dataset["status"] = target.status;
    this.#badge.textContent = t(`js_restream_${target.status.toLowerCase()}`);
    const problem = trouble(target);
    this.#trouble.hidden = problem === null;
    if (problem !== null) {
      const seconds = againIn(target);
      this.#sentence.textContent = [t(problem), seconds === null ? null : t("js_restream_again", { seconds })].filter(Boolean).join(" ");
    }
    this.#slate.hidden = !target.onSlate;
    this.#toggle.textContent = isOn(target) ? t("js_restream_stop") : t("js_restream_start");
    this.#numbers.replaceChildren(...this.#rows(target));
    this.#numbers.hidden = this.#numbers.childElementCount === 0;
  }

  #rows(target: Target): HTMLElement[] {
    const rows: [string, string][] = [];
    if (target.status === "ACTIVE") {
      const since = (Date.parse(target.serverTime) - Date.parse(target.activeSince ?? target.serverTime)) / 1000;
      rows.push([t("js_restream_for"), duration(Math.max(0, since))]);
      rows.push([t("js_restream_bitrate"), bitrate(target.bitrateBps)]);
      rows.push([t("js_restream_delay"), `${(target.delayMs / 1000).toFixed(1)} s`]);
    }
    if (target.bytes >= 1e6) rows.push([t("js_restream_sent"), size(target.bytes)]);
    if (target.restartCount > 0) rows.push([t("js_restream_restarts"), String(target.restartCount)]);
    return rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  }

  async #press(): Promise<void> {
    this.#toggle.disabled = true;
    try {
      this.show(await api.post<Target>(`${PATH}/${this.#target.id}/${isOn(this.#target) ? "stop" : "start"}`));
    } catch (error) {
      sayError(error);
    } finally {
      this.#toggle.disabled = false;
    }
  }

  #remove(): void {
    // The card goes at once, the target after a moment in which it can be kept.
    const { id } = this.#target;
    this.element.hidden = true;
    const timer = setTimeout(() => {
      void api.delete(`${PATH}/${id}`).then(look, (error: unknown) => {
        this.element.hidden = false;
        sayError(error);
      });
    }, 6000);
    toast(t("js_removed"), {
      label: t("js_undo"),
      press: () => {
        clearTimeout(timer);
        this.element.hidden = false;
      },
    });
  }

  async #readLog(): Promise<void> {
    try {
      const { items } = await api.get<{ items: Entry[] }>(`/api/restream/logs?limit=1&targetId=${this.#target.id}`);
      const [run] = items;
      this.#log.textContent = run ? [timeOfDay(Date.parse(run.startedAt)), ...run.lines].join("\n") : t("js_restream_no_log");
    } catch (error) {
      sayError(error);
    }
  }
}

async function look(): Promise<void> {
  try {
    const { items } = await api.get<{ items: Target[] }>(PATH);
    show(items);
    find("[data-lost]").hidden = true;
  } catch {
    find("[data-lost]").hidden = false;
  }
}

function show(targets: readonly Target[]): void {
  const known = new Set(targets.map((target) => target.id));
  for (const [id, card] of cards) {
    if (known.has(id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  for (const target of targets) {
    const card = cards.get(target.id);
    if (card) card.show(target);
    else {
      const made = new Card(target);
      cards.set(target.id, made);
      list.append(made.element);
    }
  }
  find("[data-none]").hidden = targets.length > 0;
  find("[data-targets-wrap]").removeAttribute("aria-busy");
}

/** Puts a target into the form; null empties it for a new one. */
function fill(target: Target | null): void {
  edited = target;
  form.reset();
  const field = <T extends HTMLElement = HTMLInputElement>(name: string) => find<T>(`[name="${name}"]`, form);
  if (target !== null) {
    find<HTMLInputElement>(`[name="platform"][value="${target.platform}"]`, form).checked = true;
    field("name").value = target.name;
    field("rtmpUrl").value = target.rtmpUrl;
    field<HTMLSelectElement>("startMode").value = target.startMode;
    field("delaySeconds").value = String(target.delaySeconds);
    field("muteAudio").checked = target.muteAudio;
  }
  field("streamKey").required = target === null;
  find("[data-key-kept]", form).hidden = target === null;
  find("[data-cancel]", form).hidden = target === null;
  find("[data-form-title] span").textContent = target === null ? t("js_restream_add") : t("js_restream_edit_title", { name: target.name });
  arrange();
  if (target !== null) field("name").focus();
}

/** Asks for a server where the platform has none for all, and for a delay where it starts by itself. */
function arrange(): void {
  const chosen = new FormData(form);
  const platform = chosen.get("platform");
  find<HTMLInputElement>('[name="rtmpUrl"]', form).required = platform === "TIKTOK" || platform === "CUSTOM";
  find("[data-delay]", form).hidden = chosen.get("startMode") === "MANUAL";
}

submits(form, async (field) => {
  const key = field("streamKey").trim();
  const url = field("rtmpUrl").trim();
  const name = field("name").trim();
  const body = {
    platform: field("platform"),
    startMode: field("startMode"),
    delaySeconds: Number(field("delaySeconds") || 0),
    muteAudio: field("muteAudio") === "on",
    ...(name ? { name } : {}),
    ...(url ? { rtmpUrl: url } : {}),
    ...(key ? { streamKey: key } : {}),
  };
  if (edited) await api.patch(`${PATH}/${edited.id}`, body);
  else await api.post(PATH, body);
  fill(null);
  await look();
});
form.addEventListener("change", arrange);
find("[data-cancel]", form).addEventListener("click", () => fill(null));
fill(null);

let looking = false;
async function lookAgain(): Promise<void> {
  if (looking || document.hidden) return;
  looking = true;
  await look();
  looking = false;
}
void lookAgain();
setInterval(() => void lookAgain(), LOOK_MS);
document.addEventListener("visibilitychange", () => void lookAgain());
