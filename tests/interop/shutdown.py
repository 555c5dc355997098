"""SIGTERM and SIGINT drain: what is queued arrives, the closes are spread, the status is 0. A second one is final."""

import select
import signal
import threading
import time

from harness import Server, mib, receive, round_trip, run, wait_until

PEERS = 200
WINDOW = 2
SLOW_PEERS = 4
SLOW_BYTES = 8 << 20


def close_times(peers, seconds):
    """When each of `peers` saw its end, in seconds from now."""
    poll, by_fd, times = select.poll(), {}, []
    for peer in peers:
        by_fd[peer.fileno()] = peer
        poll.register(peer, select.POLLIN)
    began = time.monotonic()
    while len(times) < len(peers) and time.monotonic() < began + seconds:
        for fd, _ in poll.poll(100):
            assert by_fd[fd].recv(100) == b"", "something came that nobody asked for"
            times.append(time.monotonic() - began)
            poll.unregister(fd)
            by_fd[fd].close()
    return times


def spread(proof, name, number):
    with Server("line", drain_window=f"{WINDOW}s", log_level="debug") as server:
        peers = [server.connect() for _ in range(PEERS)]
        for peer in peers:
            round_trip(peer)
        server.process.send_signal(number)
        times = close_times(peers, WINDOW + 3)
        status = server.process.wait(5)
        named = server.log().count("closed: Draining")
    tenths = [sum(1 for at in times if tenth <= at * 10 / WINDOW < tenth + 1) for tenth in range(10)]
    even = len(times) == PEERS and max(tenths) <= PEERS * 0.2 and times[-1] <= WINDOW + 0.5
    told = f"{name}: {len(times)} closes by tenths of {WINDOW} s: {' '.join(map(str, tenths))}"
    proof.claim(even, told)
    proof.claim(status == 0, f"{name}: status {status}")
    proof.claim(named == PEERS, f"{name}: {named} closes are logged as Draining")


def flushes(proof):
    """Peers that have not read a byte of their echo yet when the signal comes, and then read all of it."""
    message = (b"%07d\n" * (SLOW_BYTES // 8)) % tuple(range(SLOW_BYTES // 8))
    limits = {"write_queue_soft_bytes": "16MiB", "write_queue_hard_bytes": "32MiB"}
    with Server("line", drain_window="1s", **limits) as server:
        empty = server.rss_anon()
        peers = [server.connect(receive_buffer=4096) for _ in range(SLOW_PEERS)]
        for peer in peers:
            peer.sendall(message)
        wait_until(lambda: server.rss_anon() - empty > SLOW_BYTES * SLOW_PEERS, 1)
        queued = server.rss_anon() - empty
        server.process.send_signal(signal.SIGTERM)
        got = [None] * SLOW_PEERS

        def read(n):
            got[n] = receive(peers[n], SLOW_BYTES + 1)

        readers = [threading.Thread(target=read, args=(n,)) for n in range(SLOW_PEERS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(20)
        for peer in peers:
            peer.close()
        status = server.process.wait(10)
    whole = sum(each == message for each in got)
    proof.claim(queued > 1 << 20, f"{mib(queued)} were queued at the signal")
    proof.claim(whole == SLOW_PEERS and status == 0, f"{whole} of {SLOW_PEERS} slow peers got all of {mib(SLOW_BYTES)}")


def second_signal(proof, number):
    with Server("line", drain_window="10s") as server:
        peers = [server.connect() for _ in range(20)]
        for peer in peers:
            round_trip(peer)
        server.process.send_signal(number)
        time.sleep(0.5)
        running = server.process.poll() is None
        server.process.send_signal(number)
        began = time.monotonic()
        wait_until(lambda: server.process.poll() is not None, 5)
        took = time.monotonic() - began
        for peer in peers:
            peer.close()
    proof.claim(running and took < 0.3, f"a second {number.name} ends it in {took * 1000:.0f} ms")


def main(proof):
    spread(proof, "SIGTERM", signal.SIGTERM)
    spread(proof, "SIGINT", signal.SIGINT)
    flushes(proof)
    second_signal(proof, signal.SIGTERM)
    second_signal(proof, signal.SIGINT)


run(main)
