"""A server that runs out of descriptors serves those it has as before, does not spin, says so once, and goes on."""

import re
import select
import time

from harness import Server, percentile, round_trip, run

LIMIT = 200
PEERS = 600


def answered(peers, seconds):
    """Those of `peers` whose first line was echoed, once no further one was for `seconds`."""
    poll, by_fd = select.poll(), {}
    for peer in peers:
        by_fd[peer.fileno()] = peer
        poll.register(peer, select.POLLIN)
    done = []
    while ready := poll.poll(seconds * 1000):
        for fd, _ in ready:
            poll.unregister(fd)
            assert by_fd[fd].recv(100) == b"hi\n", "a waiting connection was not served, but ended"
            done.append(by_fd[fd])
    return done


def main(proof):
    with Server("line", descriptors=LIMIT, log_level="info") as server:
        own = server.descriptors()
        peers = []
        for _ in range(PEERS):
            peers.append(server.connect())
            peers[-1].sendall(b"hi\n")
        served = answered(peers, seconds=1.5)
        waiting = [peer for peer in peers if peer not in served]
        fits = LIMIT - own - 5 <= len(served) <= LIMIT - own and server.descriptors() <= LIMIT
        proof.claim(fits, f"limit {LIMIT}: {len(served)} are served, {len(waiting)} wait")

        slowest = percentile([round_trip(peer) for _ in range(5) for peer in served], 0.99)
        proof.claim(slowest < 0.02, f"those are answered in {slowest * 1e6:.0f} us (99 of 100)")

        used = server.cpu_seconds()
        time.sleep(3)
        used = server.cpu_seconds() - used
        proof.claim(used < 0.03, f"{used * 1000:.1f} ms of CPU in the next 3 s")

        for peer in served[:50]:
            peer.close()
        more = answered(waiting, seconds=1.5)
        proof.claim(len(more) == 50, f"50 left, {len(more)} others came in")

        lines = re.findall(r".*(?:descriptor|too many open files|EMFILE|os error 24).*", server.log(), re.I)
        lines = [line for line in lines if re.match(r"\d{4}-", line)]  # not the advice of the greeting
        proof.claim(len(lines) == 1, f"{len(lines)} log line about it")

        for peer in served[50:]:
            peer.close()
        for _ in range(10):
            for peer in more:
                peer.close()
            waiting = [peer for peer in waiting if peer.fileno() >= 0]
            more = answered(waiting, seconds=1.5)
            if not more:
                break
        proof.claim(not waiting, f"all {PEERS} were served in the end")


run(main)
