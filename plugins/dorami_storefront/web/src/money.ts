/** Money as people read it. Amounts are decimal strings of major units, and stay strings. */

const DECIMALS: Readonly<Record<string, number>> = { USD: 2, EUR: 2, GBP: 2, KRW: 0, JPY: 0 };
const SIGN: Readonly<Record<string, string>> = { USD: "$", EUR: "€", GBP: "£", JPY: "¥" };

/** `12,500원`, `$12.50`. */
export function money(amount: string, currency: string): string {
  const negative = amount.startsWith("-");
  const [whole = "0", rest = ""] = amount.replace("-", "").split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const decimals = DECIMALS[currency] ?? 2;
  const number = decimals ? `${grouped}.${rest.padEnd(decimals, "0").slice(0, decimals)}` : grouped;
  const text = currency === "KRW" ? `${number}원` : `${SIGN[currency] ?? `${currency} `}${number}`;
  return negative ? `-${text}` : text;
}
