/* The floor: the cheapest honest echo server that one thread and epoll allow.
 *
 *     echo raw|line|len PORT          listens on 127.0.0.1:PORT
 *
 * raw echoes what was read, line whole lines, len whole frames of a 4-byte big-endian length and a body. A message
 * is echoed only when it is whole; an unfinished one waits in its connection's tail.
 *
 * A readable event costs one recv and one send. Registration is edge-triggered and made once: a recv that came back
 * short has emptied the socket, so it is not called again to see EAGAIN, unless the event said that the peer closed.
 * What the socket refuses is kept, and nothing more is read from that connection until it has left.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_MESSAGE_BYTES = 2 << 20,
    RECV_BYTES = 512 << 10,
    MAX_EVENTS = 1024,
    LEN_HEADER_BYTES = 4,
};

/* Bytes that outlive the event that brought them. Idle connections own none. */
struct kept {
    char *bytes;
    size_t len;
};

struct connection {
    int fd;
    struct kept tail;   /* the front of a message whose rest is on the way */
    struct kept unsent; /* what the socket refused; while there is any, nothing is read */
    size_t unsent_done; /* how much of `unsent` has left */
};

/* How many bytes at the front of `bytes` are whole messages; -1 if one is longer than allowed. */
typedef ssize_t whole_messages(const char *bytes, size_t len, size_t already_searched);

/* The tail of the connection being served is copied in front of what recv brings, so that messages are contiguous. */
static char buffer[MAX_MESSAGE_BYTES + RECV_BYTES];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static ssize_t whole_raw(const char *bytes, size_t len, size_t already_searched) {
    (void)bytes;
    (void)already_searched;
    return (ssize_t)len;
}

/* Finds every newline, not only the last one: a server that hands out messages has to. */
static ssize_t whole_lines(const char *bytes, size_t len, size_t already_searched) {
    size_t whole = 0;
    const char *from = bytes + already_searched, *newline;
    while ((newline = memchr(from, '\n', (size_t)(bytes + len - from)))) {
        from = newline + 1;
        whole = (size_t)(from - bytes);
    }
    return len - whole > MAX_MESSAGE_BYTES - LEN_HEADER_BYTES ? -1 : (ssize_t)whole;
}

static ssize_t whole_frames(const char *bytes, size_t len, size_t already_searched) {
    (void)already_searched;
    size_t whole = 0;
    while (len - whole >= LEN_HEADER_BYTES) {
        uint32_t header;
        memcpy(&header, bytes + whole, sizeof header);
        size_t body = ntohl(header);
        if (body > MAX_MESSAGE_BYTES - LEN_HEADER_BYTES) return -1;
        if (len - whole - LEN_HEADER_BYTES < body) break;
        whole += LEN_HEADER_BYTES + body;
    }
    return (ssize_t)whole;
}

static void forget(struct kept *kept) {
    free(kept->bytes);
    *kept = (struct kept){0};
}

static void keep(struct kept *kept, const char *bytes, size_t len) {
    kept->bytes = malloc(len);
    if (!kept->bytes) die("malloc");
    memcpy(kept->bytes, bytes, len);
    kept->len = len;
}

static void close_connection(struct connection *connection) {
    close(connection->fd); /* epoll forgets it, and it had one event in this batch: this one */
    forget(&connection->tail);
    forget(&connection->unsent);
    free(connection);
}

/* How many bytes the socket took; -1 if the connection is lost. */
static ssize_t send_some(int fd, const char *bytes, size_t len) {
    ssize_t sent;
    do sent = send(fd, bytes, len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* False if the connection is lost. */
static bool flush_unsent(struct connection *connection) {
    struct kept *unsent = &connection->unsent;
    while (unsent->bytes) {
        size_t left = unsent->len - connection->unsent_done;
        ssize_t sent = send_some(connection->fd, unsent->bytes + connection->unsent_done, left);
        if (sent < 0) return false;
        if (sent == 0) return true; /* writable comes again */
        connection->unsent_done += (size_t)sent;
        if ((size_t)sent == left) forget(unsent);
    }
    return true;
}

/* One recv and at most one send. Returns how many bytes came, 0 if none was there, -1 if the connection is over. */
static ssize_t echo_once(struct connection *connection, whole_messages *whole_of) {
    size_t had = connection->tail.len;
    ssize_t got;
    do got = recv(connection->fd, buffer + had, RECV_BYTES, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return errno == EAGAIN ? 0 : -1;
    if (got == 0) return -1;

    if (had) memcpy(buffer, connection->tail.bytes, had);
    size_t filled = had + (size_t)got;
    ssize_t whole = whole_of(buffer, filled, had);
    if (whole < 0) return -1;
    if (whole > 0) {
        ssize_t sent = send_some(connection->fd, buffer, (size_t)whole);
        if (sent < 0) return -1;
        if (sent < whole) {
            keep(&connection->unsent, buffer + sent, (size_t)(whole - sent));
            connection->unsent_done = 0;
        }
    }
    if (had) forget(&connection->tail);
    if ((size_t)whole < filled) keep(&connection->tail, buffer + whole, filled - (size_t)whole);
    return got;
}

static void serve(struct connection *connection, uint32_t events, whole_messages *whole_of) {
    bool was_blocked = connection->unsent.bytes != NULL;
    if (was_blocked && !flush_unsent(connection)) {
        close_connection(connection);
        return;
    }
    /* While output waited, readable edges were passed over, so reading goes on even if this event names none. */
    if (!was_blocked && !(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    bool peer_closed = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    ssize_t got = RECV_BYTES;
    while (!connection->unsent.bytes && got > 0 && (got == RECV_BYTES || peer_closed || was_blocked))
        got = echo_once(connection, whole_of);
    if (got < 0) close_connection(connection);
}

static void accept_all(int epoll, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EAGAIN) return;
            if (errno == EINTR || errno == ECONNABORTED) continue;
            die("accept");
        }
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection) die("calloc");
        connection->fd = fd;
        struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = connection}};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
}

/* The listener hands TCP_NODELAY on to what it accepts. */
static int listen_on(uint16_t port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) die("listen");
    return fd;
}

int main(int argc, char **argv) {
    whole_messages *whole_of = NULL;
    if (argc == 3 && !strcmp(argv[1], "raw")) whole_of = whole_raw;
    if (argc == 3 && !strcmp(argv[1], "line")) whole_of = whole_lines;
    if (argc == 3 && !strcmp(argv[1], "len")) whole_of = whole_frames;
    if (!whole_of) {
        fprintf(stderr, "usage: echo raw|line|len PORT\n");
        return 2;
    }

    int epoll = epoll_create1(0), listener = listen_on((uint16_t)atoi(argv[2]));
    struct epoll_event readable = {EPOLLIN, {.ptr = NULL}};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &readable)) die("epoll");
    fprintf(stderr, "floor %s listens on 127.0.0.1:%s\n", argv[1], argv[2]);

    static struct epoll_event events[MAX_EVENTS];
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) serve(events[i].data.ptr, events[i].events, whole_of);
            else accept_all(epoll, listener);
        }
    }
}
