/* The load at a rate: message n is due n / rate seconds after the start, on connection n modulo their number.
 *
 * A message's latency is counted from when it was due, not from when it left. What the load itself was late by is told
 * beside it: where that is not small, the latencies are the load's and not the server's.
 *
 * The load does not sleep between messages: it is on time, and a server that answers does not pay for waking it, as it
 * would not for a peer on another machine.
 */
static struct {
    double began, interval;
    uint64_t next, end; /* numbers of messages */
    float *latencies, *lateness; /* microseconds, by order of arrival and of departure */
} schedule;

static double due_time(uint64_t n) {
    return schedule.began + (double)n * schedule.interval;
}

static bool schedule_has_more(void) {
    return schedule.next < schedule.end;
}

static void begin_schedule(double seconds) {
    schedule.interval = 1 / options.rate;
    schedule.next = 0;
    schedule.end = (uint64_t)(seconds * options.rate);
    schedule.latencies = realloc(schedule.latencies, (schedule.end + 1) * sizeof *schedule.latencies);
    schedule.lateness = realloc(schedule.lateness, (schedule.end + 1) * sizeof *schedule.lateness);
    if (!schedule.latencies || !schedule.lateness) fail("out of memory");
    for (size_t n = 0; n < options.connections; n++) connections[n].answered = 0;
    schedule.began = now();
}

static void send_due(void) {
    double time = now();
    size_t most = requests.len / requests.frame_bytes;
    for (; schedule_has_more() && due_time(schedule.next) <= time; schedule.next++) {
        struct connection *connection = &connections[schedule.next % options.connections];
        if (connection->in_flight == most)
            fail("the server is behind by %zu messages on a connection: the rate is too high for it", most);
        connection->in_flight++;
        under_way++;
        connection->unsent += requests.frame_bytes;
        send_unsent(connection);
        schedule.lateness[schedule.next] = (float)((time - due_time(schedule.next)) * 1e6);
    }
}

static double schedule_end(void) {
    return due_time(schedule.end);
}

/* The next `count` messages of this connection have come back. */
static void record_latency(struct connection *connection, size_t count) {
    double time = now();
    for (size_t i = 0; i < count; i++) {
        uint64_t n = connection->answered++ * options.connections + (uint64_t)(connection - connections);
        schedule.latencies[came_back - count + i] = (float)((time - due_time(n)) * 1e6);
    }
}

static int by_size(const void *a, const void *b) {
    float first = *(const float *)a, second = *(const float *)b;
    return (first > second) - (first < second);
}

/* The least value that a share of all does not exceed. */
static double percentile(const float *sorted, uint64_t count, double share) {
    uint64_t rank = (uint64_t)(share * (double)count);
    return sorted[rank < count ? rank : count - 1];
}

static void print_latencies(void) {
    float *latencies = schedule.latencies, *lateness = schedule.lateness;
    if (!came_back) fail("the rate is too low for the time");
    qsort(latencies, came_back, sizeof *latencies, by_size);
    qsort(lateness, came_back, sizeof *lateness, by_size);
    printf("latency us: p50 %.1f p99 %.1f p99.9 %.1f max %.1f; the load itself was late by p50 %.1f p99 %.1f\n",
           percentile(latencies, came_back, 0.5), percentile(latencies, came_back, 0.99),
           percentile(latencies, came_back, 0.999), percentile(latencies, came_back, 1),
           percentile(lateness, came_back, 0.5), percentile(lateness, came_back, 0.99));
}
