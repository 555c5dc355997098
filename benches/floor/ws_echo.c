/* The floor of WebSocket: the cheapest honest echo server that one thread and epoll allow.
 *
 *     ws_echo PORT [--broadcast]          listens on 127.0.0.1:PORT
 *
 * Finds the end of the request's head and its key, and answers 101; nothing else of the request is looked at. Then each
 * frame is echoed as it came, text, binary or a fragment, but only when it is whole; pings get their pongs, and a close
 * its answer and the end. Text is not checked to be UTF-8. A readable event costs one recv and one send: see server.h.
 *
 * Frames are unmasked where recv put them. An answer has no mask, so the first moves not at all and each further one
 * left by four bytes for every frame before it, in the pass that unmasks it: all of them lie side by side for one send.
 * Only of a frame that one read did not bring whole is a copy made: its answer, in memory of its own.
 *
 * With --broadcast what would be echoed goes to all others instead: what one read brought, by one send to each.
 */
#include "server.h"

#include "ws_handshake.h"
#include <sys/uio.h>

enum {
    MAX_HEAD_BYTES = 8 << 10, /* of the request */
    MAX_CONTROL_BYTES = 125,
    MASK_BYTES = 4,
    MASKED = 0x80,
    OPCODE = 0x0f,
    CLOSE = 8,
    PING = 9,
    PONG = 10,
};

/* What the next byte belongs to. */
enum phase {
    HEAD,    /* `tail` holds the request so far, if there is any of it */
    HEADER,  /* `tail` holds a header so far, or a short frame, or there is none */
    PAYLOAD, /* `tail` is the answer to the frame under way, filled up to `done` */
    CLOSED,  /* the close is answered, nothing more is read */
};

struct ws_connection {
    struct connection connection;
    uint8_t key[MASK_BYTES]; /* of the frame under way, turned so that it begins with the next byte's */
    enum phase phase;
};

struct header {
    size_t extended; /* bytes of the length beyond the first two: 0, 2 or 8 */
    size_t bytes;    /* of the header itself */
    size_t payload;  /* bytes that follow it */
    uint8_t opcode;
    uint8_t key[MASK_BYTES];
};

/* What leaves by one call: the frame that is finished at last, and the whole ones after it. */
struct answers {
    struct iovec parts[2];
    int count;
};

/* A short tail is copied in front of what recv brings, so that heads, headers and short frames are contiguous. */
static char buffer[MAX_HEAD_BYTES + RECV_BYTES];

/* `to` may lie where `from` does, or before it: words are read before they are written. */
static void unmask(char *to, const char *from, size_t len, const uint8_t key[MASK_BYTES]) {
    uint64_t mask, words[4];
    memcpy(&mask, key, MASK_BYTES);
    memcpy((char *)&mask + MASK_BYTES, key, MASK_BYTES);
    for (; len >= sizeof words; len -= sizeof words, from += sizeof words, to += sizeof words) {
        memcpy(words, from, sizeof words);
        for (int i = 0; i < 4; i++) words[i] ^= mask;
        memcpy(to, words, sizeof words);
    }
    for (; len >= sizeof mask; len -= sizeof mask, from += sizeof mask, to += sizeof mask) {
        memcpy(words, from, sizeof mask);
        words[0] ^= mask;
        memcpy(to, words, sizeof mask);
    }
    for (size_t i = 0; i < len; i++) to[i] = (char)(from[i] ^ key[i % MASK_BYTES]);
}

static bool broadcast;

static void turn_key(uint8_t key[MASK_BYTES], size_t done) {
    uint8_t twice[2 * MASK_BYTES];
    memcpy(twice, key, MASK_BYTES);
    memcpy(twice + MASK_BYTES, key, MASK_BYTES);
    memcpy(key, twice + done % MASK_BYTES, MASK_BYTES);
}

/* 1 if the header is whole, 0 if more of it has to come, -1 if no client may send it, or it announces too much. */
static int read_header(struct header *header, const char *from, const char *end) {
    const uint8_t *bytes = (const uint8_t *)from;
    size_t have = (size_t)(end - from);
    if (have < 2) return 0;
    size_t payload = bytes[1] & 127;
    header->opcode = bytes[0] & OPCODE;
    header->extended = payload == 126 ? 2 : payload == 127 ? 8 : 0;
    header->bytes = 2 + header->extended + MASK_BYTES;
    if (!(bytes[1] & MASKED) || (header->opcode >= CLOSE && payload > MAX_CONTROL_BYTES)) return -1;
    if (have < header->bytes) return 0;
    if (header->extended) payload = 0;
    for (size_t i = 0; i < header->extended; i++) payload = payload << 8 | bytes[2 + i];
    header->payload = payload;
    memcpy(header->key, bytes + 2 + header->extended, MASK_BYTES);
    return payload > MAX_MESSAGE_BYTES ? -1 : 1;
}

/* The header of the answer: the same without its mask, and a pong for a ping. They may overlap. Returns its end. */
static char *write_header(char *to, const char *from, const struct header *header) {
    char first = header->opcode == PING ? (char)(from[0] ^ PING ^ PONG) : from[0], second = from[1] & 127;
    if (header->extended) memmove(to + 2, from + 2, header->extended);
    to[0] = first;
    to[1] = second;
    return to + 2 + header->extended;
}

static void add(struct answers *answers, const char *bytes, size_t len) {
    answers->parts[answers->count++] = (struct iovec){(char *)bytes, len};
}

/* Answers the request once its head is whole. Returns where the frames begin, NULL if it is no upgrade. */
static char *upgrade(struct ws_connection *ws, char *from, char *end) {
    char *blank = memmem(from, (size_t)(end - from), "\r\n\r\n", 4);
    if (!blank) return end - from < MAX_HEAD_BYTES ? from : NULL;
    const char *key = find_key(from, blank);
    if (!key) return NULL;
    ws->phase = HEADER;
    return send_or_keep(&ws->connection, switching_protocols(key), SWITCHING_CHARS) ? blank + 4 : NULL;
}

/* Goes on with the frame under way, which is answered if this was the rest of it. */
static char *continue_frame(struct ws_connection *ws, char *from, char *end, struct answers *answers) {
    struct kept *answer = ws->connection.tail;
    size_t missing = answer->len - answer->done, have = (size_t)(end - from);
    size_t part = have < missing ? have : missing;
    unmask(answer->bytes + answer->done, from, part, ws->key);
    turn_key(ws->key, part);
    answer->done += part;
    if (part < missing) return end;
    add(answers, answer->bytes, answer->len);
    ws->phase = HEADER;
    return from + part;
}

/* Makes the answer to a frame of which only the front is there. */
static void begin_frame(struct ws_connection *ws, char *from, char *end, const struct header *header) {
    struct kept *answer = allocate(header->bytes - MASK_BYTES + header->payload);
    answer->done = (size_t)(write_header(answer->bytes, from, header) - answer->bytes);
    memcpy(ws->key, header->key, MASK_BYTES);
    ws->connection.tail = answer;
    ws->phase = PAYLOAD;
    struct answers none = {0};
    continue_frame(ws, from + header->bytes, end, &none);
}

/* Answers what is not for others by a call of its own. False if the connection is lost. */
static bool answer_control(struct ws_connection *ws, char *from, const struct header *header) {
    if (header->opcode == PONG) return true;
    char *answer = from + MASK_BYTES, *to = write_header(answer, from, header);
    unmask(to, from + header->bytes, header->payload, header->key);
    return send_or_keep(&ws->connection, answer, (size_t)(to - answer) + header->payload);
}

/* Answers the frames that are whole, in place. Returns where the one begins that is not; NULL for a broken stream. */
static char *answer_frames(struct ws_connection *ws, char *from, char *end, struct answers *answers) {
    struct header header;
    char *first = from + MASK_BYTES, *to = first;
    int known;
    while ((known = read_header(&header, from, end)) > 0) {
        if (header.payload > (size_t)(end - from) - header.bytes) break;
        if (broadcast && header.opcode >= CLOSE) {
            if (!answer_control(ws, from, &header)) return NULL;
        } else if (header.opcode != PONG) {
            to = write_header(to, from, &header);
            unmask(to, from + header.bytes, header.payload, header.key);
            to += header.payload;
        }
        from += header.bytes + header.payload;
        if (header.opcode == CLOSE) ws->phase = CLOSED;
        if (header.opcode == CLOSE) break;
    }
    if (to > first) add(answers, first, (size_t)(to - first));
    return known < 0 ? NULL : from;
}

/* What is left begins with a frame that is not whole. Its answer is begun, unless it is as short as a ping may be. */
static void keep_rest(struct ws_connection *ws, char *from, char *end) {
    struct header header;
    if (from == end || ws->phase == CLOSED) return;
    bool long_frame = ws->phase == HEADER && read_header(&header, from, end) > 0 && header.payload > MAX_CONTROL_BYTES;
    if (long_frame) begin_frame(ws, from, end, &header);
    else ws->connection.tail = keep(from, (size_t)(end - from));
}

/* One call; what the socket refuses is kept. False if the connection is lost. */
static bool send_answers(struct connection *connection, struct answers *answers) {
    struct iovec *parts = answers->parts;
    if (answers->count == 1) return send_or_keep(connection, parts[0].iov_base, parts[0].iov_len);
    ssize_t sent = 0;
    if (!connection->unsent)
        sent = sendmsg(connection->fd, &(struct msghdr){.msg_iov = parts, .msg_iovlen = 2}, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
    for (size_t i = 0, done = sent < 0 ? 0 : (size_t)sent; i < 2; i++) {
        size_t part = done < parts[i].iov_len ? done : parts[i].iov_len;
        if (part < parts[i].iov_len) keep_unsent(connection, (char *)parts[i].iov_base + part, parts[i].iov_len - part);
        done -= part;
    }
    return true;
}

/* The loss of a receiver is noticed by its own event. */
static void send_to_others(const struct connection *sender, struct answers *answers) {
    for (int fd = 0; fd <= highest_descriptor; fd++) {
        struct ws_connection *other = (struct ws_connection *)connections[fd];
        if (other && &other->connection != sender && (other->phase == HEADER || other->phase == PAYLOAD))
            send_answers(&other->connection, answers);
    }
}

/* False if the connection is lost. */
static bool hand_out(struct connection *connection, struct answers *answers) {
    if (!answers->count) return true;
    if (!broadcast) return send_answers(connection, answers);
    send_to_others(connection, answers);
    return true;
}

/* Takes what was read. False if the connection is over. */
static bool handle_bytes(struct ws_connection *ws, char *from, char *end) {
    struct connection *connection = &ws->connection;
    struct answers answers = {0};
    struct kept *finished = NULL;
    if (ws->phase == HEAD) from = upgrade(ws, from, end);
    if (ws->phase == PAYLOAD) {
        from = continue_frame(ws, from, end, &answers);
        if (ws->phase == PAYLOAD) return true;
        finished = connection->tail;
        connection->tail = NULL;
    }
    if (from && ws->phase == HEADER) from = answer_frames(ws, from, end, &answers);
    if (from) keep_rest(ws, from, end);
    bool lives = from && hand_out(connection, &answers) && (ws->phase != CLOSED || connection->unsent);
    free(finished);
    return lives;
}

static ssize_t echo_once(struct connection *connection) {
    struct ws_connection *ws = (struct ws_connection *)connection;
    if (ws->phase == CLOSED) return -1;
    size_t had = connection->tail && ws->phase != PAYLOAD ? connection->tail->len : 0;
    ssize_t got = receive(connection->fd, buffer + had);
    if (got <= 0) return got;
    if (had) {
        memcpy(buffer, connection->tail->bytes, had);
        forget(&connection->tail);
    }
    return handle_bytes(ws, buffer, buffer + had + got) ? got : -1;
}

int main(int argc, char **argv) {
    broadcast = argc == 3 && !strcmp(argv[2], "--broadcast");
    if (argc != 2 && !broadcast) {
        fprintf(stderr, "usage: ws_echo PORT [--broadcast]\n");
        return 2;
    }
    run(&(struct server){sizeof(struct ws_connection), echo_once}, "ws", (uint16_t)atoi(argv[1]));
}
