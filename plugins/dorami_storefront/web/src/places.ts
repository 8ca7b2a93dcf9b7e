/** My page's waiting list: positions move while one looks. A place that has ended shows itself by a reload. */

import { api, t } from "./page";
import type { Place } from "./waiting";

const EVERY_MS = 5000;

export function watchPlaces(): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-place]")];
  if (!rows.length) return;
  setInterval(() => document.visibilityState === "visible" && void look(rows), EVERY_MS);
}

async function look(rows: readonly HTMLElement[]): Promise<void> {
  let open: readonly Place[];
  try {
    open = (await api.get<{ items: readonly Place[] }>("/api/reservations?active=true&limit=100")).items;
  } catch {
    return; // What is shown is as old as the last answer; the next one is five seconds away.
  }
  for (const row of rows) {
    const place = open.find((one) => one.id === row.dataset["place"]);
    if (place?.status !== row.dataset["status"]) return location.reload();
    const shown = row.querySelector("[data-position]");
    if (shown && place?.position) shown.textContent = t("js_waiting_at", { position: place.position });
  }
}
