/* The floor of the plain wires: the cheapest honest echo server that one thread and epoll allow.
 *
 *     echo raw|line|len PORT          listens on 127.0.0.1:PORT
 *
 * raw echoes what was read, line whole lines, len whole frames of a 4-byte big-endian length and a body. A message
 * is echoed only when it is whole; an unfinished one waits in its connection's tail. A readable event costs one recv
 * and one send: see server.h.
 */
#include "server.h"

enum { LEN_HEADER_BYTES = 4 };

/* How many bytes at the front of `bytes` are whole messages; -1 if one is longer than allowed. */
typedef ssize_t whole_messages(const char *bytes, size_t len, size_t already_searched);

static whole_messages *whole_of;

/* The tail of the connection being served is copied in front of what recv brings, so that messages are contiguous. */
static char buffer[MAX_MESSAGE_BYTES + RECV_BYTES];

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

static ssize_t echo_once(struct connection *connection) {
    size_t had = connection->tail ? connection->tail->len : 0;
    ssize_t got = receive(connection->fd, buffer + had);
    if (got <= 0) return got;

    if (had) memcpy(buffer, connection->tail->bytes, had);
    forget(&connection->tail);
    size_t filled = had + (size_t)got;
    ssize_t whole = whole_of(buffer, filled, had);
    if (whole < 0) return -1;
    if (whole > 0 && !send_or_keep(connection, buffer, (size_t)whole)) return -1;
    if ((size_t)whole < filled) connection->tail = keep(buffer + whole, filled - (size_t)whole);
    return got;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "raw")) whole_of = whole_raw;
    if (argc == 3 && !strcmp(argv[1], "line")) whole_of = whole_lines;
    if (argc == 3 && !strcmp(argv[1], "len")) whole_of = whole_frames;
    if (!whole_of) {
        fprintf(stderr, "usage: echo raw|line|len PORT\n");
        return 2;
    }
    run(&(struct server){sizeof(struct connection), echo_once}, argv[1], (uint16_t)atoi(argv[2]));
}
