/** Gives the page's address on: by the phone's own sheet, else by the clipboard. */

import { toast } from "./dom";
import { t } from "./page";

export async function share(): Promise<void> {
  const url = location.origin + location.pathname;
  try {
    if (navigator.share) return await navigator.share({ title: document.title, url });
    await navigator.clipboard.writeText(url);
    toast(t("js_link_copied"));
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    toast(url);
  }
}
