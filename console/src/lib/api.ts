// The public API, as `docs/openapi.json` describes it, spoken to with the session that the gate keeps for this browser.
// No token is ever here.
import createClient, { type Middleware } from "openapi-fetch";
import type { paths } from "./openapi";

/** What the API says when it refuses (RFC 9457). */
export interface Problem {
  status: number;
  title: string;
  detail: string;
  violations: { pointer: string; message: string }[];
}

/** A refusal, or that nothing came back at all (`status` 0). */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }
}

const offline: Middleware = {
  onError: () => new Refused({ status: 0, title: "Nobody answers", detail: "", violations: [] }),
};

export const api = createClient<paths>({ baseUrl: "/", headers: { accept: "application/json" } });
api.use(offline);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What was asked for; throws [`Refused`] where it was refused. Who is logged out is sent to log in, and comes back. */
export async function got<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (response.ok) return data as T;
  if (response.status === 401) logInAgain();
  throw new Refused(problem(error, response));
}

/** The gate sends to the login whoever opens a page without a session. Once a minute: what is refused for another
 * reason must not load the page for ever. */
function logInAgain() {
  const last = Number(sessionStorage.getItem("portcullis-login") ?? 0);
  if (Date.now() - last < 60_000) return;
  sessionStorage.setItem("portcullis-login", String(Date.now()));
  location.reload();
}

function problem(error: unknown, response: Response): Problem {
  const told = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  const violations = Array.isArray(told.violations) ? told.violations : [];
  return {
    status: response.status,
    title: text(told.title) || response.statusText,
    detail: text(told.detail),
    violations: violations.map((one: Record<string, unknown>) => ({ pointer: text(one.pointer), message: text(one.message) })),
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
