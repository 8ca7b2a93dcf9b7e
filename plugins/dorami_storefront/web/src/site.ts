/** What every page does once it has scripts: counts down, copies, steps quantities, keeps the sign-in alive. */

import { ApiError } from "./api";
import { showSum } from "./checkoutSum";
import { clockText, level } from "./countdown";
import { find, toast } from "./dom";
import { api, clock, data, sayError, t } from "./page";
import { watchPlaces } from "./places";

/** Remembers that somebody signed in here, so that a token that ran out is renewed instead of asked for. */
const SIGNED_IN = "signed-in";
const REFRESH_MS = 10 * 60_000;

countdowns();
copies();
steppers();
once();
exports();
showSum();
watchPlaces();
void session();

function countdowns(): void {
  const all = [...document.querySelectorAll<HTMLTimeElement>("[data-countdown]")];
  if (!all.length) return;
  clock.learn(all[0]?.dataset["serverTime"]);
  let reloading = false;
  const tick = () => {
    for (const one of all) {
      const left = Date.parse(one.dateTime) - clock.now();
      one.textContent = left > 0 ? clockText(left, t("js_day")) : t("js_over");
      one.dataset["level"] = level(left);
      if (left > -1500 || !("reload" in one.dataset) || reloading) continue;
      // What had a deadline has changed on the server; show it, unless a hand is in a form.
      reloading = true;
      if (!document.activeElement?.matches("input, textarea, select")) location.reload();
    }
  };
  tick();
  setInterval(tick, 250);
}

function copies(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const label = find("span", button);
      try {
        await navigator.clipboard.writeText(button.dataset["copy"] ?? "");
      } catch {
        selectBeside(button);
        return toast(t("js_copy_by_hand"));
      }
      label.textContent = t("js_copied");
      toast(t("js_copied_what", { text: button.dataset["copy"] ?? "" }));
      setTimeout(() => {
        label.textContent = t("js_copy");
      }, 2000);
    });
  }
}

/** A table of the server becomes a file. The mark at its beginning tells spreadsheets that it is UTF-8. */
function exports(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-export]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const table = await api.get<{ filename: string; csv: string }>(button.dataset["export"] ?? "");
        const address = URL.createObjectURL(new Blob(["\uFEFF", table.csv], { type: "text/csv;charset=utf-8" }));
        const link = document.createElement("a");
        link.href = address;
        link.download = table.filename;
        link.click();
        setTimeout(() => URL.revokeObjectURL(address), 10_000);
      } catch (error) {
        sayError(error);
      } finally {
        button.disabled = false;
      }
    });
  }
}

/** Without a clipboard (plain http on another machine) the text is at least selected. */
function selectBeside(button: HTMLElement): void {
  const text = button.parentElement?.querySelector("b");
  if (text) window.getSelection()?.selectAllChildren(text);
}

function steppers(): void {
  for (const stepper of document.querySelectorAll<HTMLElement>("[data-stepper]")) {
    const input = find<HTMLInputElement>("input", stepper);
    const buttons = [...stepper.querySelectorAll<HTMLButtonElement>("[data-step]")];
    const draw = () => {
      for (const button of buttons) {
        const next = Number(input.value) + Number(button.dataset["step"]);
        button.hidden = false;
        button.disabled = next < Number(input.min) || next > Number(input.max);
      }
    };
    for (const button of buttons) {
      button.addEventListener("click", () => {
        input.value = String(Number(input.value) + Number(button.dataset["step"]));
        draw();
      });
    }
    input.addEventListener("input", draw);
    draw();
  }
}

/** A form that must not be sent twice by an impatient thumb. */
function once(): void {
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset["sent"] !== undefined) return event.preventDefault();
      form.dataset["sent"] = "";
      for (const button of form.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
    });
  }
  // The page that comes back from the browser's memory may be sent again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll<HTMLFormElement>("form[data-sent]")) delete form.dataset["sent"];
  });
}

async function session(): Promise<void> {
  const form = document.querySelector<HTMLFormElement>("#login-form");
  if (data.user !== null) {
    localStorage.setItem(SIGNED_IN, "1");
    setInterval(() => void api.refresh(), REFRESH_MS);
  } else if (localStorage.getItem(SIGNED_IN) !== null) {
    // The access token has run out: one renewal, then the page as it was meant.
    localStorage.removeItem(SIGNED_IN);
    if (await api.refresh()) return form ? location.replace(form.dataset["next"] ?? "/") : location.reload();
  }
  if (form) signIn(form);
  const out = document.querySelector<HTMLButtonElement>("[data-logout]");
  if (!out) return;
  out.hidden = false;
  out.addEventListener("click", async () => {
    try {
      await api.post("/api/auth/logout");
      localStorage.removeItem(SIGNED_IN);
      location.assign("/");
    } catch (error) {
      sayError(error);
    }
  });
}

function signIn(form: HTMLFormElement): void {
  const button = find<HTMLButtonElement>("button", form);
  const problem = find("[data-problem]", form);
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    const body = { email: fields.get("email"), name: fields.get("name"), instagramId: fields.get("name"), role: fields.get("role") };
    button.disabled = true;
    problem.hidden = true;
    try {
      await api.post("/api/auth/dev-login", body);
      localStorage.setItem(SIGNED_IN, "1");
      location.assign(form.dataset["next"] ?? "/");
    } catch (error) {
      button.disabled = false;
      problem.hidden = false;
      const elsewhere = error instanceof ApiError && (error.statusCode === 404 || error.statusCode === 403);
      find("span", problem).textContent = elsewhere ? t("js_no_dev_login") : error instanceof Error ? error.message : t("js_failed");
    }
  });
}
