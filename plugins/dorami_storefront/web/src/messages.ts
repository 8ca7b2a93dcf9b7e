/** The page's own words, from the JSON block that the server wrote; the same TOML file as the templates use. */

export type Values = Readonly<Record<string, string | number>>;

export class Messages {
  constructor(private readonly texts: Readonly<Record<string, string>>) {}

  /** The sentence of a key with `{name}` filled in; the key itself where there is none, so that it can be seen. */
  t = (key: string, values: Values = {}): string =>
    (this.texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
