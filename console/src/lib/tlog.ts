// Checks that an entry is in the log, here and without asking anybody: C2SP tlog-proof, signed-note and
// tlog-checkpoint, RFC 9162 (section 2.1.3.2) and RFC 8032, with WebCrypto.

export interface Verified {
  /** The name of the log. */
  origin: string;
  /** The entry's index in it. */
  index: number;
  /** How many entries the signed checkpoint covers. */
  size: number;
}

/** Why it does not hold. */
export class ProofError extends Error {}

const HEADER = "c2sp.org/tlog-proof@v1";
const ED25519 = 1;
const MAX_HASHES = 63;

export async function verify(entry: string, proof: string, vkey: string): Promise<Verified> {
  const cut = proof.indexOf("\n\n");
  need(cut > 0, "the proof has no checkpoint");
  const lines = proof.slice(0, cut).split("\n");
  need(lines.shift() === HEADER, "this is no proof of a log");
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const index = whole(/^index (\d{1,15})$/.exec(lines.shift() ?? "")?.[1]);
  const path = lines.map((line) => bytes(line, 32));
  need(path.length <= MAX_HASHES, "the proof is too long");
  const checkpoint = await open(proof.slice(cut + 2), vkey);
  need(index < checkpoint.size, "the checkpoint does not cover the entry");
  const leaf = await sha256(Uint8Array.of(0), new TextEncoder().encode(entry));
  const root = await walk(leaf, index, checkpoint.size, path);
  need(same(root, checkpoint.root), "the entry is not the one in the log");
  return { origin: checkpoint.origin, index, size: checkpoint.size };
}

/** From a leaf to the root that a path leads to. */
async function walk(leaf: Uint8Array, index: number, size: number, path: Uint8Array[]): Promise<Uint8Array> {
  let [at, last, seen] = [index, size - 1, leaf];
  for (const sibling of path) {
    need(last > 0, "the path is too long");
    if (at % 2 === 1 || at === last) {
      seen = await sha256(Uint8Array.of(1), sibling, seen);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      seen = await sha256(Uint8Array.of(1), seen, sibling);
    }
    [at, last] = [half(at), half(last)];
  }
  need(last === 0, "the path is too short");
  return seen;
}

/** A checkpoint that the key has signed. */
async function open(note: string, vkey: string): Promise<{ origin: string; size: number; root: Uint8Array }> {
  const [origin = "", id = "", encoded = ""] = [vkey.split("+", 1)[0], ...rest(vkey)];
  const key = bytes(encoded, 33);
  need(key[0] === ED25519, "the key is of a kind that is not known");
  const hash = await sha256(new TextEncoder().encode(`${origin}\n`), key);
  need(hex(hash.slice(0, 4)) === id, "the key is not the one it says");
  const cut = note.lastIndexOf("\n\n");
  need(cut > 0, "the checkpoint is not signed");
  const text = note.slice(0, cut + 1);
  const signatures = note.slice(cut + 2).split("\n");
  const own = signatures.find((line) => line.startsWith(`— ${origin} `));
  need(own !== undefined, "the key has not signed the checkpoint");
  const signature = bytes(own.slice(`— ${origin} `.length), 68);
  need(same(signature.slice(0, 4), hash.slice(0, 4)), "the signature is of another key");
  const imported = await crypto.subtle.importKey("raw", key.slice(1), "Ed25519", false, ["verify"]);
  const good = await crypto.subtle.verify("Ed25519", imported, signature.slice(4), new TextEncoder().encode(text));
  need(good, "the signature of the checkpoint is wrong");
  const [name, size, root] = text.split("\n");
  need(name === origin, "the checkpoint is of another log");
  return { origin, size: whole(/^\d{1,15}$/.exec(size ?? "")?.[0]), root: bytes(root ?? "", 32) };
}

/** What follows the name: base64 has a plus of its own. */
function rest(vkey: string): [string, string] {
  const [, id = "", ...key] = vkey.split("+");
  return [id, key.join("+")];
}

function bytes(base64: string, length: number): Uint8Array<ArrayBuffer> {
  let text = "";
  try {
    text = atob(base64);
  } catch {
    throw new ProofError("a part of the proof is not base64");
  }
  need(text.length === length, "a part of the proof has a wrong length");
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all));
}

const half = (number: number) => Math.floor(number / 2);
const same = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, at) => byte === b[at]);
const hex = (all: Uint8Array) => Array.from(all, (byte) => byte.toString(16).padStart(2, "0")).join("");

function whole(text: string | undefined): number {
  need(text !== undefined, "a number is missing");
  return Number(text);
}

function need(holds: boolean, why: string): asserts holds {
  if (!holds) throw new ProofError(why);
}
