/** The three sockets of the live page. A lost connection joins again by itself, and the page is in step without a reload. */

import { io, type Socket } from "socket.io-client";
import { ApiError } from "../api";
import type { ChatMessage } from "../chatLog";
import type { Product } from "../catalog";
import type { StreamStatus } from "../liveMachine";
import { api, clock, t } from "../page";
import type { PinnedMessage, RoomState } from "../roomMode";
import type { Place } from "../waiting";

export interface Snapshot {
  readonly stream: { readonly status: StreamStatus; readonly title: string };
  readonly products?: readonly Product[];
  readonly pinnedProductId?: string | null;
  readonly viewerCount: number;
  readonly serverTime: string;
}

export interface ChatCart {
  readonly ok: boolean;
  readonly item?: { readonly productName: string; readonly quantity: number };
  readonly errorCode?: string;
}

export interface Listener {
  snapshot(value: Snapshot): void;
  product(product: Product): void;
  productDeleted(id: string, version: number): void;
  pinnedProduct(id: string | null): void;
  viewers(count: number): void;
  status(status: StreamStatus): void;
  history(messages: readonly ChatMessage[]): void;
  message(message: ChatMessage): void;
  messageDeleted(id: string): void;
  room(state: RoomState): void;
  roomMode(mode: { frozen: boolean; slowSeconds: number }): void;
  pinned(message: PinnedMessage | null): void;
  hearts(total: number): void;
  timedOut(until: string | null): void;
  moderator(isModerator: boolean): void;
  banned(): void;
  cartExpired(): void;
  cartExtended(expiresAt: string): void;
  place(place: Place, promoted: boolean): void;
  /** What came of an order that was said in the chat. */
  chatCart(answer: ChatCart): void;
  activity(kind: "cart" | "order", maskedName: string, productId: string | undefined): void;
  connected(connected: boolean): void;
}

interface Acknowledgement<T> {
  ok: boolean;
  data?: T;
  errorCode?: string;
  message?: string;
  details?: unknown;
  retryAfterMs?: number;
}

const ACK_MS = 8000;

export class Connection {
  readonly #root: Socket;
  readonly #chat: Socket;
  readonly #streaming: Socket;

  constructor(
    edgeOrigin: string,
    private readonly streamKey: string,
    private readonly listener: Listener,
  ) {
    // A guest's identity is a cookie of this host, so credentials are all that is needed.
    const open = (namespace: string) =>
      io(edgeOrigin + namespace, {
        // Polling for networks that let no WebSocket through.
        transports: ["websocket", "polling"],
        tryAllTransports: true,
        withCredentials: true,
        reconnectionDelay: 300,
        reconnectionDelayMax: 4000,
        randomizationFactor: 0.6,
      });
    [this.#root, this.#chat, this.#streaming] = [open("/"), open("/chat"), open("/streaming")];
    this.#listenRoot();
    this.#listenChat();
    this.#listenStreaming();
    for (const socket of [this.#root, this.#chat, this.#streaming]) {
      socket.on("connect_error", (error) => void this.#refused(socket, error));
      // The server said goodbye: unlike a lost network this is not tried again by the library.
      socket.on("disconnect", (reason) => reason === "io server disconnect" && setTimeout(() => socket.connect(), 1000));
    }
    window.addEventListener("online", () => this.#root.io.engine?.close());
  }

  /** With `wait`, and nothing left, the answer is a place in the queue. */
  addToCart(wish: { productId: string; quantity: number; color?: string; size?: string; streamKey?: string; wait?: boolean; clientId: string }) {
    type Answer = { item?: { expiresAt: string | null; serverTime?: string }; reservation?: Place };
    return this.#ask<Answer>(this.#root, "cart:add", wish);
  }

  say(message: string, clientId: string) {
    const sent = this.#ask<{ id: string; seq: number; timestamp: string; cart?: ChatCart }>(this.#chat, "chat:send-message", {
      liveId: this.streamKey,
      message,
      clientId,
    });
    void sent.then(({ cart }) => cart && this.listener.chatCart(cart), () => undefined);
    return sent;
  }

  heart(count: number) {
    return this.#ask<undefined>(this.#chat, "chat:heart", { liveId: this.streamKey, count });
  }

  /** A command of staff about this room or somebody in it. */
  moderate(event: string, payload: object) {
    return this.#ask<unknown>(this.#chat, event, { liveId: this.streamKey, ...payload });
  }

  /** Asks, and once more after a new token where the old one had run out; the same `clientId` makes that harmless. */
  async #ask<T>(socket: Socket, event: string, payload: object): Promise<T> {
    let answer = await this.#emit<T>(socket, event, payload);
    if (!answer.ok && answer.errorCode === "UNAUTHORIZED" && (await api.refresh())) {
      await this.#reconnect(socket);
      answer = await this.#emit<T>(socket, event, payload);
    }
    if (answer.ok) return answer.data as T;
    throw new ApiError(0, answer.errorCode ?? "INTERNAL_ERROR", answer.message ?? t("js_failed"), answer.details, answer.retryAfterMs);
  }

  async #emit<T>(socket: Socket, event: string, payload: object): Promise<Acknowledgement<T>> {
    if (!socket.connected) throw new ApiError(0, "NETWORK", t("js_offline"));
    try {
      return (await socket.timeout(ACK_MS).emitWithAck(event, payload)) as Acknowledgement<T>;
    } catch {
      throw new ApiError(0, "NETWORK", t("js_offline"));
    }
  }

  /** A new handshake carries the new cookie; all namespaces share one, so all of them come back. */
  #reconnect(socket: Socket): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(limit);
        socket.off("connect", done);
        resolve();
      };
      const limit = setTimeout(done, ACK_MS);
      socket.on("connect", done);
      socket.io.engine?.close();
    });
  }

  async #refused(socket: Socket, error: Error & { data?: { errorCode?: string } }): Promise<void> {
    this.listener.connected(false);
    // Refused by the namespace itself: the library tries again only by hand.
    if (socket.active) return;
    if (error.data?.errorCode === "FORBIDDEN") return this.listener.banned();
    const expired = error.data?.errorCode === "UNAUTHORIZED" || error.message === "UNAUTHORIZED";
    if (expired) await api.refresh();
    setTimeout(() => socket.connect(), expired ? 500 : 3000);
  }

  #listenRoot(): void {
    const { listener } = this;
    this.#root.on("connect", () => {
      this.#root.emit("join:stream", { streamKey: this.streamKey }, (answer: Acknowledgement<Snapshot>) => {
        if (!answer.ok || !answer.data) return;
        clock.learn(answer.data.serverTime);
        listener.connected(true);
        listener.snapshot(answer.data);
      });
    });
    this.#root.on("disconnect", () => listener.connected(false));
    for (const event of ["live:product:added", "live:product:updated", "live:product:soldout"]) {
      this.#root.on(event, (product: Product) => listener.product(product));
    }
    this.#root.on("live:product:deleted", (gone: { id: string; version: number }) =>
      listener.productDeleted(gone.id, gone.version),
    );
    this.#root.on("live:product:pinned", (pin: { productId: string | null }) => listener.pinnedProduct(pin.productId));
    this.#root.on("cart:expired", () => listener.cartExpired());
    this.#root.on("cart:extended", (what: { expiresAt: string }) => listener.cartExtended(what.expiresAt));
    this.#root.on("reservation:promoted", (place: Place) => listener.place(place, true));
    this.#root.on("reservation:updated", (place: Place) => listener.place(place, false));
    this.#root.on("cart:activity", (what: { streamKey: string; maskedName: string; productId?: string }) => {
      if (what.streamKey === this.streamKey) listener.activity("cart", what.maskedName, what.productId);
    });
    this.#root.on(
      "order:purchase:notification",
      (what: { streamKey: string; maskedName: string; items?: { productId: string }[] }) => {
        if (what.streamKey === this.streamKey) listener.activity("order", what.maskedName, what.items?.[0]?.productId);
      },
    );
  }

  #listenChat(): void {
    const { listener } = this;
    // The history comes as an event, the state of the room with the acknowledgement.
    this.#chat.on("connect", () =>
      this.#chat.emit("chat:join-room", { liveId: this.streamKey }, (answer: Acknowledgement<RoomState>) => {
        if (answer.ok && answer.data) listener.room(answer.data);
        else if (answer.errorCode === "FORBIDDEN") listener.banned();
      }),
    );
    this.#chat.on("chat:history", (history: ChatMessage[] | { messages: ChatMessage[] }) =>
      listener.history(Array.isArray(history) ? history : history.messages),
    );
    this.#chat.on("chat:message", (message: ChatMessage) => listener.message(message));
    this.#chat.on("chat:deleted", (gone: { id: string }) => listener.messageDeleted(gone.id));
    this.#chat.on("chat:mode", (mode: { liveId: string; frozen: boolean; slowSeconds: number }) => {
      if (mode.liveId === this.streamKey) listener.roomMode(mode);
    });
    this.#chat.on("chat:pinned", (what: { liveId: string; message: PinnedMessage | null }) => {
      if (what.liveId === this.streamKey) listener.pinned(what.message);
    });
    this.#chat.on("chat:hearts", (what: { liveId: string; total: number }) => {
      if (what.liveId === this.streamKey) listener.hearts(what.total);
    });
    this.#chat.on("chat:timed-out", (what: { until: string }) => listener.timedOut(what.until));
    this.#chat.on("chat:moderator", (what: { isModerator: boolean }) => listener.moderator(what.isModerator));
    this.#chat.on("chat:timeout-ended", () => listener.timedOut(null));
  }

  #listenStreaming(): void {
    const { listener, streamKey } = this;
    this.#streaming.on("connect", () => this.#streaming.emit("stream:viewer:join", { streamKey }));
    this.#streaming.on("stream:viewer:update", (update: { streamKey: string; viewerCount: number }) => {
      if (update.streamKey === streamKey) listener.viewers(update.viewerCount);
    });
    this.#streaming.on("stream:status", (update: { streamKey: string; status: StreamStatus }) => {
      if (update.streamKey === streamKey) listener.status(update.status);
    });
    this.#streaming.on("stream:ended", (update: { streamKey: string }) => {
      if (update.streamKey === streamKey) listener.status("OFFLINE");
    });
  }
}
