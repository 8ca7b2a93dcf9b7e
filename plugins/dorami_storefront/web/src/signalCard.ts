/** How the publisher's signal is doing, once a second while the page is seen. */

import { find, make } from "./dom";
import { api, t } from "./page";
import { advice, figures, LIGHTS, type Signal } from "./signal";

const LOOK_MS = 1000;

export function signalCard(card: HTMLElement, path: string): void {
  const light = find("[data-signal-light]", card);
  const advised = find("[data-signal-advice]", card);
  const numbers = find("[data-signal-numbers]", card);
  let looking = false;

  function show(signal: Signal): void {
    light.className = `badge ${LIGHTS[signal.verdict]}`;
    light.dataset["verdict"] = signal.verdict;
    light.textContent = t(`js_signal_${signal.verdict.toLowerCase()}`);
    const sentence = advice(signal);
    const text = sentence === null ? "" : t(...sentence);
    const shown = find("span", advised);
    if (shown.textContent !== text) shown.textContent = text;
    advised.hidden = sentence === null;
    numbers.replaceChildren(...figures(signal, t).map(([label, figure]) => make("div", {}, make("dt", {}, label), make("dd", {}, figure))));
    numbers.hidden = numbers.childElementCount === 0;
  }

  async function look(): Promise<void> {
    if (looking || document.hidden) return;
    looking = true;
    try {
      show(await api.get<Signal>(path));
      card.hidden = false;
    } catch {
      card.hidden = true; // the video may be taken in elsewhere
    } finally {
      looking = false;
    }
  }

  void look();
  setInterval(() => void look(), LOOK_MS);
  document.addEventListener("visibilitychange", () => void look());
}
