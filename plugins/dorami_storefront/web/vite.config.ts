import tailwindcss from "@tailwindcss/vite";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { ICONS } from "./icons.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** One SVG sprite of the icons that the templates name: `icons.svg#heart`. */
function sprite(): Plugin {
  return {
    name: "dorami-icons",
    generateBundle() {
      const symbols = ICONS.map((name) => {
        const svg = readFileSync(here(`./node_modules/lucide-static/icons/${name}.svg`), "utf8");
        const body = svg.replace(/^[\s\S]*?<svg[^>]*>/, "").replace(/<\/svg>\s*$/, "").replace(/\s+/g, " ");
        return (
          `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" ` +
          `stroke-width="2" stroke-linecap="round" stroke-linejoin="round">${body}</symbol>`
        );
      });
      const source = `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>`;
      this.emitFile({ type: "asset", name: "icons.svg", originalFileName: "icons.svg", source });
    },
  };
}

export default defineConfig({
  root: here("."),
  base: "./",
  publicDir: false,
  plugins: [tailwindcss(), sprite()],
  build: {
    outDir: here("../static/dist"),
    emptyOutDir: true,
    manifest: "manifest.json",
    target: "es2022",
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      input: {
        style: here("./src/style.css"),
        site: here("./src/site.ts"),
        live: here("./src/live.ts"),
        replay: here("./src/replay.ts"),
        admin: here("./src/admin.ts"),
        restream: here("./src/restream.ts"),
        recordings: here("./src/recordings.ts"),
      },
    },
  },
});
