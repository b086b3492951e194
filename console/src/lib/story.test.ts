import { expect, test } from "vitest";
import { story } from "./story";

const login = (time: number, ip: string, name: string, status_id: number) => ({
  time, status_id, metadata: { event_code: status_id === 1 ? "authn_login_success" : "authn_login_fail" }, src_endpoint: { ip }, user: { name, uid: `usr_${name}` },
});

test("attempts are counted by address and account, and by minute", () => {
  const made = story([
    login(60_000, "192.0.2.1", "ann", 2), login(61_000, "192.0.2.1", "ann", 2), login(190_000, "192.0.2.1", "bob", 1), login(191_000, "192.0.2.9", "ann", 2),
    { time: 1, metadata: { event_code: "gate_denied" } }, null, "x",
  ])!;
  expect(made.pairs[0]).toEqual({ from: "192.0.2.1", who: "ann", whoId: "usr_ann", failed: 2, good: 0 });
  expect([made.failed, made.good, made.addresses, made.accounts]).toEqual([3, 1, ["192.0.2.1", "192.0.2.9"], ["ann", "bob"]]);
  // Five minutes before and after.
  expect([made.at.slice(4, 9), made.failures.slice(4, 9), made.successes.slice(4, 9)]).toEqual([[0, 60, 120, 180, 240], [0, 2, 0, 1, 0], [0, 0, 0, 1, 0]]);
});

test("nothing tells no story, and a clock that was wrong does not fill the page", () => {
  expect(story([])).toBeUndefined();
  expect(story([login(0, "a", "b", 2), login(1e15, "a", "b", 2)])!.at.length).toBe(240);
});
