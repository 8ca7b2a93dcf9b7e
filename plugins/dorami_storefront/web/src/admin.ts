/** The seller's desk: plans broadcasts, shows what goes into the encoder, keeps products, ends a broadcast. */

import { chatDesk, chatLog } from "./chatDesk";
import { submits } from "./deskForms";
import { find, toast } from "./dom";
import { newProduct } from "./forms";
import { api, readJson, sayError, t } from "./page";
import { signalCard } from "./signalCard";

const HOLD_MS = 2000;
/** What one press gives to all who hold a product. */
const EXTEND_S = 300;

interface Publish {
  readonly publish?: { readonly url: string; readonly key: string };
}

interface Stock {
  readonly id: string;
  readonly quantity: number;
  readonly available: number;
}

interface Broadcast {
  readonly streamKey: string;
  readonly products: readonly Stock[];
  /** The broadcasts of the shop's other products, by product. */
  readonly shownIn: Readonly<Record<string, readonly string[]>>;
  readonly pinnedProductId: string | null;
}

const newStream = document.querySelector<HTMLFormElement>("#new-stream");
if (newStream) {
  submits(newStream, async (field) => {
    const when = field("scheduledAt");
    const stream = await api.post<{ streamKey: string }>("/api/streams", {
      title: field("title").trim(),
      freeShippingEnabled: field("freeShippingEnabled") === "on",
      ...(when ? { scheduledAt: new Date(when).toISOString() } : {}),
    });
    location.assign(`/admin/streams/${stream.streamKey}`);
  });
}

const desk = document.querySelector<HTMLElement>("[data-chat-desk]");
if (desk) chatDesk(desk);

if (document.querySelector("#admin-data")) broadcast(readJson<Broadcast>("admin-data"));

function broadcast({ streamKey, products, shownIn, pinnedProductId }: Broadcast): void {
  const path = `/api/streams/${encodeURIComponent(streamKey)}`;
  submits(find<HTMLFormElement>("#new-product"), async (field) => {
    await api.post("/api/products", newProduct(streamKey, field));
    location.reload();
  });
  submits(find<HTMLFormElement>("#import-products"), async (field) => {
    await api.post("/api/products/import", { streamKey, csv: field("csv") });
    location.reload();
  });
  const bring = document.querySelector<HTMLFormElement>("#bring-product");
  if (bring) {
    submits(bring, async (field) => {
      const id = field("productId");
      await api.patch(`/api/products/${id}`, { streamKeys: [...(shownIn[id] ?? []), streamKey] });
      location.reload();
    });
  }
  if (document.querySelector("[data-publish]")) void api.get<Publish>(path).then(showPublish, sayError);
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-hold]")) {
    holds(button, async () => {
      if (button.dataset["hold"] === "rotate") {
        showPublish(await api.post<Publish>(`${path}/rotate-secret`));
        return toast(t("js_rotated"));
      }
      await api.post(`${path}/end`);
      location.reload();
    });
  }
  const signal = document.querySelector<HTMLElement>("[data-signal]");
  if (signal) signalCard(signal, `${path}/signal`);
  chatLog(find<HTMLDetailsElement>("[data-chat-log]"), streamKey);
  const stock = new Map(products.map((product) => [product.id, product]));
  for (const row of document.querySelectorAll<HTMLElement>("[data-product]")) productRow(row, stock, streamKey);
  pins(streamKey, pinnedProductId);
}

function showPublish({ publish }: Publish): void {
  if (!publish) return;
  for (const [name, text] of [["url", publish.url], ["key", publish.key]] as const) {
    const shown = find(`[data-publish-${name}]`);
    const button = find<HTMLButtonElement>("[data-copy]", shown.parentElement ?? document);
    shown.textContent = text;
    button.dataset["copy"] = text;
    button.disabled = false;
  }
}

/** The product shown now: one tap shows it, another takes it back. */
function pins(streamKey: string, pinned: string | null): void {
  const buttons = [...document.querySelectorAll<HTMLButtonElement>("[data-product-pin]")];
  const idOf = (button: HTMLElement) => button.closest<HTMLElement>("[data-product]")?.dataset["product"] ?? null;
  const draw = (busy: boolean) => {
    for (const button of buttons) {
      const on = idOf(button) === pinned;
      button.disabled = busy;
      button.setAttribute("aria-pressed", String(on));
      button.classList.toggle("btn-primary", on);
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      draw(true);
      try {
        const productId = idOf(button) === pinned ? null : idOf(button);
        pinned = (await api.put<{ productId: string | null }>(`/api/streams/${streamKey}/pin`, { productId })).productId;
      } catch (error) {
        sayError(error);
      } finally {
        draw(false);
      }
    });
  }
  draw(false);
}

function productRow(row: HTMLElement, stock: Map<string, Stock>, streamKey: string): void {
  const id = row.dataset["product"] ?? "";
  const path = `/api/products/${id}`;
  for (const button of row.querySelectorAll<HTMLButtonElement>("[data-stock-step]")) {
    button.addEventListener("click", async () => {
      const now = stock.get(id);
      const quantity = (now?.quantity ?? 0) + Number(button.dataset["stockStep"]);
      if (quantity < 0) return;
      button.disabled = true;
      try {
        const after = await api.patch<Stock>(path, { quantity });
        stock.set(id, after);
        find("[data-stock]", row).textContent = t("js_stock", { left: after.available, all: after.quantity });
      } catch (error) {
        sayError(error);
      } finally {
        button.disabled = false;
      }
    });
  }
  const extend = find<HTMLButtonElement>("[data-product-extend]", row);
  extend.addEventListener("click", async () => {
    extend.disabled = true;
    try {
      const { extended } = await api.post<{ extended: number }>(`${path}/extend-holds`, { seconds: EXTEND_S });
      toast(t("js_extended", { count: extended }));
    } catch (error) {
      sayError(error);
    } finally {
      extend.disabled = false;
    }
  });
  const remove = find<HTMLButtonElement>("[data-product-delete]", row);
  // What is shown in other broadcasts too leaves this one alone.
  const elsewhere = (remove.dataset["shownIn"] ?? "").split(" ").filter((key) => key !== "" && key !== streamKey);
  const takeAway = () => (elsewhere.length ? api.patch(path, { streamKeys: elsewhere }) : api.delete(path));
  remove.addEventListener("click", () => {
    // The row goes at once, the product after a moment in which it can be kept.
    row.hidden = true;
    const timer = setTimeout(() => {
      void takeAway().then(
        () => row.remove(),
        (error: unknown) => {
          row.hidden = false;
          sayError(error);
        },
      );
    }, 6000);
    toast(t("js_removed"), {
      label: t("js_undo"),
      press: () => {
        clearTimeout(timer);
        row.hidden = false;
      },
    });
  });
}

/** For what cannot be taken back: the button is held for two seconds, by finger, mouse or key. */
function holds(button: HTMLButtonElement, act: () => Promise<void>): void {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const start = () => {
    if (timer !== null || button.disabled) return;
    button.dataset["holding"] = "";
    timer = setTimeout(() => {
      stop();
      button.disabled = true;
      navigator.vibrate?.(60);
      void act()
        .catch((error: unknown) => sayError(error))
        .finally(() => {
          button.disabled = false;
        });
    }, HOLD_MS);
  };
  const stop = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    delete button.dataset["holding"];
  };
  button.addEventListener("pointerdown", start);
  for (const event of ["pointerup", "pointerleave", "pointercancel", "blur", "keyup"]) button.addEventListener(event, stop);
  button.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      start();
    }
  });
  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (!button.disabled) toast(t("js_hold"));
  });
}
