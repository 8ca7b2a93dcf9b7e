/** What every page hands to its scripts: one JSON block, and from it the words, the clock and the API. */

import { Api, ApiError } from "./api";
import { ServerClock } from "./countdown";
import { find, toast } from "./dom";
import { Messages } from "./messages";

export interface PageData {
  readonly lang: "ko" | "en";
  readonly currency: string;
  readonly timezone: string;
  readonly csrfToken: string;
  readonly edgeOrigin: string;
  readonly icons: string;
  readonly serverTime: string;
  readonly user: { readonly id: string; readonly name: string; readonly isAdmin: boolean } | null;
  readonly messages: Readonly<Record<string, string>>;
}

export function readJson<T>(id: string): T {
  return JSON.parse(find(`#${id}`).textContent ?? "null") as T;
}

export const data = readJson<PageData>("page-data");
export const { t } = new Messages(data.messages);
export const clock = new ServerClock();
clock.learn(data.serverTime);
export const api = new Api({ csrfToken: data.csrfToken, offline: t("js_offline") });

export function signInAddress(): string {
  return `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
}

/** `20:41:07` in the shop's time zone. */
export function timeOfDay(ms: number, seconds = true): string {
  return new Intl.DateTimeFormat(data.lang === "ko" ? "ko-KR" : "en-GB", {
    timeZone: data.timezone,
    hour: "2-digit",
    minute: "2-digit",
    ...(seconds ? { second: "2-digit" } : {}),
    hourCycle: "h23",
  }).format(ms);
}

/** Says what went wrong, and offers the way on: signing in, or trying again. */
export function sayError(error: unknown, again?: () => void): void {
  const code = error instanceof ApiError ? error.errorCode : "";
  if (code === "UNAUTHORIZED") return toast(t("js_sign_in_first"), { label: t("js_sign_in"), href: signInAddress() });
  const sentence = error instanceof Error ? error.message : t("js_failed");
  toast(sentence, again ? { label: t("js_again"), press: again } : undefined);
}
