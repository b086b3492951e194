import { expect, test } from "vitest";
import proofs from "./fixtures/proofs.json";
import { ProofError, verify } from "./tlog";

test.each(proofs)("entry $index of a log of the binary is proven", async ({ stored, proof, log_key, index }) => {
  const found = await verify(stored, proof, log_key);
  expect(found.index).toBe(index);
  expect(found.size).toBeGreaterThan(index);
  expect(log_key.startsWith(`${found.origin}+`)).toBe(true);
});

const [first, second] = proofs as [(typeof proofs)[0], (typeof proofs)[0]];
const [origin, id, key] = [first.log_key.split("+")[0]!, first.log_key.split("+")[1]!, first.log_key.split("+").slice(2).join("+")];
const flip = (text: string, at: number) => text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
const lines = first.proof.split("\n");
const signature = first.proof.lastIndexOf(" ") + 20;

test.each([
  ["another entry", first.stored.replace("{", "{ "), first.proof, first.log_key],
  ["the proof of another entry", second.stored, first.proof, first.log_key],
  ["another index", first.stored, first.proof.replace("index 0", "index 1"), first.log_key],
  ["an index that is not covered", first.stored, first.proof.replace("index 0", "index 99999"), first.log_key],
  ["a hash more", first.stored, first.proof.replace("\n\n", `\n${lines[2]}\n\n`), first.log_key],
  ["a hash less", first.stored, [...lines.slice(0, 2), ...lines.slice(3)].join("\n"), first.log_key],
  ["a changed hash", first.stored, first.proof.replace(lines[2]!, flip(lines[2]!, 3)), first.log_key],
  ["a changed signature", first.stored, flip(first.proof, signature), first.log_key],
  ["a larger checkpoint", first.stored, first.proof.replace(/\n\n(.*)\n(\d+)\n/, (_, name, size) => `\n\n${name}\n${Number(size) + 1}\n`), first.log_key],
  ["another log", first.stored, first.proof.replaceAll(origin, "evil.example/audit"), first.log_key],
  ["another key", first.stored, first.proof, `${origin}+${id}+${flip(key, 8)}`],
  ["a key with another name", first.stored, first.proof, `evil.example+${id}+${key}`],
  ["no signature", first.stored, first.proof.slice(0, first.proof.lastIndexOf("\n\n")), first.log_key],
  ["nothing", first.stored, "", first.log_key],
  ["no key", first.stored, first.proof, ""],
  ["what is no base64", first.stored, first.proof.replace(lines[2]!, "§".repeat(44)), first.log_key],
])("%s is not proven", async (_, stored, proof, vkey) => {
  await expect(verify(stored, proof, vkey)).rejects.toBeInstanceOf(ProofError);
});
