// The public API, as `docs/openapi.json` describes it, spoken to with the session that the gate keeps for this browser.
// No token is ever here.
import { again } from "./again.svelte";
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

/** Requests as they were, so that they can be sent once more. */
const sent = new WeakMap<Request, Request>();
const expected: Middleware = {
  onRequest({ request }) {
    if (again.other) throw new Refused({ status: 401, title: "Somebody else is logged in now", detail: "", violations: [] });
    if (again.who) request.headers.set("portcullis-account", again.who);
  },
  onResponse({ response }) {
    if (response.status === 412) again.stranger();
    // Somebody else may be here who may do less.
    if (response.status === 403) void again.look();
  },
};
/** Whoever has to log in again, or to prove that it is them, is asked to; what was refused is then asked for once more. */
const renewed: Middleware = {
  onRequest({ request }) {
    sent.set(request, request.clone());
  },
  async onResponse({ request, response }) {
    const copy = sent.get(request);
    let answer = response;
    while (answer.status === 401 && copy) {
      const why = answer.headers.get("www-authenticate")?.includes("insufficient_user_authentication") ? "confirm" : "login";
      // Only what is known to be the same person's is done.
      if (!(await again.ask(why))) break;
      answer = await fetch(copy.clone());
    }
    if (answer.status === 412) again.stranger();
    return answer;
  },
};

export const api = createClient<paths>({ baseUrl: "/", headers: { accept: "application/json" } });
api.use(offline, expected, renewed);
/** The same for what a page asks by itself: it disturbs nobody with a question. */
export const polls = createClient<paths>({ baseUrl: "/", headers: { accept: "application/json" } });
polls.use(offline, expected);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What was asked for; throws [`Refused`] where it was refused. */
export async function got<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (response.ok) return data as T;
  throw new Refused(problem(error, response));
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
