/** The page of an ended broadcast: its video, and the chat and the products at their time. */

import type { Product } from "./catalog";
import { canBuy } from "./catalog";
import { find, icon, make } from "./dom";
import { cost, leftText, picture } from "./live/productView";
import { api, data, readJson, sayError, t } from "./page";
import { ChatFeed, type Line, type Page } from "./replay/chatFeed";
import { ReplayPlayer } from "./replay/player";
import { firstShown, inOrder, type Part, type Showing, showingAt } from "./replay/timeline";
import { duration } from "./restreamTarget";
import { share } from "./share";

interface ReplayData {
  readonly id: string;
  readonly durationMs: number;
  readonly parts: readonly Part[];
  readonly products: readonly Product[];
  readonly showings: readonly Showing[];
  readonly clips: Readonly<Record<string, string>>;
}

const replay = readJson<ReplayData>("replay-data");
const products = inOrder(replay.products, replay.showings);
const live = find(".live");
const video = find<HTMLVideoElement>("video");
const position = find<HTMLInputElement>("[data-position]");
const lines = find("[data-lines]");
const card = find("[data-now]");
const sheet = find<HTMLDialogElement>("[data-sheet]");
const list = find("[data-product-list]");
const path = `/api/replays/${replay.id}/chat`;
const JUMP_MS = 1500;
const TICK_MS = 250;

const chat = new ChatFeed({
  from: (atMs, cursor) => api.get<Page>(`${path}?fromMs=${Math.round(atMs)}${cursor === null ? "" : `&cursor=${cursor}`}`),
  before: (atMs) => api.get<Page>(`${path}?beforeMs=${Math.round(atMs)}&limit=50`),
});
const player = new ReplayPlayer(video, replay.parts, draw);
/** The position of the last tick: further away than a tick's playing can bring it, somebody has jumped. */
let lastMs = 0;
let dragging = false;

function draw(): void {
  const atMs = player.positionMs;
  const playing = player.playing;
  for (const button of [find("[data-play]"), find("[data-play-big]")]) {
    button.setAttribute("aria-label", playing ? t("js_pause") : t("js_recording_play"));
    button.querySelector("svg")?.replaceWith(icon(playing ? "pause" : "play", data.icons, "icon-lg"));
  }
  find("[data-play-big]").hidden = playing;
  find("[data-loading]").hidden = !player.waiting;
  if (!dragging) position.value = String(Math.round(atMs));
  position.setAttribute("aria-valuetext", duration(atMs / 1000));
  live.style.setProperty("--played", `${(100 * Number(position.value)) / replay.durationMs}%`);
  find("[data-time]").textContent = duration((dragging ? Number(position.value) : atMs) / 1000);
  drawCard(showingAt(replay.showings, atMs));
}

function drawLines(): void {
  const wanted = new Set(chat.lines.map((line) => line.id));
  for (const row of lines.querySelectorAll<HTMLElement>("[data-id]")) if (!wanted.has(row.dataset["id"] ?? "")) row.remove();
  const there = new Set([...lines.querySelectorAll<HTMLElement>("[data-id]")].map((row) => row.dataset["id"]));
  const fresh = chat.lines.filter((line) => !there.has(line.id));
  // New lines are the last ones, or all of them after a jump.
  lines.append(...fresh.map(row));
  lines.scrollTop = lines.scrollHeight;
}

function row(line: Line): HTMLElement {
  const seller = line.role === "ADMIN";
  return make("p", { class: seller ? "say say-seller" : "say", "data-id": line.id }, make("b", {}, seller ? `${line.displayName} · ${t("js_seller")}` : line.displayName), line.message);
}

function drawCard(showing: Showing | null): void {
  const product = products.find((one) => one.id === showing?.productId);
  const key = product?.id ?? "";
  card.hidden = product === undefined;
  if (card.dataset["product"] === key) return;
  card.dataset["product"] = key;
  if (product === undefined) return card.replaceChildren();
  const link = make("a", { class: "now-open", href: `/products/${product.id}` }, picture(product), make("span", { class: "what" }, make("span", { class: "name" }, product.name), cost(product), leftText(product.available, product.waiting)));
  card.replaceChildren(link, make("a", { class: "btn btn-primary btn-small", href: `/products/${product.id}` }, canBuy(product) ? t("js_buy") : t("js_wait")));
}

/** A product with the way to its moment, to its clip and to the shop. */
function productRow(product: Product): HTMLElement {
  const atMs = firstShown(replay.showings, product.id);
  const link = make("a", { class: "row", href: `/products/${product.id}`, "data-soldout": !canBuy(product) }, picture(product), make("span", {}, make("span", { class: "name" }, product.name), cost(product), leftText(product.available, product.waiting)));
  if (atMs === null) return link;
  const jump = make("button", { type: "button", class: "btn btn-small", "data-jump": atMs }, icon("play", data.icons), t("js_replay_jump", { time: duration(atMs / 1000) }));
  jump.addEventListener("click", () => {
    sheet.close();
    player.seek(atMs);
    if (!player.playing) player.toggle();
  });
  const clip = replay.clips[product.id];
  return make(
    "div",
    { class: "grid" },
    link,
    make("div", { class: "flex flex-wrap gap-2 pb-3" }, jump, clip !== undefined && make("a", { class: "btn btn-small btn-quiet", href: clip, target: "_blank" }, icon("video", data.icons), t("js_replay_clip"))),
  );
}

function rows(): HTMLElement[] {
  return products.length ? products.map(productRow) : [make("p", { class: "hint p-3" }, t("js_replay_no_products"))];
}

/** Where products were shown, as marks above the bar. */
function drawChapters(): void {
  find("[data-chapters]").replaceChildren(
    ...replay.showings.map((showing) => {
      const mark = make("i");
      mark.style.setProperty("left", `${(100 * showing.fromMs) / replay.durationMs}%`);
      mark.style.setProperty("width", `${(100 * Math.max(0, showing.untilMs - showing.fromMs)) / replay.durationMs}%`);
      return mark;
    }),
  );
}

async function jump(atMs: number): Promise<void> {
  lines.replaceChildren();
  await chat.jump(atMs);
  drawLines();
}

async function tick(): Promise<void> {
  const atMs = player.positionMs;
  const jumped = atMs < lastMs - TICK_MS || atMs > lastMs + JUMP_MS;
  lastMs = atMs;
  try {
    if (jumped) await jump(atMs);
    if (chat.advance(atMs)) drawLines();
    await chat.readAhead(atMs);
  } catch (error) {
    sayError(error);
  }
}

position.addEventListener("input", () => {
  dragging = true;
  draw();
});
position.addEventListener("change", () => {
  dragging = false;
  player.seek(Number(position.value));
});
for (const button of [find("[data-play]"), find("[data-play-big]")]) button.addEventListener("click", () => player.toggle());
video.addEventListener("click", () => player.toggle());
video.addEventListener("resize", () => {
  live.dataset["shape"] = video.videoWidth > video.videoHeight ? "landscape" : "portrait";
  live.style.setProperty("--shape", `${video.videoWidth} / ${video.videoHeight}`);
  live.style.setProperty("--ratio", String(video.videoWidth / video.videoHeight));
});
find("[data-mute]").addEventListener("click", (event) => {
  video.muted = !video.muted;
  const button = event.currentTarget as HTMLElement;
  button.setAttribute("aria-label", video.muted ? t("js_sound_on") : t("js_sound_off"));
  button.setAttribute("aria-pressed", String(video.muted));
  button.replaceChildren(icon(video.muted ? "volume-x" : "volume-2", data.icons));
});
find("[data-share]").addEventListener("click", () => void share());
find("[data-open-sheet]").addEventListener("click", () => {
  const close = make("button", { type: "button", class: "icon-btn", "aria-label": t("js_close") }, icon("x", data.icons, "icon-lg"));
  close.addEventListener("click", () => sheet.close());
  sheet.replaceChildren(make("header", {}, make("h2", { id: "sheet-title" }, t("js_all_products", { count: products.length })), close), make("div", { class: "scroll" }, ...rows()));
  sheet.showModal();
});
sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());

if (video.videoWidth > 0) video.dispatchEvent(new Event("resize"));
list.replaceChildren(...rows());
drawChapters();
draw();
/** Ticks do not overlap: an answer that takes long holds up the next question, not the video. */
async function run(): Promise<void> {
  for (;;) {
    await tick();
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
}
void run();
