"""Autobahn's cases, as kosoku runs them, against the echo server: all OK, or informational where the suite says so.

The 216 cases of compression (12.*, 13.*), which take minutes, only with --all. Needs what setup.sh brings.
"""

import argparse
import asyncio
import hashlib
import time
from collections import Counter

from harness import Server, enter_venv, run

enter_venv()

from kosoku import FailureError, _caseindex, run_fuzzingclient  # noqa: E402

_caseindex.initialize_shims()
import case12_x_x as compression  # noqa: E402

COMPRESSION = ["12.*", "13.*"]
CASES, COMPRESSION_CASES = 301, 216
# What a server does in these is left open: data behind a close, and codes of 5000 and up.
LEFT_OPEN = {"7.1.6", "7.13.1", "7.13.2"}
STRICT = {"6.4.1", "6.4.2", "6.4.3", "6.4.4"}


def take_uncompressed_answers():
    """Lets a server answer a small message uncompressed, as it may.

    kosoku hands such a one to these cases as a string, of its characters or of its bytes, where they expect bytes.
    """
    for case in compression.Case12_X_X + compression.Case13_X_X:
        def on_message(self, message, binary, plain=case.onMessage):
            if isinstance(message, str):
                forms = [message.encode(), message.encode("latin-1", "replace")]
                same = [form for form in forms if hashlib.sha1(form).digest() == self._expected_hash]
                message = (same or forms)[0]
            plain(self, message, binary)

        case.onMessage = on_message


def results_of(server, everything):
    """Every case's result; a failed case is a result too."""
    exclude = None if everything else COMPRESSION
    try:
        return asyncio.run(run_fuzzingclient(server.url("ws"), None, exclude, concurrency=2))
    except FailureError as failure:
        return failure.results


def verdict(result):
    message, close = result.behavior.value, result.behavior_close.value
    return message if message == close else f"{message}/{close}"


def main(proof):
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--all", action="store_true", help="with the cases of compression")
    options = arguments.parse_args()

    take_uncompressed_answers()
    with Server("auto", max_message_bytes="16MiB") as server:
        began = time.monotonic()
        results = results_of(server, options.all)
        took = time.monotonic() - began
    expected = CASES + (COMPRESSION_CASES if options.all else 0)
    verdicts = {result.case_id: verdict(result) for result in results}
    wrong = {case: told for case, told in verdicts.items() if told != "OK" and case not in LEFT_OPEN}
    wrong |= {case: verdicts[case] for case in LEFT_OPEN & verdicts.keys() if "FAILED" in verdicts[case]}
    counts = ", ".join(f"{count} {told}" for told, count in Counter(verdicts.values()).most_common())
    proof.claim(len(verdicts) == expected, f"{len(verdicts)} cases: {counts}")
    proof.claim(not wrong, f"not OK: {wrong}" if wrong else "all others than the informational are OK")
    strict = all(verdicts.get(case) == "OK" for case in STRICT)
    proof.claim(strict, "text that turns bad in mid-frame is refused at that byte")
    slowest = max(results, key=lambda result: result.duration)
    proof.claim(True, f"{took:.1f} s, the slowest {slowest.case_id} with {slowest.duration / 1000:.1f} s")


run(main, seconds=1800)
