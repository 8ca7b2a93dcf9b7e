/** Recordings of past broadcasts: to watch, to save, to keep, to delete; with a word before one goes. */

import { find, icon, make, toast } from "./dom";
import { api, data, readJson, sayError, t } from "./page";
import { duration, size } from "./restreamTarget";

const PATH = "/api/recordings";

interface Recording {
  readonly id: string;
  readonly streamKey: string;
  readonly part: number;
  readonly status: "RECORDING" | "READY" | "FAILED";
  readonly startedAt: string;
  readonly durationMs: number;
  readonly bytes: number;
  readonly kept: boolean;
  readonly deleteAt: string | null;
  readonly videoUrl: string;
  readonly replayId: string;
  readonly public: boolean;
}

interface Storage {
  readonly recordings: number;
  readonly bytes: number;
  readonly budgetBytes: number;
  readonly freeBytes: number;
  readonly announced: number;
  readonly announcedBytes: number;
  readonly firstDeleteAt: string | null;
}

const { titles, onlyAnnounced } = readJson<{ titles: Readonly<Record<string, string>>; onlyAnnounced: boolean }>("recordings-data");
const list = find("[data-recordings]");
/** Parts of one broadcast are shown or hidden together. */
const showers = new Map<string, ((isPublic: boolean) => void)[]>();
const more = find<HTMLButtonElement>("[data-more]");

function when(time: string): string {
  const language = data.lang === "ko" ? "ko-KR" : "en-GB";
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: data.timezone }).format(Date.parse(time));
}

function card(recording: Recording): HTMLElement {
  const stage = make("button", { class: "recording-stage", type: "button", "aria-label": t("js_recording_play") }, icon("video", data.icons));
  const title = titles[recording.streamKey] ?? recording.streamKey;
  const facts = [when(recording.startedAt), duration(recording.durationMs / 1000), size(recording.bytes)];
  if (recording.part > 1) facts.push(t("js_recording_part", { number: recording.part }));
  const warning = make("p", { class: "notice" }, icon("clock", data.icons), make("span", {}, ""));
  const keep = make("button", { class: "btn btn-small", type: "button" });
  const shown = make("button", { class: "btn btn-small", type: "button" });
  const remove = make("button", { class: "btn btn-small btn-quiet", type: "button", "aria-label": t("js_restream_delete", { name: title }) }, icon("trash-2", data.icons));
  const element = make(
    "article",
    { class: "card grid gap-3", "data-recording": recording.id },
    stage,
    make("div", { class: "grid gap-1" }, make("b", { class: "text-lg" }, title), make("span", { class: "hint num" }, facts.join(" · "))),
    recording.status === "RECORDING" && make("span", { class: "badge badge-live justify-self-start" }, t("js_recording_running")),
    recording.status === "FAILED" && make("span", { class: "badge badge-bad justify-self-start" }, t("js_recording_failed")),
    warning,
    make("div", { class: "flex flex-wrap gap-2" }, make("a", { class: "btn btn-small", href: `${recording.videoUrl}?download=1` }, t("js_recording_save")), keep, shown, recording.status !== "RECORDING" && make("a", { class: "btn btn-small", href: `/replays/${recording.replayId}` }, t("js_recording_replay")), recording.status !== "RECORDING" && remove),
  );
  const show = (now: Recording) => {
    warning.hidden = now.deleteAt === null;
    if (now.deleteAt !== null) find("span", warning).textContent = t("js_recording_goes", { when: when(now.deleteAt) });
    keep.textContent = now.kept ? t("js_recording_kept") : t("js_recording_keep");
    keep.setAttribute("aria-pressed", String(now.kept));
    shown.textContent = now.public ? t("js_recording_public") : t("js_recording_hidden");
    shown.setAttribute("aria-pressed", String(now.public));
    recording = now;
  };
  show(recording);
  stage.addEventListener("click", () => {
    const video = make("video", { class: "recording-stage", controls: true, playsinline: true, src: recording.videoUrl });
    stage.replaceWith(video);
    video.play().catch(() => undefined);
  });
  keep.addEventListener("click", () => {
    void api.patch<Recording>(`${PATH}/${recording.id}`, { kept: !recording.kept }).then((now) => {
      show(now);
      void showStorage().catch(sayError);
    }, sayError);
  });
  shown.addEventListener("click", () => {
    const { replayId } = recording;
    void api.patch<{ public: boolean }>(`/api/replays/${replayId}`, { public: !recording.public }).then((now) => showers.get(replayId)?.forEach((tell) => tell(now.public)), sayError);
  });
  showers.set(recording.replayId, [...(showers.get(recording.replayId) ?? []), (isPublic) => show({ ...recording, public: isPublic })]);
  remove.addEventListener("click", () => {
    // The card goes at once, the file after a moment in which it can be kept.
    element.hidden = true;
    const timer = setTimeout(() => {
      void api.delete(`${PATH}/${recording.id}`).then(
        () => element.remove(),
        (error: unknown) => {
          element.hidden = false;
          sayError(error);
        },
      );
    }, 6000);
    toast(t("js_removed"), {
      label: t("js_undo"),
      press: () => {
        clearTimeout(timer);
        element.hidden = false;
      },
    });
  });
  return element;
}

/** How full it is, and what will be deleted when: said before it happens. */
async function showStorage(): Promise<void> {
  const now = await api.get<Storage>("/api/admin/recordings/storage");
  find("[data-storage]").hidden = now.recordings === 0;
  find("[data-storage-used]").textContent = t("js_storage_used", { used: size(now.bytes), budget: size(now.budgetBytes) });
  find("[data-storage-free]").textContent = t("js_storage_free", { free: size(now.freeBytes) });
  find<HTMLMeterElement>("[data-storage-meter]").value = Math.min(100, (100 * now.bytes) / now.budgetBytes);
  const notice = find("[data-storage-announced]");
  notice.hidden = now.firstDeleteAt === null;
  find("[data-storage-filter]").hidden = now.firstDeleteAt === null && !onlyAnnounced;
  if (now.firstDeleteAt !== null) {
    find("span", notice).textContent = t("js_storage_announced", { count: now.announced, size: size(now.announcedBytes), when: when(now.firstDeleteAt) });
  }
}

async function load(cursor: string | null): Promise<void> {
  const page = await api.get<{ items: Recording[]; nextCursor: string | null }>(`${PATH}?limit=30&announced=${onlyAnnounced}&cursor=${cursor ?? 0}`);
  list.append(...page.items.map(card));
  find("[data-none]").hidden = list.childElementCount > 0;
  find("[data-recordings-wrap]").removeAttribute("aria-busy");
  more.hidden = page.nextCursor === null;
  more.onclick = () => void load(page.nextCursor).catch(sayError);
}

void showStorage().catch(sayError);
void load(null).catch(sayError);
