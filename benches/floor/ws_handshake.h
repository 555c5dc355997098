/* The server's half of the WebSocket handshake (RFC 6455 4.2.2): SHA-1, base64, and an answer of fixed length. */
#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { KEY_CHARS = 24, ACCEPT_CHARS = 28, SHA1_BLOCK = 64 };

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define BEFORE_ACCEPT \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

enum { BEFORE_ACCEPT_CHARS = sizeof BEFORE_ACCEPT - 1, SWITCHING_CHARS = BEFORE_ACCEPT_CHARS + ACCEPT_CHARS + 4 };

static inline uint32_t rotated(uint32_t word, int bits) {
    return word << bits | word >> (32 - bits);
}

/* Twenty rounds that share a constant and a way to mix b, c and d. */
#define ROUNDS(from, constant, mixed)                                    \
    for (int i = from; i < from + 20; i++) {                             \
        uint32_t next = rotated(a, 5) + (mixed) + constant + e + w[i];   \
        e = d, d = c, c = rotated(b, 30), b = a, a = next;               \
    }

static void sha1_block(uint32_t state[5], const char block[SHA1_BLOCK]) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    memcpy(w, block, SHA1_BLOCK);
    for (int i = 0; i < 16; i++) w[i] = ntohl(w[i]);
    for (int i = 16; i < 80; i++) w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    ROUNDS(0, 0x5a827999, d ^ (b & (c ^ d)))
    ROUNDS(20, 0x6ed9eba1, b ^ c ^ d)
    ROUNDS(40, 0x8f1bbcdc, (b & c) | (d & (b | c)))
    ROUNDS(60, 0xca62c1d6, b ^ c ^ d)
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* Key and GUID are 60 bytes, so the padding spills into a second block. */
static void sha1_of_key(const char key[KEY_CHARS], uint8_t digest[21]) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    char blocks[2 * SHA1_BLOCK] = {0};
    uint32_t bits = htonl(8 * (KEY_CHARS + sizeof GUID - 1));
    memcpy(blocks, key, KEY_CHARS);
    memcpy(blocks + KEY_CHARS, GUID, sizeof GUID - 1);
    blocks[KEY_CHARS + sizeof GUID - 1] = (char)0x80;
    memcpy(blocks + sizeof blocks - sizeof bits, &bits, sizeof bits);
    sha1_block(state, blocks);
    sha1_block(state, blocks + SHA1_BLOCK);
    for (int i = 0; i < 5; i++) state[i] = htonl(state[i]);
    memcpy(digest, state, sizeof state);
    digest[20] = 0; /* what base64 reads past the end */
}

static void write_accept(const char key[KEY_CHARS], char *accept) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t digest[21];
    sha1_of_key(key, digest);
    for (int i = 0; i < 21; i += 3) {
        uint32_t bits = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | digest[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) *accept++ = alphabet[bits >> shift & 63];
    }
    accept[-1] = '=';
}

/* The value of Sec-WebSocket-Key, which has KEY_CHARS bytes; NULL if there is none. `head` ends with its last line. */
static const char *find_key(const char *head, const char *end) {
    static const char name[] = "\nSec-WebSocket-Key:";
    enum { NAME_CHARS = sizeof name - 1 };
    for (const char *line = head; (line = memchr(line, '\n', (size_t)(end - line))); line++) {
        if (end - line < NAME_CHARS + KEY_CHARS) return NULL;
        if (strncasecmp(line, name, NAME_CHARS)) continue;
        const char *key = line + NAME_CHARS;
        while (key < end && *key == ' ') key++;
        return end - key < KEY_CHARS ? NULL : key;
    }
    return NULL;
}

/* The answer to a request with this key. It lives until the next call. */
static const char *switching_protocols(const char key[KEY_CHARS]) {
    static char answer[] = BEFORE_ACCEPT "............................\r\n\r\n";
    _Static_assert(sizeof answer - 1 == SWITCHING_CHARS, "the dots are as many as the characters of an accept key");
    write_accept(key, answer + BEFORE_ACCEPT_CHARS);
    return answer;
}
