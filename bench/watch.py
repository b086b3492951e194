"""From the attempt that makes an attack of it to the block that is enforced, seen from outside.

For each of many addresses: one password on three accounts, then on a fourth, while another connection
from the same address asks for a page as fast as it can. The event is dated when the password was found
wrong; the first refusal is dated when it arrives. Both by the clock of this machine."""

import os
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
BIN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
os.environ["PORTCULLIS_BIN"] = str(BIN)

ADDRESSES = 100
REFUSED = 429


def main():
    from portcullis import DEMO, Demo, log_in

    config = DEMO.replace('rate = "120/min"', 'rate = "1000000/s"')
    config += '\n[protect.login]\nlimits = []\n[detect]\ndelay = "1ms"\nmax_answers_per_minute = 10000\n'
    after_answer, refused_at = [], {}
    with Demo(config, services=False, watched=True) as demo:
        for n in range(ADDRESSES):
            addr = f"127.70.{n}.1"
            client, other = demo.client(addr), demo.client(addr)
            for who in range(3):
                assert log_in(client, f"nobody{n}-{who}", f"Winter {n}").status_code == 401
            assert other.get("/login").status_code == 200
            blocked = []

            def poll():
                end = time.monotonic() + 10
                while time.monotonic() < end:
                    status = other.get("/login").status_code
                    if status == REFUSED:
                        blocked.append(time.time())
                        return

            thread = threading.Thread(target=poll)
            page = client.get("/login")
            from portcullis import fields
            form = {**fields(page.text), "username": f"nobody{n}-3", "password": f"Winter {n}"}
            thread.start()
            assert client.post("/login", data=form).status_code == 401
            answered = time.time()
            thread.join()
            after_answer.append((blocked[0] - answered) * 1e3)
            refused_at[addr] = blocked[0] * 1e3
        demo.stop()
        # The fourth failure of each address is the one that counts.
        failures = {}
        for event in demo.audit("--kind", "authn_login_fail"):
            failures.setdefault(event["src_endpoint"]["ip"], []).append(event["time"])
        since = sorted(refused_at[addr] - failures[addr][3] for addr in refused_at)
    print(f"{ADDRESSES} addresses; ms, p50 / p99 / worst (event times have whole ms, which adds up to 1)")
    for name, values in [("from the event to the first refusal", since),
                         ("from the answer to the first refusal", sorted(after_answer))]:
        p50, p99 = statistics.median(values), values[int(len(values) * 0.99) - 1]
        print(f"{name:40}{p50:7.2f}{p99:7.2f}{values[-1]:7.2f}")


main()
