// A request as somebody pastes it: as HTTP, or as the command of curl that browsers copy.

export interface Pasted {
  method: string;
  path: string;
  host?: string;
  headers: { name: string; value: string }[];
}

export function paste(text: string): Pasted {
  const trimmed = text.trim();
  if (!trimmed) throw new Error("there is no request");
  return /^curl\s/.test(trimmed) ? curl(words(trimmed)) : http(trimmed);
}

function http(text: string): Pasted {
  const [first = "", ...lines] = text.split(/\r?\n/);
  const [, method, target] = /^([A-Z]+)\s+(\S+)/.exec(first) ?? [];
  if (!method || !target) throw new Error("the first line is not METHOD /path");
  const end = lines.indexOf("");
  const fields = (end === -1 ? lines : lines.slice(0, end)).map((line) => {
    const cut = line.indexOf(":");
    if (cut < 1) throw new Error("a header field has no colon");
    return { name: line.slice(0, cut).trim(), value: line.slice(cut + 1).trim() };
  });
  return made(method, target, fields);
}

/** Options of curl that have a value of which nothing is needed. */
const PASSED = ["-o", "--output", "--cacert", "--cert", "--key", "-m", "--max-time", "--connect-timeout", "--resolve"];
const BODIES = ["-d", "--data", "--data-raw", "--data-binary", "--data-urlencode", "--json"];

function curl([, ...all]: string[]): Pasted {
  let method: string | undefined;
  let target: string | undefined;
  let body = false;
  const fields: Pasted["headers"] = [];
  for (let at = 0; at < all.length; at++) {
    const word = all[at]!;
    if (word === "-X" || word === "--request") method = all[++at];
    else if (word === "-H" || word === "--header") {
      const [name = "", ...value] = (all[++at] ?? "").split(":");
      fields.push({ name: name.trim(), value: value.join(":").trim() });
    } else if (word === "-b" || word === "--cookie") fields.push({ name: "cookie", value: all[++at] ?? "" });
    else if (word === "-A" || word === "--user-agent") fields.push({ name: "user-agent", value: all[++at] ?? "" });
    else if (BODIES.includes(word)) [body, at] = [true, at + 1];
    else if (word === "-I" || word === "--head") method ??= "HEAD";
    else if (PASSED.includes(word)) at++;
    else if (!word.startsWith("-")) target ??= word;
  }
  if (!target) throw new Error("the command names no address");
  return made(method ?? (body ? "POST" : "GET"), target, fields);
}

function made(method: string, target: string, fields: Pasted["headers"]): Pasted {
  let host = fields.find((field) => field.name.toLowerCase() === "host")?.value;
  let path = target;
  if (!target.startsWith("/")) {
    const url = URL.parse(target.includes("://") ? target : `https://${target}`);
    if (!url) throw new Error("the address is none");
    host ??= url.host;
    path = url.pathname + url.search;
  }
  const headers = fields.filter((field) => field.name && field.name.toLowerCase() !== "host");
  return { method, path, headers, ...(host ? { host } : {}) };
}

/** The words of a command, as a shell would take them apart. */
function words(text: string): string[] {
  const found: string[] = [];
  const pattern = /\\\r?\n|\s+|'((?:[^'])*)'|\$'((?:\\.|[^'])*)'|"((?:\\.|[^"])*)"|((?:\\[^\r\n]|[^\s'"\\])+)/gy;
  let open: string | undefined;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [, single, dollar, double, bare] = match;
    const part = single ?? dollar?.replace(/\\(.)/g, "$1") ?? double?.replace(/\\(["\\$`])/g, "$1") ?? bare?.replace(/\\(.)/g, "$1");
    if (part === undefined) {
      if (open !== undefined) found.push(open);
      open = undefined;
    } else open = (open ?? "") + part;
  }
  if (open !== undefined) found.push(open);
  return found;
}
