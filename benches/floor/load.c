/* Plays ping-pong with an echo server over many connections and says how many messages a second came back.
 *
 *     load raw|line|len PORT [--connections 64] [--payload 64] [--depth 1] [--messages 200000 | --seconds S]
 *                            [--warm-up 0] [--gate]
 *
 * Each connection keeps `depth` messages in flight: what came back whole is replaced at once, by one send. Every
 * connection walks through a ring of different messages from a place of its own, and each byte that comes back is
 * compared with the one that left, so a message that is lost, doubled, torn or another's ends the run with status 1.
 * So does a second of which no byte comes back ten times in a row.
 *
 * With --gate it says `ready` when the warm-up is over and nothing is in flight, and goes on when it is sent a line:
 * whoever measures the server reads its clocks in between.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RECV_BYTES = 64 << 10, MAX_EVENTS = 1024, RING_BYTES = 32 << 10, PATIENCE_SECONDS = 10 };

struct connection {
    int fd;
    size_t send_at; /* offsets into the ring */
    size_t recv_at;
    size_t unsent;      /* bytes that the socket has not taken yet */
    size_t unfinished;  /* bytes of a message whose rest has not come back yet */
    size_t in_flight;   /* messages */
};

static struct {
    const char *wire;
    uint16_t port;
    size_t connections, payload, depth;
    uint64_t messages, warm_up;
    double seconds;
    bool gate;
} options = {.connections = 64, .payload = 64, .depth = 1, .messages = 200000};

static char *ring; /* the messages twice in a row, so that any stretch of up to `ring_bytes` is contiguous */
static size_t ring_bytes, frame_bytes;
static struct connection *connections;
static int epoll;

/* One phase: what may still be started, what is under way, what has come back. */
static uint64_t to_start, under_way, came_back;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Message number n: its number as far as it fits, then one letter repeated, in the frame of the wire. */
static void write_message(char *at, size_t n) {
    char number[32];
    size_t digits = (size_t)snprintf(number, sizeof number, "%zu", n);
    if (!strcmp(options.wire, "len")) {
        uint32_t header = htonl((uint32_t)options.payload);
        memcpy(at, &header, sizeof header);
        at += sizeof header;
    }
    memset(at, (int)('a' + n % 26), options.payload);
    memcpy(at, number, digits < options.payload ? digits : options.payload);
    if (!strcmp(options.wire, "line")) at[options.payload] = '\n';
}

static void make_ring(void) {
    frame_bytes = options.payload;
    if (!strcmp(options.wire, "len")) frame_bytes += 4;
    if (!strcmp(options.wire, "line")) frame_bytes += 1;
    size_t messages = RING_BYTES / frame_bytes;
    if (messages > 61) messages = 61;
    if (messages < options.depth) messages = options.depth;
    ring_bytes = messages * frame_bytes;
    ring = malloc(2 * ring_bytes);
    if (!ring) fail("out of memory");
    for (size_t n = 0; n < messages; n++) write_message(ring + n * frame_bytes, n);
    memcpy(ring + ring_bytes, ring, ring_bytes);
}

static void open_connection(struct connection *connection, size_t n) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    connection->fd = fd;
    connection->send_at = connection->recv_at = n * frame_bytes % ring_bytes;
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = connection}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static void send_unsent(struct connection *connection) {
    while (connection->unsent) {
        ssize_t sent = send(connection->fd, ring + connection->send_at, connection->unsent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) fail("send: %s", strerror(errno));
        connection->unsent -= (size_t)sent;
        connection->send_at += (size_t)sent;
        if (connection->send_at >= ring_bytes) connection->send_at -= ring_bytes;
    }
}

/* Tops the connection up to its depth, as far as the phase has messages left. */
static void start_messages(struct connection *connection) {
    size_t count = options.depth - connection->in_flight;
    if (count > to_start) count = (size_t)to_start;
    if (!count) return;
    to_start -= count;
    under_way += count;
    connection->in_flight += count;
    connection->unsent += count * frame_bytes;
    send_unsent(connection);
}

static void compare(struct connection *connection, const char *bytes, size_t len) {
    while (len) {
        size_t part = len < ring_bytes ? len : ring_bytes;
        if (memcmp(bytes, ring + connection->recv_at, part))
            fail("connection %zd: other bytes came back than were sent", connection - connections);
        connection->recv_at = (connection->recv_at + part) % ring_bytes;
        bytes += part;
        len -= part;
    }
}

/* A short read has emptied the socket, as in the server. */
static void receive(struct connection *connection) {
    static char buffer[RECV_BYTES];
    ssize_t got;
    do {
        got = recv(connection->fd, buffer, sizeof buffer, 0);
        if (got == 0) fail("connection %zd: closed by the server", connection - connections);
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0) fail("recv: %s", strerror(errno));
        compare(connection, buffer, (size_t)got);
        connection->unfinished += (size_t)got;
        size_t whole = connection->unfinished / frame_bytes;
        connection->unfinished %= frame_bytes;
        if (whole > connection->in_flight)
            fail("connection %zd: more came back than was sent", connection - connections);
        connection->in_flight -= whole;
        under_way -= whole;
        came_back += whole;
        start_messages(connection);
    } while (got == RECV_BYTES);
}

/* Plays until `messages` have been started, or `seconds` are over if it is not 0, and all of them have come back. */
static void play(uint64_t messages, double seconds) {
    static struct epoll_event events[MAX_EVENTS];
    double end = now() + seconds;
    int quiet_seconds = 0;
    to_start = seconds > 0 ? UINT64_MAX : messages;
    came_back = 0;
    for (size_t n = 0; n < options.connections; n++) start_messages(&connections[n]);
    while (under_way) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, 1000);
        if (count < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
        quiet_seconds = count > 0 ? 0 : quiet_seconds + 1;
        if (quiet_seconds == PATIENCE_SECONDS)
            fail("nothing came back for %d s, %llu messages are missing", quiet_seconds, (unsigned long long)under_way);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->unsent) send_unsent(connection);
            if (events[i].events & ~(uint32_t)EPOLLOUT) receive(connection);
        }
        if (seconds > 0 && now() >= end) to_start = 0;
    }
}

static int usage(void) {
    fprintf(stderr, "usage: load raw|line|len PORT [--connections N] [--payload BYTES] [--depth N]\n"
                    "            [--messages N | --seconds S] [--warm-up MESSAGES] [--gate]\n");
    return 2;
}

static bool read_options(int argc, char **argv) {
    static const struct option known[] = {
        {"connections", required_argument, 0, 'c'}, {"payload", required_argument, 0, 'p'},
        {"depth", required_argument, 0, 'd'},       {"messages", required_argument, 0, 'm'},
        {"seconds", required_argument, 0, 's'},     {"warm-up", required_argument, 0, 'w'},
        {"gate", no_argument, 0, 'g'},              {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'c': options.connections = strtoul(optarg, NULL, 10); break;
        case 'p': options.payload = strtoul(optarg, NULL, 10); break;
        case 'd': options.depth = strtoul(optarg, NULL, 10); break;
        case 'm': options.messages = strtoull(optarg, NULL, 10); break;
        case 's': options.seconds = strtod(optarg, NULL); break;
        case 'w': options.warm_up = strtoull(optarg, NULL, 10); break;
        case 'g': options.gate = true; break;
        default: return false;
        }
    }
    if (argc - optind != 2) return false;
    options.wire = argv[optind];
    options.port = (uint16_t)atoi(argv[optind + 1]);
    bool known_wire = !strcmp(options.wire, "raw") || !strcmp(options.wire, "line") || !strcmp(options.wire, "len");
    return known_wire && options.connections && options.payload && options.depth;
}

int main(int argc, char **argv) {
    if (!read_options(argc, argv)) return usage();
    make_ring();
    connections = calloc(options.connections, sizeof *connections);
    epoll = epoll_create1(0);
    if (!connections || epoll < 0) fail("start: %s", strerror(errno));
    for (size_t n = 0; n < options.connections; n++) open_connection(&connections[n], n);

    play(options.warm_up, 0);
    if (options.gate) {
        char line[16];
        puts("ready");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) return 1;
    }
    double began = now();
    play(options.messages, options.seconds);
    double took = now() - began;
    printf("%llu messages in %.3f s: %.0f messages/s\n", (unsigned long long)came_back, took, (double)came_back / took);
    return 0;
}
