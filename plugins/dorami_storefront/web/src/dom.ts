/** Small words for the page: find, make, say. Text is only ever set as text, so what people wrote cannot become markup. */

export function find<T extends Element = HTMLElement>(selector: string, root: ParentNode = document): T {
  const found = root.querySelector<T>(selector);
  if (found === null) throw new Error(`the page has no ${selector}`);
  return found;
}

type Props = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Makes an element: attributes as given, `class` among them; true is an empty attribute, false and null none. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: (Node | string | null | false | undefined)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== false && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name: string, sprite: string, extra = ""): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${extra}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

/** A full heart; those of the sprite are lines. */
export function heart(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", name);
  svg.setAttribute("viewBox", "0 0 24 24");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M12 21 3.6 12.6a5.4 5.4 0 0 1 7.6-7.6l.8.8.8-.8a5.4 5.4 0 0 1 7.6 7.6Z");
  svg.append(path);
  return svg;
}

/** The same gradient for the same thing, where it has no picture; `display.py` counts alike. */
export function gradient(id: string): string {
  let sum = 0;
  for (const char of id) sum += char.codePointAt(0) ?? 0;
  return `g${sum % 6}`;
}

let hideToast: ReturnType<typeof setTimeout> | undefined;

/** One sentence at the bottom, read aloud, with at most one thing to press. */
export function toast(sentence: string, action?: { label: string; href?: string; press?: () => void }): void {
  document.querySelector(".toast")?.remove();
  const box = make("div", { class: "toast", role: "status", popover: "manual" }, make("span", {}, sentence));
  if (action?.href) box.append(make("a", { href: action.href }, action.label));
  else if (action?.press) {
    const button = make("button", { type: "button" }, action.label);
    button.addEventListener("click", () => {
      box.remove();
      action.press?.();
    });
    box.append(button);
  }
  document.body.append(box);
  // In the top layer, so that it is seen above an open sheet too.
  if ("showPopover" in box) box.showPopover();
  clearTimeout(hideToast);
  hideToast = setTimeout(() => box.remove(), action ? 7000 : 3500);
}
