/** The JSON API: adds the CSRF token, takes the envelope off, signs in again once when a token has run out. */

export class ApiError extends Error {
  constructor(
    readonly statusCode: number,
    readonly errorCode: string,
    message: string,
    readonly details: unknown = undefined,
    readonly retryAfterMs: number | undefined = undefined,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export type Fetch = (input: string, init: RequestInit) => Promise<Response>;

export interface ApiOptions {
  csrfToken: string;
  /** The sentence for "the network is gone". */
  offline: string;
  fetch?: Fetch;
}

/** One tab after another: a refresh token that comes twice ends the session. Plain http on another machine has no locks. */
function alone(work: () => Promise<boolean>): Promise<boolean> {
  const locks = typeof navigator === "undefined" ? undefined : (navigator.locks as LockManager | undefined);
  return locks ? locks.request("dorami-refresh", work) : work();
}

export class Api {
  #csrf: string;
  #refreshing: Promise<boolean> | null = null;
  readonly #fetch: Fetch;
  readonly #offline: string;

  constructor(options: ApiOptions) {
    this.#csrf = options.csrfToken;
    this.#offline = options.offline;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  get = <T>(path: string): Promise<T> => this.#call<T>("GET", path);
  post = <T>(path: string, body: unknown = {}): Promise<T> => this.#call<T>("POST", path, body);
  put = <T>(path: string, body: unknown): Promise<T> => this.#call<T>("PUT", path, body);
  patch = <T>(path: string, body: unknown): Promise<T> => this.#call<T>("PATCH", path, body);
  delete = <T>(path: string): Promise<T> => this.#call<T>("DELETE", path);

  /** One refresh however many calls ask for it; false where the person has to sign in again. */
  refresh(): Promise<boolean> {
    this.#refreshing ??= alone(() => this.#renewTokens())
      .catch(() => false)
      .finally(() => {
        this.#refreshing = null;
      });
    return this.#refreshing;
  }

  async #renewTokens(): Promise<boolean> {
    const path = "/api/auth/refresh";
    let response = await this.#send("POST", path, {});
    // The token of this page belongs to the session; without an access token the server sees a guest.
    if (response.status === 403 && (await this.#isCsrf(response)) && (await this.#renewCsrf())) {
      response = await this.#send("POST", path, {});
    }
    if (response.ok) await this.#renewCsrf();
    return response.ok;
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    let response = await this.#send(method, path, body);
    if (response.status === 401 && !path.startsWith("/api/auth/") && (await this.refresh())) {
      response = await this.#send(method, path, body);
    } else if (response.status === 403 && (await this.#isCsrf(response)) && (await this.#renewCsrf())) {
      response = await this.#send(method, path, body);
    }
    return this.#unwrap<T>(response);
  }

  async #send(method: string, path: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (method !== "GET") headers["X-CSRF-Token"] = this.#csrf;
    const init: RequestInit = { method, headers, credentials: "same-origin" };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    try {
      return await this.#fetch(path, init);
    } catch {
      throw new ApiError(0, "NETWORK", this.#offline);
    }
  }

  async #isCsrf(response: Response): Promise<boolean> {
    const body = (await response.clone().json().catch(() => null)) as { errorCode?: string } | null;
    return body?.errorCode === "CSRF_INVALID";
  }

  async #renewCsrf(): Promise<boolean> {
    const response = await this.#send("GET", "/api/csrf");
    if (!response.ok) return false;
    const body = (await response.json()) as { data?: { csrfToken?: string; token?: string } | string };
    const token = typeof body.data === "string" ? body.data : (body.data?.csrfToken ?? body.data?.token);
    if (token) this.#csrf = token;
    return Boolean(token);
  }

  async #unwrap<T>(response: Response): Promise<T> {
    const body = (await response.json().catch(() => null)) as {
      data?: T;
      errorCode?: string;
      message?: string;
      details?: unknown;
    } | null;
    if (!response.ok || body === null) {
      throw new ApiError(response.status, body?.errorCode ?? "INTERNAL_ERROR", body?.message ?? this.#offline, body?.details);
    }
    return body.data as T;
  }
}
