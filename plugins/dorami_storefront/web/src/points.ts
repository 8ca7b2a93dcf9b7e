/** How many points are taken off a sum, pure. All amounts are decimal strings of major units. */

export interface Sum {
  readonly used: string;
  readonly total: string;
}

/** Null where what was typed is no amount of this many decimals, or more than may be used. */
export function reduced(whole: string, usable: string, typed: string): Sum | null {
  const decimals = whole.split(".")[1]?.length ?? 0;
  const text = typed.replace(/,/g, "").trim() || "0";
  const pattern = decimals ? new RegExp(`^\\d{1,15}(\\.\\d{0,${decimals}})?$`) : /^\d{1,15}$/;
  if (!pattern.test(text)) return null;
  const used = minor(text, decimals);
  if (used > minor(usable, decimals)) return null;
  return { used: major(used, decimals), total: major(minor(whole, decimals) - used, decimals) };
}

function minor(text: string, decimals: number): bigint {
  const [whole = "0", rest = ""] = text.split(".");
  return BigInt(whole + rest.padEnd(decimals, "0"));
}

function major(amount: bigint, decimals: number): string {
  if (!decimals) return amount.toString();
  const digits = amount.toString().padStart(decimals + 1, "0");
  return `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}
