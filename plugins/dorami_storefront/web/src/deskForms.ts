/** Forms of the seller's desk: sent as JSON, with what went wrong beside the button. */

import { ApiError } from "./api";
import { find } from "./dom";
import { t } from "./page";

/** Sends a form as JSON; while it is away it cannot be sent again, and what went wrong stands above the button. */
export function submits(form: HTMLFormElement, send: (field: (name: string) => string) => Promise<void>): void {
  const button = find<HTMLButtonElement>("button:not([type])", form);
  const problem = find("[data-problem]", form);
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    button.disabled = true;
    problem.hidden = true;
    try {
      await send((name) => String(fields.get(name) ?? ""));
    } catch (error) {
      problem.hidden = false;
      find("span", problem).textContent = sentence(error);
    } finally {
      button.disabled = false;
    }
  });
}

function sentence(error: unknown): string {
  if (!(error instanceof ApiError)) return t("js_failed");
  const fields = (error.details as { fields?: { field: string; problem: string }[] } | undefined)?.fields ?? [];
  return [error.message, ...fields.map((one) => `${one.field}: ${one.problem}`)].join(" ");
}
