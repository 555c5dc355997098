/* The hub's side of the load: clients that connect, one that publishes, others that hear of it.
 *
 * A publication's data is its number, from 1, and letters up to the payload; each receiver holds every push it gets
 * against the number that is next.
 */
#define HUB_CHANNEL "load:fan"

static const char hub_upgrade_request[] =
    "GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

enum {
    HUB_ENVELOPE_BYTES = 512, /* around a publication, at most */
};

/* What a receiver has of a push whose rest is on the way. */
static char *hub_carried;
static size_t hub_carry_bytes;
static uint64_t hub_published;

static void hub_send(int fd, const char *text, size_t len) {
    char *frame = malloc(len + MAX_HEADER_BYTES);
    size_t at = 0, extended = len > UINT16_MAX ? 8 : len > 125 ? 2 : 0;
    if (!frame) fail("malloc");
    frame[at++] = (char)0x81;
    frame[at++] = (char)(0x80 | (extended == 8 ? 127 : extended == 2 ? 126 : len));
    for (size_t i = 0; i < extended; i++) frame[at++] = (char)(len >> 8 * (extended - 1 - i));
    memcpy(frame + at, "tide", 4);
    at += 4;
    for (size_t i = 0; i < len; i++) frame[at + i] = text[i] ^ "tide"[i % 4];
    for (size_t sent = 0; sent < at + len;) {
        ssize_t part = send(fd, frame + sent, at + len - sent, MSG_NOSIGNAL);
        if (part < 0 && errno != EAGAIN) fail("send: %s", strerror(errno));
        if (part > 0) sent += (size_t)part;
    }
    free(frame);
}

/* Connects, and subscribes who is not the publisher. Nobody publishes yet, so nothing follows the answer. */
static void hub_enter(int fd, size_t n) {
    static const char connect[] = "{\"id\":1,\"connect\":{}}";
    static const char both[] = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"" HUB_CHANNEL "\"}}";
    char told[4096];
    size_t len = 0;
    if (n == 0) hub_send(fd, connect, sizeof connect - 1);
    else hub_send(fd, both, sizeof both - 1);
    do {
        ssize_t got = recv(fd, told + len, sizeof told - 1 - len, 0);
        if (got <= 0) fail("the hub did not answer");
        told[len += (size_t)got] = 0;
        for (size_t i = 0; i < len; i++) if (!told[i]) told[i] = ' ';
    } while (!strstr(told, n == 0 ? "\"connect\":{" : "\"subscribe\":{") || told[len - 1] != '}');
}

static void hub_open(void) {
    hub_carry_bytes = options.payload + HUB_ENVELOPE_BYTES;
    hub_carried = malloc(options.connections * hub_carry_bytes);
    if (!hub_carried) fail("malloc");
}

/* `depth` publications in one message. */
static void hub_publish(int fd) {
    size_t room = options.depth * hub_carry_bytes, len = 0;
    char *text = malloc(room);
    if (!text) fail("malloc");
    for (size_t n = 0; n < options.depth; n++) {
        hub_published++;
        len += (size_t)snprintf(text + len, room - len, "%s{\"id\":%u,\"publish\":{\"channel\":\"" HUB_CHANNEL "\",\"data\":\"",
                                n ? "\n" : "", (unsigned)hub_published + 1);
        int digits = snprintf(text + len, room - len, "%010llu", (unsigned long long)hub_published);
        memset(text + len + digits, 'x', options.payload - (size_t)digits);
        len += options.payload;
        len += (size_t)snprintf(text + len, room - len, "\"}}");
    }
    hub_send(fd, text, len);
    free(text);
}

static uint64_t hub_number(const char *at) {
    uint64_t number = 0;
    for (size_t i = 0; i < 10; i++) number = number * 10 + (uint64_t)(at[i] - '0');
    return number;
}

/* Counts the whole pushes of a receiver, and keeps the front of one that is not. */
static size_t hub_take(struct connection *connection, const char *bytes, size_t len) {
    static const char begins[] = "{\"push\":{\"channel\":\"" HUB_CHANNEL "\",\"pub\":{\"data\":\"";
    static char joined[RECV_BYTES + (1 << 20)];
    char *carried = hub_carried + (size_t)(connection - connections) * hub_carry_bytes;
    size_t count = 0;
    if (connection->unfinished) {
        memcpy(joined, carried, connection->unfinished);
        memcpy(joined + connection->unfinished, bytes, len);
        bytes = joined;
        len += connection->unfinished;
    }
    while (len >= 4) {
        const uint8_t *header = (const uint8_t *)bytes;
        size_t extended = header[1] == 126 ? 2 : 0, payload = extended ? (size_t)(header[2] << 8 | header[3]) : header[1];
        if (header[0] != 0x81 || header[1] > 126) fail("a frame that begins with %02x %02x", header[0], header[1]);
        if (len < 2 + extended + payload) break;
        const char *text = bytes + 2 + extended;
        for (size_t at = 0; at < payload; count++) {
            if (payload - at < sizeof begins + options.payload || memcmp(text + at, begins, sizeof begins - 1))
                fail("another message than a push: %.*s", (int)payload, text);
            if (hub_number(text + at + sizeof begins - 1) != ++connection->recv_at) fail("a publication out of its turn");
            const char *end = memchr(text + at, '\n', payload - at);
            at = end ? (size_t)(end - text) + 1 : payload;
        }
        bytes += 2 + extended + payload;
        len -= 2 + extended + payload;
    }
    if (len > hub_carry_bytes) fail("a push of more than %zu bytes", hub_carry_bytes);
    memcpy(carried, bytes, len);
    connection->unfinished = len;
    return count;
}
