/** The sum of the order form while points are typed; the server decides, this only shows it before. */

import { find } from "./dom";
import { money } from "./money";
import { data, t } from "./page";
import { reduced } from "./points";

export function showSum(): void {
  const input = document.querySelector<HTMLInputElement>("[data-points]");
  if (!input) return;
  const { points: whole = "0", usable = "0" } = input.dataset;
  const [used, total, submit] = [find("[data-points-used]"), find("[data-total]"), find("[data-submit]")];
  const all = find<HTMLButtonElement>("[data-points-all]");
  const draw = () => {
    const sum = reduced(whole, usable, input.value);
    input.setAttribute("aria-invalid", String(sum === null));
    if (sum === null) return;
    used.textContent = `-${money(sum.used, data.currency)}`;
    total.textContent = money(sum.total, data.currency);
    submit.textContent = t("js_checkout_submit", { total: total.textContent });
  };
  all.hidden = false;
  all.addEventListener("click", () => {
    input.value = usable;
    draw();
  });
  input.addEventListener("input", draw);
  draw();
}
