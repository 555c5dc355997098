/* What the floor's servers share: one thread, epoll, and bytes that outlive the event that brought them.
 *
 * Registration is edge-triggered and made once: a recv that came back short has emptied the socket, so it is not called
 * again to see EAGAIN, unless the event said that the peer closed. What the socket refuses is kept, and nothing more is
 * read from that connection until it has left.
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
    MAX_DESCRIPTORS = 1 << 20,
};

/* Bytes on the heap, for as long as they are needed. Idle connections own none. */
struct kept {
    size_t len;
    size_t done; /* how much of `len` has left, or has come */
    char bytes[];
};

/* A server may put more behind it: see `struct server`. */
struct connection {
    int fd;
    struct kept *tail;   /* the front of a message whose rest is on the way */
    struct kept *unsent; /* what the socket refused; while there is any, nothing is read */
};

struct server {
    size_t connection_bytes; /* of a struct that begins with a `struct connection` */
    /* One recv and at most one send. Returns how many bytes came, 0 if none was there, -1 if the connection is over. */
    ssize_t (*serve_once)(struct connection *);
};

/* By descriptor. */
static struct connection *connections[MAX_DESCRIPTORS];
static int highest_descriptor;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct kept *allocate(size_t len) {
    struct kept *kept = malloc(sizeof *kept + len);
    if (!kept) die("malloc");
    kept->len = len;
    kept->done = 0;
    return kept;
}

static struct kept *keep(const char *bytes, size_t len) {
    struct kept *kept = allocate(len);
    memcpy(kept->bytes, bytes, len);
    return kept;
}

static void forget(struct kept **kept) {
    free(*kept);
    *kept = NULL;
}

static void close_connection(struct connection *connection) {
    connections[connection->fd] = NULL;
    close(connection->fd); /* epoll forgets it, and it had one event in this batch: this one */
    forget(&connection->tail);
    forget(&connection->unsent);
    free(connection);
}

static ssize_t receive(int fd, char *into) {
    ssize_t got;
    do got = recv(fd, into, RECV_BYTES, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return errno == EAGAIN ? 0 : -1;
    return got ? got : -1;
}

/* How many bytes the socket took; -1 if the connection is lost. */
static ssize_t send_some(int fd, const char *bytes, size_t len) {
    ssize_t sent;
    do sent = send(fd, bytes, len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

static void keep_unsent(struct connection *connection, const char *bytes, size_t len) {
    size_t had = connection->unsent ? connection->unsent->len : 0;
    struct kept *unsent = realloc(connection->unsent, sizeof *unsent + had + len);
    if (!unsent) die("realloc");
    if (!had) unsent->done = 0;
    unsent->len = had + len;
    memcpy(unsent->bytes + had, bytes, len);
    connection->unsent = unsent;
}

/* False if the connection is lost. */
static bool send_or_keep(struct connection *connection, const char *bytes, size_t len) {
    ssize_t sent = connection->unsent ? 0 : send_some(connection->fd, bytes, len);
    if (sent < 0) return false;
    if ((size_t)sent < len) keep_unsent(connection, bytes + sent, len - (size_t)sent);
    return true;
}

/* False if the connection is lost. */
static bool flush_unsent(struct connection *connection) {
    struct kept *unsent = connection->unsent;
    while (unsent->done < unsent->len) {
        ssize_t sent = send_some(connection->fd, unsent->bytes + unsent->done, unsent->len - unsent->done);
        if (sent < 0) return false;
        if (sent == 0) return true; /* writable comes again */
        unsent->done += (size_t)sent;
    }
    forget(&connection->unsent);
    return true;
}

static void serve(const struct server *server, struct connection *connection, uint32_t events) {
    bool was_blocked = connection->unsent != NULL;
    if (was_blocked && !flush_unsent(connection)) {
        close_connection(connection);
        return;
    }
    /* While output waited, readable edges were passed over, so reading goes on even if this event names none. */
    if (!was_blocked && !(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return;
    bool peer_closed = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    ssize_t got = RECV_BYTES;
    while (!connection->unsent && got > 0 && (got == RECV_BYTES || peer_closed || was_blocked))
        got = server->serve_once(connection);
    if (got < 0) close_connection(connection);
}

static void accept_all(const struct server *server, int epoll, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EAGAIN) return;
            if (errno == EINTR || errno == ECONNABORTED) continue;
            die("accept");
        }
        struct connection *connection = calloc(1, server->connection_bytes);
        if (!connection || fd >= MAX_DESCRIPTORS) die("calloc");
        connection->fd = fd;
        connections[fd] = connection;
        if (fd > highest_descriptor) highest_descriptor = fd;
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

static _Noreturn void run(const struct server *server, const char *name, uint16_t port) {
    int epoll = epoll_create1(0), listener = listen_on(port);
    struct epoll_event readable = {EPOLLIN, {.ptr = NULL}};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &readable)) die("epoll");
    fprintf(stderr, "floor %s listens on 127.0.0.1:%d\n", name, port);

    static struct epoll_event events[MAX_EVENTS];
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) serve(server, events[i].data.ptr, events[i].events);
            else accept_all(server, epoll, listener);
        }
    }
}
