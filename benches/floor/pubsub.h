/* Clients of redis-server and of nats-server: the first connection publishes, all others have subscribed.
 *
 * What a receiver is sent is known to the byte, as on any other wire, but for the questions of a NATS server (PING), which
 * come between messages and are answered. What the publisher is told is not looked at.
 */
#define PUBSUB_CHANNEL "load.fan"

static bool is_pubsub(void) {
    return on("redis") || on("nats");
}

/* What stands before a payload. Returns its length. */
static size_t pubsub_write_header(char *at, bool from_client) {
    const char *format = on("redis") ? from_client ? "*3\r\n$7\r\nPUBLISH\r\n$8\r\n" PUBSUB_CHANNEL "\r\n$%zu\r\n"
                                                   : "*3\r\n$7\r\nmessage\r\n$8\r\n" PUBSUB_CHANNEL "\r\n$%zu\r\n"
                         : from_client ? "PUB " PUBSUB_CHANNEL " %zu\r\n"
                                       : "MSG " PUBSUB_CHANNEL " 1 %zu\r\n";
    return (size_t)snprintf(at, MAX_HEADER_BYTES, format, options.payload);
}

/* Reads until the server's last word is this one. */
static void pubsub_await(int fd, const char *last) {
    char told[8192];
    size_t len = 0, wanted = strlen(last);
    do {
        ssize_t got = recv(fd, told + len, sizeof told - len, 0);
        if (got <= 0) fail("the server did not answer");
        len += (size_t)got;
    } while (len < wanted || memcmp(told + len - wanted, last, wanted));
}

static void pubsub_enter(int fd, size_t n) {
    static const char redis[] = "SUBSCRIBE " PUBSUB_CHANNEL "\r\n";
    static const char nats[] = "CONNECT {\"verbose\":false}\r\nSUB " PUBSUB_CHANNEL " 1\r\nPING\r\n";
    static const char nats_publisher[] = "CONNECT {\"verbose\":false}\r\nPING\r\n";
    const char *request = on("redis") ? n ? redis : "PING\r\n" : n ? nats : nats_publisher;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) fail("send: %s", strerror(errno));
    pubsub_await(fd, on("redis") ? n ? ":1\r\n" : "+PONG\r\n" : "PONG\r\n");
}

static void compare(struct connection *connection, const char *bytes, size_t len);

/* Takes a byte of PING, which is answered when it is whole. */
static void nats_take_ping(struct connection *connection, char byte) {
    static const char ping[] = "PING\r\n", pong[] = "PONG\r\n";
    if (byte != ping[connection->ping_bytes]) fail("a word that is not PING");
    if (++connection->ping_bytes < sizeof ping - 1) return;
    connection->ping_bytes = 0;
    if (send(connection->fd, pong, sizeof pong - 1, MSG_NOSIGNAL) < 0) fail("send: %s", strerror(errno));
}

/* How many messages are whole now. */
static size_t nats_take(struct connection *connection, const char *bytes, size_t len) {
    size_t whole = 0;
    while (len) {
        size_t part = 1;
        if (!connection->unfinished && (connection->ping_bytes || *bytes == 'P')) {
            nats_take_ping(connection, *bytes);
        } else {
            size_t missing = answers.frame_bytes - connection->unfinished;
            part = len < missing ? len : missing;
            compare(connection, bytes, part);
            connection->unfinished = (connection->unfinished + part) % answers.frame_bytes;
            whole += part == missing;
        }
        bytes += part;
        len -= part;
    }
    return whole;
}
