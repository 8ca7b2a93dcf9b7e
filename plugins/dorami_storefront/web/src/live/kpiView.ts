/** `?kpi=1`: how the broadcast does, in numbers, over the picture. The values are also data attributes. */

import type { Kpi } from "../kpi";

export function showKpi(box: HTMLElement, kpi: Kpi): void {
  const draw = () => {
    const rows: [string, string, string | number | null][] = [
      ["protocol", "protocol", kpi.protocol],
      ["firstFrame", "first frame ms", kpi.firstFrameMs],
      ["rebuffers", "rebuffers", kpi.rebuffers],
      ["stall", "stall ms", kpi.stallMs],
      ["reconnects", "reconnects", kpi.reconnects],
      ["delay", "delay ms", kpi.delayMs],
    ];
    box.textContent = rows.map(([, label, value]) => `${label.padEnd(15)}${value ?? "-"}`).join("\n");
    for (const [name, , value] of rows) box.dataset[name] = String(value ?? "");
  };
  draw();
  setInterval(draw, 500);
}
