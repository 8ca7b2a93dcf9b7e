/** The live page: wires the sockets, the player and what is seen to one state machine. */

import { Catalog, type Product } from "./catalog";
import { find, toast } from "./dom";
import { type LiveEvent, type LiveState, initialState, layout, reduce, type StreamStatus } from "./liveMachine";
import { CartPill } from "./live/cartPill";
import { ChatView } from "./live/chatView";
import type { Wish } from "./live/choice";
import { Connection } from "./live/connection";
import { Hearts } from "./live/hearts";
import { showKpi } from "./live/kpiView";
import { ProductView } from "./live/productView";
import { RoomView } from "./live/roomView";
import { StaffSheet } from "./live/staffSheet";
import { StateView } from "./live/stateView";
import { TurnView } from "./live/turnView";
import { ApiError } from "./api";
import { api, clock, data, readJson, sayError, t, timeOfDay } from "./page";
import { Player } from "./player";
import { share } from "./share";
import { type Place, Waiting } from "./waiting";

interface LiveData {
  readonly streamKey: string;
  readonly status: StreamStatus;
  readonly viewerCount: number;
  readonly products: readonly Product[];
  readonly pinnedProductId: string | null;
  readonly flv: string;
  readonly hls: string;
}

const live = readJson<LiveData>("live-data");
const catalog = new Catalog();
catalog.reset(live.products, live.pinnedProductId);

let state: LiveState = initialState(live.status);
const view = new StateView(live.streamKey);
const player = new Player(find<HTMLVideoElement>("video"), find<HTMLCanvasElement>("canvas"), { flv: live.flv, hls: live.hls }, (type) =>
  happen({ type }),
);
const pill = new CartPill();
const waiting = new Waiting();
const products = new ProductView(catalog, waiting, { add: (wish) => put(wish, false), wait: (wish) => put(wish, true), leave });
const turn = new TurnView(waiting, () => products.draw());
const chat = new ChatView(
  find(".live"),
  live.streamKey,
  (message, clientId) => connection.say(message, clientId),
  (active) => happen({ type: "TYPING", active }),
  (waitMs) => room.sent(waitMs),
  (line) => staff.openLine(line),
);
const showStaff = (isStaff: boolean) => find(".live").toggleAttribute("data-staff", isStaff);
showStaff(data.user?.isAdmin === true);
const room = new RoomView(showStaff);
const staff = new StaffSheet(
  (event, payload) => connection.moderate(event, payload),
  () => ({ ...room.mode, pinnedId: room.pinned?.id ?? null }),
);
const hearts = new Hearts((count) => connection.heart(count));

function happen(event: LiveEvent): void {
  const before = state;
  state = reduce(state, event);
  if (state === before) return;
  player.away = state.status === "INTERRUPTED";
  if (before.status !== "LIVE" && state.status === "LIVE") {
    if (before.status === "PENDING") view.began();
    player.again();
  }
  if (layout(state).play) player.start();
  else player.stop();
  view.draw(state);
  hearts.shown(layout(state).chat);
}

/** Into the cart; with `wait`, where nothing is left, into the queue. */
async function put(wish: Wish, wait: boolean): Promise<boolean> {
  if (data.user === null) {
    sayError(new ApiError(401, "UNAUTHORIZED", ""));
    return false;
  }
  try {
    const clientId = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    const { item, reservation } = await connection.addToCart({ ...wish, streamKey: live.streamKey, ...(wait ? { wait } : {}), clientId });
    if (reservation) {
      toast(t("js_waits_now", { position: reservation.position ?? 1 }));
      changedPlace(reservation);
      return true;
    }
    if (!item) return false;
    clock.learn(item.serverTime);
    const until = item.expiresAt === null ? t("js_added") : t("js_added_until", { time: timeOfDay(Date.parse(item.expiresAt)) });
    toast(until, { label: t("js_cart"), href: "/cart" });
    void pill.load();
    return true;
  } catch (error) {
    sayError(error);
    return false;
  }
}

async function leave(place: Place): Promise<boolean> {
  try {
    await api.delete(`/api/reservations/${place.id}`);
    changedPlace({ ...place, status: "CANCELLED", serverTime: new Date(clock.now()).toISOString() });
    return true;
  } catch (error) {
    sayError(error);
    return false;
  }
}

function changedPlace(place: Place): void {
  if (!waiting.put(place)) return;
  products.draw();
  turn.draw();
}

/** A page that was away has missed events. */
async function loadPlaces(): Promise<void> {
  if (data.user === null) return;
  try {
    waiting.reset((await api.get<{ items: readonly Place[] }>("/api/reservations?active=true&limit=100")).items);
    products.draw();
    turn.draw();
  } catch {
    // The next event, or the next time the connection comes back, tells.
  }
}

let everConnected = false;
const connection = new Connection(data.edgeOrigin, live.streamKey, {
  snapshot(value) {
    if (value.products) catalog.reset(value.products, value.pinnedProductId ?? null);
    view.viewers(value.viewerCount);
    happen({ type: "STATUS", status: value.stream.status });
    products.draw();
    void pill.load();
    void loadPlaces();
  },
  product(product) {
    if (catalog.put(product)) products.draw();
  },
  productDeleted(id, version) {
    if (catalog.delete(id, version)) products.draw();
  },
  pinnedProduct(id) {
    catalog.pin(id);
    products.draw();
  },
  viewers: (count) => view.viewers(count),
  status: (status) => happen({ type: "STATUS", status }),
  history: (messages) => chat.history(messages),
  message: (message) => chat.message(message),
  messageDeleted: (id) => chat.remove(id),
  room(value) {
    room.joined(value);
    hearts.counted(value.hearts, true);
  },
  roomMode: (mode) => room.changed(mode),
  pinned: (message) => room.pin(message),
  hearts: (total) => hearts.counted(total),
  timedOut: (until) => room.timedOut(until),
  moderator: (isModerator) => room.staff(isModerator),
  banned: () => room.banned(),
  cartExpired: () => pill.expired(),
  cartExtended: (until) => pill.extended(Date.parse(until)),
  place(place, promoted) {
    clock.learn(place.serverTime);
    changedPlace(place);
    void pill.load();
    if (promoted) turn.ring();
  },
  chatCart({ ok, item, errorCode }) {
    if (ok && item) toast(t("js_said_added", { name: item.productName, count: item.quantity }), { label: t("js_cart"), href: "/cart" });
    if (!ok) toast(refused(errorCode));
    void pill.load();
  },
  activity(kind, name, productId) {
    const product = (productId === undefined ? undefined : catalog.find(productId)?.name) ?? t("js_a_product");
    chat.note(kind === "cart" ? t("js_note_cart", { name, product }) : t("js_note_order", { name, product }));
  },
  connected(connected) {
    find("[data-offline]").hidden = connected || !everConnected;
    everConnected ||= connected;
    if (connected) player.again();
  },
});

/** Why an order in the chat was none. */
function refused(code: string | undefined): string {
  if (code === "BUYER_LIMIT") return t("js_said_limit");
  const isShort = code === "INSUFFICIENT_STOCK";
  return t(isShort ? "js_said_short" : "js_said_unclear");
}

find("[data-share]").addEventListener("click", () => void share());

view.draw(state);
hearts.shown(layout(state).chat);
products.draw();
if (layout(state).play) player.start();
void pill.load();
const kpiBox = document.querySelector<HTMLElement>("[data-kpi]");
if (kpiBox) showKpi(kpiBox, player.kpi);
