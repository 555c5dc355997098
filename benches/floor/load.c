/* Plays ping-pong with an echo server over many connections and says how many messages a second came back.
 *
 *     load raw|line|len|ws|redis|nats PORT [--connections 64] [--payload 64] [--depth 1] [--rate R]
 *          [--messages 200000 | --seconds S] [--warm-up 0 | --warm-up-seconds S] [--gate] [--text]
 *          [--broadcast | --handshakes | --hub]
 *
 * Each connection keeps `depth` messages in flight: what came back whole is replaced at once, by one send. Every
 * connection walks through a ring of different messages from a place of its own, and each byte that comes back is
 * compared with the one that left, so a message that is lost, doubled, torn or another's ends the run with status 1.
 * So does a second of which no byte comes back ten times in a row.
 *
 * On ws each message is one binary frame, or a text frame with --text, masked by a key of its own. With --handshakes
 * `messages` counts WebSocket handshakes, in waves of as many as there are connections: all connect and ask, then each
 * is checked and reset.
 *
 * With --broadcast the first connection sends `depth` messages at once, and more when all others have received them;
 * `messages` counts what they receive, in whole rounds.
 *
 * With --hub the server is tidegate's hub: the first connection publishes, all others have subscribed, and the payload is
 * a publication's data (at least 10 bytes), of which every receiver checks the number (see hub.h).
 *
 * On redis and nats it is a client of those (see pubsub.h): with --broadcast the first connection publishes to a channel,
 * or subject, that all others have subscribed.
 *
 * With --rate messages are due at equal distances of time, on one connection after the other, whatever has come back, for
 * so many seconds. It says how long after its due time a message was back, so a stall of the server or of the load counts
 * for every message that it held up (see open_loop.h).
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

enum {
    RECV_BYTES = 64 << 10,
    MAX_EVENTS = 1024,
    RING_BYTES = 32 << 10,
    PATIENCE_SECONDS = 10,
    MAX_HEADER_BYTES = 64, /* and what stands behind a payload */
    SOURCES = 64, /* addresses that handshakes come from, so that ports last */
};

/* The example of RFC 6455 1.3. A server that knew it by heart would be found out by any other client. */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
static const char upgrade_request[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

struct connection {
    int fd;
    size_t send_at;     /* offset into the ring of what is sent */
    size_t recv_at;     /* offset into the ring of what comes back */
    size_t unsent;      /* bytes that the socket has not taken yet */
    size_t unfinished;  /* bytes of a message whose rest has not come back yet */
    size_t in_flight;   /* messages */
    uint64_t answered;  /* messages of this phase, with --rate */
    size_t ping_bytes;  /* of a question of a NATS server */
};

static struct {
    const char *wire;
    uint16_t port;
    size_t connections, payload, depth;
    uint64_t messages, warm_up;
    double seconds, warm_up_seconds, rate;
    bool gate, text, broadcast, handshakes, hub;
} options = {.connections = 64, .payload = 64, .depth = 1, .messages = 200000};

/* Framed messages twice in a row, so that any stretch of up to `len` bytes is contiguous. */
struct ring {
    char *bytes;
    size_t len, frame_bytes;
};

static struct ring requests, answers; /* the same on a wire that sends back what it got */
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

static bool on(const char *wire) {
    return !strcmp(options.wire, wire);
}

#include "hub.h"
#include "pubsub.h"

/* Message number n: its number as far as it fits, then one letter repeated. */
static void write_payload(char *at, size_t n) {
    char number[32];
    size_t digits = (size_t)snprintf(number, sizeof number, "%zu", n);
    memset(at, (int)('a' + n % 26), options.payload);
    memcpy(at, number, digits < options.payload ? digits : options.payload);
}

/* A whole message of one frame. Returns the length of its header. */
static size_t write_ws_header(uint8_t *at, bool masked) {
    uint8_t mask_bit = masked ? 0x80 : 0;
    size_t extended = options.payload > UINT16_MAX ? 8 : options.payload > 125 ? 2 : 0;
    at[0] = options.text ? 0x81 : 0x82;
    at[1] = mask_bit | (uint8_t)(extended == 8 ? 127 : extended == 2 ? 126 : options.payload);
    for (size_t i = 0; i < extended; i++) at[2 + i] = (uint8_t)(options.payload >> 8 * (extended - 1 - i));
    return 2 + extended + (masked ? 4 : 0);
}

/* A key whose bytes all differ from each other and from 0, so that a server cannot be right by chance. */
static void mask(uint8_t *payload, size_t n) {
    uint8_t *key = payload - 4;
    for (size_t i = 0; i < 4; i++) key[i] = (uint8_t)(1 + 61 * i + n % 61);
    for (size_t i = 0; i < options.payload; i++) payload[i] ^= key[i % 4];
}

/* Message number n in the frame of the wire, as a client sends it or as a server does. Returns its length. */
static size_t write_message(char *at, size_t n, bool from_client) {
    size_t header = 0;
    uint32_t len = htonl((uint32_t)options.payload);
    if (on("len")) memcpy(at, &len, header = sizeof len);
    if (on("ws")) header = write_ws_header((uint8_t *)at, from_client);
    if (is_pubsub()) header = pubsub_write_header(at, from_client);
    write_payload(at + header, n);
    if (on("ws") && from_client) mask((uint8_t *)at + header, n);
    const char *end = on("line") ? "\n" : is_pubsub() ? "\r\n" : "";
    memcpy(at + header + options.payload, end, strlen(end));
    return header + options.payload + strlen(end);
}

static void make_ring(struct ring *ring, bool from_client) {
    size_t most = options.payload + MAX_HEADER_BYTES;
    size_t messages = RING_BYTES / most;
    if (messages > 61) messages = 61;
    if (messages < options.depth) messages = options.depth;
    ring->bytes = malloc(2 * messages * most);
    if (!ring->bytes) fail("out of memory");
    for (size_t n = 0; n < messages; n++)
        ring->frame_bytes = write_message(ring->bytes + n * ring->frame_bytes, n, from_client);
    ring->len = messages * ring->frame_bytes;
    memcpy(ring->bytes + ring->len, ring->bytes, ring->len);
}

static int connect_from(in_addr_t source) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from)) fail("socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect: %s", strerror(errno));
    return fd;
}

static void ask_for_upgrade(int fd) {
    const char *request = options.hub ? hub_upgrade_request : upgrade_request;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        fail("the handshake was not taken: %s", strerror(errno));
}

/* Reads the answer and not a byte more, as nothing was asked yet that could follow it. */
static void check_upgrade(int fd) {
    char head[1024];
    size_t len = 0;
    do {
        ssize_t got = recv(fd, head + len, sizeof head - 1 - len, 0);
        if (got <= 0) fail("the handshake was not answered: %s", got ? strerror(errno) : "closed by the server");
        head[len += (size_t)got] = 0;
    } while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4));
    if (strncmp(head, "HTTP/1.1 101 ", 13) || !strstr(head, ACCEPT)) fail("the handshake was refused:\n%s", head);
}

static void open_connection(struct connection *connection, size_t n) {
    int fd = connect_from(INADDR_LOOPBACK);
    if (on("ws")) {
        ask_for_upgrade(fd);
        check_upgrade(fd);
    }
    if (options.hub) hub_enter(fd, n);
    if (is_pubsub()) pubsub_enter(fd, n);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    connection->fd = fd;
    if (options.broadcast) n = 0; /* all receive the same */
    connection->send_at = n * requests.frame_bytes % requests.len;
    connection->recv_at = n * answers.frame_bytes % answers.len;
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = connection}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static void send_unsent(struct connection *connection) {
    while (connection->unsent) {
        ssize_t sent = send(connection->fd, requests.bytes + connection->send_at, connection->unsent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) fail("send: %s", strerror(errno));
        connection->unsent -= (size_t)sent;
        connection->send_at += (size_t)sent;
        if (connection->send_at >= requests.len) connection->send_at -= requests.len;
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
    connection->unsent += count * requests.frame_bytes;
    send_unsent(connection);
}

/* Another round of a broadcast, if there is to be one. */
static void start_round(void) {
    uint64_t receivers = options.connections - 1, deliveries = receivers * options.depth;
    if (!to_start) return;
    to_start -= to_start < deliveries ? to_start : deliveries;
    under_way = deliveries;
    for (size_t n = 1; n <= receivers; n++) connections[n].in_flight = options.depth;
    if (options.hub) {
        hub_publish(connections[0].fd);
        return;
    }
    connections[0].unsent = options.depth * requests.frame_bytes;
    send_unsent(&connections[0]);
}

static void compare(struct connection *connection, const char *bytes, size_t len) {
    while (len) {
        size_t part = len < answers.len ? len : answers.len;
        if (memcmp(bytes, answers.bytes + connection->recv_at, part))
            fail("connection %zd: other bytes came back than were sent", connection - connections);
        connection->recv_at = (connection->recv_at + part) % answers.len;
        bytes += part;
        len -= part;
    }
}

/* How many messages are whole now. */
static size_t take(struct connection *connection, const char *bytes, size_t len) {
    if (on("nats")) return nats_take(connection, bytes, len);
    compare(connection, bytes, len);
    connection->unfinished += len;
    size_t whole = connection->unfinished / answers.frame_bytes;
    connection->unfinished %= answers.frame_bytes;
    return whole;
}

#include "open_loop.h"

/* A short read has emptied the socket, as in the server. */
static void receive(struct connection *connection) {
    static char buffer[RECV_BYTES];
    ssize_t got;
    do {
        got = recv(connection->fd, buffer, sizeof buffer, 0);
        if (got == 0) fail("connection %zd: closed by the server", connection - connections);
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0) fail("recv: %s", strerror(errno));
        if ((options.hub || is_pubsub()) && connection == connections) continue; /* replies to the publisher */
        size_t whole = options.hub ? hub_take(connection, buffer, (size_t)got) : take(connection, buffer, (size_t)got);
        if (whole > connection->in_flight)
            fail("connection %zd: more came back than was sent", connection - connections);
        connection->in_flight -= whole;
        under_way -= whole;
        came_back += whole;
        if (options.rate > 0) record_latency(connection, whole);
        else if (!options.broadcast) start_messages(connection);
    } while (got == RECV_BYTES);
}

static void act_on(struct epoll_event *events, int count) {
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (connection->unsent) send_unsent(connection);
        if (events[i].events & ~(uint32_t)EPOLLOUT) receive(connection);
    }
}

/* Plays until `messages` have been started, or `seconds` are over if it is not 0, and all of them have come back. */
static void play(uint64_t messages, double seconds) {
    static struct epoll_event events[MAX_EVENTS];
    double end = now() + seconds;
    int quiet_seconds = 0;
    to_start = seconds > 0 ? UINT64_MAX : messages;
    came_back = 0;
    for (size_t n = 0; n < options.connections && !options.broadcast; n++) start_messages(&connections[n]);
    if (options.broadcast) start_round();
    while (under_way) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, 1000);
        if (count < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
        quiet_seconds = count > 0 ? 0 : quiet_seconds + 1;
        if (quiet_seconds == PATIENCE_SECONDS)
            fail("nothing came back for %d s, %llu messages are missing", quiet_seconds, (unsigned long long)under_way);
        act_on(events, count);
        if (seconds > 0 && now() >= end) to_start = 0;
        if (options.broadcast && !under_way) start_round();
    }
}

/* Sends what is due, on one connection after the other, for so many seconds, and waits for the rest. */
static void play_at_rate(uint64_t messages, double seconds) {
    static struct epoll_event events[MAX_EVENTS];
    (void)messages;
    came_back = 0;
    begin_schedule(seconds);
    while (schedule_has_more() || under_way) {
        send_due();
        int count = epoll_wait(epoll, events, MAX_EVENTS, 0);
        if (count < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
        act_on(events, count);
        if (now() > schedule_end() + PATIENCE_SECONDS)
            fail("%llu messages did not come back for %d s", (unsigned long long)under_way, PATIENCE_SECONDS);
    }
}

static void wave(size_t count) {
    struct linger reset = {.l_onoff = 1};
    for (size_t n = 0; n < count; n++) {
        connections[n].fd = connect_from(INADDR_LOOPBACK + (in_addr_t)(n % SOURCES));
        ask_for_upgrade(connections[n].fd);
    }
    for (size_t n = 0; n < count; n++) {
        check_upgrade(connections[n].fd);
        setsockopt(connections[n].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(connections[n].fd);
    }
}

/* Handshakes until there were so many, or the time is over if it is not 0. */
static void shake_hands(uint64_t count, double seconds) {
    double end = now() + seconds;
    for (came_back = 0; seconds > 0 ? now() < end : came_back < count;) {
        size_t left = seconds > 0 || count - came_back > options.connections ? options.connections : count - came_back;
        wave(left);
        came_back += left;
    }
}

static int usage(void) {
    fprintf(stderr, "usage: load raw|line|len|ws|redis|nats PORT [--connections N] [--payload BYTES] [--depth N]\n"
                    "            [--messages N | --seconds S [--rate N]] [--warm-up MESSAGES | --warm-up-seconds S]\n"
                    "            [--gate] [--text]\n"
                    "            [--broadcast | --handshakes | --hub]\n");
    return 2;
}

static bool read_options(int argc, char **argv) {
    static const struct option known[] = {
        {"connections", required_argument, 0, 'c'}, {"payload", required_argument, 0, 'p'},
        {"depth", required_argument, 0, 'd'},       {"messages", required_argument, 0, 'm'},
        {"seconds", required_argument, 0, 's'},     {"warm-up", required_argument, 0, 'w'},
        {"gate", no_argument, 0, 'g'},              {"text", no_argument, 0, 't'},
        {"handshakes", no_argument, 0, 'h'},        {"broadcast", no_argument, 0, 'b'},
        {"hub", no_argument, 0, 'u'},               {"warm-up-seconds", required_argument, 0, 'x'},
        {"rate", required_argument, 0, 'r'},
        {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'c': options.connections = strtoul(optarg, NULL, 10); break;
        case 'p': options.payload = strtoul(optarg, NULL, 10); break;
        case 'd': options.depth = strtoul(optarg, NULL, 10); break;
        case 'm': options.messages = strtoull(optarg, NULL, 10); break;
        case 's': options.seconds = strtod(optarg, NULL); break;
        case 'w': options.warm_up = strtoull(optarg, NULL, 10); break;
        case 'x': options.warm_up_seconds = strtod(optarg, NULL); break;
        case 'r': options.rate = strtod(optarg, NULL); break;
        case 'g': options.gate = true; break;
        case 't': options.text = true; break;
        case 'b': options.broadcast = true; break;
        case 'h': options.handshakes = true; break;
        case 'u': options.hub = options.broadcast = true; break;
        default: return false;
        }
    }
    if (argc - optind != 2) return false;
    options.wire = argv[optind];
    options.port = (uint16_t)atoi(argv[optind + 1]);
    bool known_wire = on("raw") || on("line") || on("len") || on("ws") || is_pubsub();
    bool only_ws = options.text || options.handshakes || options.hub;
    if (options.hub && options.payload < 10) return false;
    if (is_pubsub() && !options.broadcast) return false;
    if (options.rate > 0 && (options.seconds <= 0 || options.broadcast || options.handshakes)) return false;
    if (options.broadcast && (options.handshakes || options.connections < 2)) return false;
    return known_wire && (on("ws") || !only_ws) && options.connections && options.payload && options.depth;
}

static void open_all(void) {
    make_ring(&requests, true);
    make_ring(&answers, false);
    if (options.hub) hub_open();
    for (size_t n = 0; n < options.connections; n++) open_connection(&connections[n], n);
}

static void wait_to_go_on(void) {
    char line[16];
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(1);
}

int main(int argc, char **argv) {
    if (!read_options(argc, argv)) return usage();
    void (*phase)(uint64_t, double) = options.handshakes ? shake_hands : options.rate > 0 ? play_at_rate : play;
    connections = calloc(options.connections, sizeof *connections);
    epoll = epoll_create1(0);
    if (!connections || epoll < 0) fail("start: %s", strerror(errno));
    if (!options.handshakes) open_all();

    phase(options.warm_up, options.warm_up_seconds);
    if (options.gate) wait_to_go_on();
    double began = now();
    phase(options.messages, options.seconds);
    double took = now() - began;
    const char *what = options.handshakes ? "handshakes" : "messages";
    printf("%llu %s in %.3f s: %.0f %s/s\n", (unsigned long long)came_back, what, took, (double)came_back / took, what);
    if (options.rate > 0) print_latencies();
    return 0;
}
