import { afterEach, describe, expect, it, vi } from "vitest";
import { Api, ApiError, type Fetch } from "./api";

interface Call {
  path: string;
  method: string;
  csrf: string | undefined;
}

/** A server that answers each path from its list, the last answer again and again. */
function server(answers: Record<string, [number, unknown][]>) {
  const calls: Call[] = [];
  const fetch: Fetch = async (path, init) => {
    const headers = init.headers as Record<string, string>;
    calls.push({ path, method: init.method ?? "GET", csrf: headers["X-CSRF-Token"] });
    const queue = answers[path];
    if (!queue?.length) throw new TypeError("connection refused");
    const [status, body] = queue.length > 1 ? queue.shift()! : queue[0]!;
    return new Response(JSON.stringify(body), { status });
  };
  return { calls, api: new Api({ csrfToken: "one", offline: "offline", fetch }) };
}

const ok = (data: unknown): [number, unknown] => [200, { data, success: true }];
const refused = (status: number, errorCode: string): [number, unknown] => [status, { statusCode: status, errorCode, message: errorCode, details: { a: 1 } }];

describe("the API client", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("renews the tokens in one tab at a time", async () => {
    const locked: string[] = [];
    const request = async (name: string, work: () => Promise<boolean>) => {
      locked.push(`${name}+`);
      const done = await work();
      locked.push(`${name}-`);
      return done;
    };
    vi.stubGlobal("navigator", { locks: { request } });
    const { api, calls } = server({ "/api/auth/refresh": [ok({})], "/api/csrf": [ok({ csrfToken: "two" })] });
    expect(await api.refresh()).toBe(true);
    expect(locked).toEqual(["dorami-refresh+", "dorami-refresh-"]);
    expect(calls.map((call) => call.path)).toEqual(["/api/auth/refresh", "/api/csrf"]);
  });

  it("takes the envelope off and sends the token with what changes something", async () => {
    const { api, calls } = server({ "/api/cart": [ok({ items: [] })] });
    expect(await api.get("/api/cart")).toEqual({ items: [] });
    await api.post("/api/cart", {});
    expect(calls.map((call) => call.csrf)).toEqual([undefined, "one"]);
  });

  it("makes an ApiError of a refusal, and of no network", async () => {
    const { api } = server({ "/api/cart": [refused(409, "INSUFFICIENT_STOCK")] });
    await expect(api.post("/api/cart", {})).rejects.toMatchObject({ statusCode: 409, errorCode: "INSUFFICIENT_STOCK", details: { a: 1 } });
    await expect(api.get("/api/elsewhere")).rejects.toBeInstanceOf(ApiError);
    await expect(api.get("/api/elsewhere")).rejects.toMatchObject({ errorCode: "NETWORK", message: "offline" });
  });

  it("refreshes once for many calls, and tries each again once", async () => {
    const { api, calls } = server({
      "/api/a": [refused(401, "UNAUTHORIZED"), ok(1)],
      "/api/b": [refused(401, "UNAUTHORIZED"), ok(2)],
      "/api/auth/refresh": [ok({})],
      "/api/csrf": [ok({ csrfToken: "two" })],
    });
    expect(await Promise.all([api.get("/api/a"), api.post("/api/b")])).toEqual([1, 2]);
    expect(calls.filter((call) => call.path === "/api/auth/refresh")).toHaveLength(1);
    expect(calls.at(-1)?.csrf ?? calls.at(-2)?.csrf).toBe("two");
  });

  it("refreshes although the page's token was of the session that ran out", async () => {
    const { api } = server({
      "/api/a": [refused(401, "UNAUTHORIZED"), ok(1)],
      "/api/auth/refresh": [refused(403, "CSRF_INVALID"), ok({})],
      "/api/csrf": [ok({ csrfToken: "guest" }), ok({ csrfToken: "new" })],
    });
    expect(await api.post("/api/a")).toBe(1);
  });

  it("gives up where the refresh is refused", async () => {
    const { api, calls } = server({ "/api/a": [refused(401, "UNAUTHORIZED")], "/api/auth/refresh": [refused(401, "UNAUTHORIZED")] });
    await expect(api.get("/api/a")).rejects.toMatchObject({ statusCode: 401 });
    expect(calls.filter((call) => call.path === "/api/a")).toHaveLength(1);
  });

  it("gets a new token where the old one is of another session", async () => {
    const { api, calls } = server({ "/api/a": [refused(403, "CSRF_INVALID"), ok(1)], "/api/csrf": [ok({ csrfToken: "two" })] });
    expect(await api.post("/api/a")).toBe(1);
    expect(calls.map((call) => call.csrf)).toEqual(["one", undefined, "two"]);
  });

  it("does not try again what is simply forbidden", async () => {
    const { api, calls } = server({ "/api/a": [refused(403, "FORBIDDEN")] });
    await expect(api.post("/api/a")).rejects.toMatchObject({ errorCode: "FORBIDDEN" });
    expect(calls).toHaveLength(1);
  });
});
