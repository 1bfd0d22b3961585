/*
 * The measured loop: a fixed number of connections, each with a fixed number of requests in flight, closed loop. One
 * thread, one epoll set, one receive and one send for each wake-up of a connection, and nothing allocated on the way, so that the
 * daemon is the limit and not we; our own share of CPU time is reported so that a reader can tell.
 */
#define _GNU_SOURCE
#include "load.h"
#include "histogram.h"
#include "slot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STALL_MS = 10000, EVENTS = 256, WATCHES_PER_DOMAIN = 15 };

struct connection {
    int fd;
    size_t have;    /* bytes of an unfinished reply, kept between wake-ups */
    char *kept;
    struct slot *slots;
};

static struct {
    const struct options *options;
    enum kind kind;
    int keys, epoll;
    bool measuring;
    struct connection *connections;
    struct histogram latency;
    uint64_t operations, requests, conflicts, events;
} loop;

static void watch_fd(struct connection *connection)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

    if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void open_connection(struct connection *connection)
{
    connection->fd = connect_to(loop.options->socket);
    if (connection->fd < 0)
        die("connect: %s", strerror(errno));
    connection->have = 0;
    watch_fd(connection);
}

/* A few dozen small requests always fit into an empty socket buffer: less than that taken is a daemon that does not read. */
static void send_out(struct connection *connection, const char *out, size_t len)
{
    if (len > 0 && send(connection->fd, out, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
        die("send: %s", strerror(errno));
}

static void start_slots(struct connection *connection, int64_t now)
{
    char out[IN_FLIGHT_MAX * 256];
    size_t len = 0;

    for (int i = 0; i < loop.options->in_flight; i++) {
        slot_begin(&connection->slots[i], loop.kind, now);
        len += slot_ask(&connection->slots[i], loop.keys, out + len);
    }
    send_out(connection, out, len);
}

static void completed(struct slot *slot, int64_t now)
{
    if (loop.measuring) {
        loop.operations++;
        histogram_add(&loop.latency, now - slot->began);
    }
}

/* Takes what has arrived on a connection and sends what follows from it. */
static void serve(struct connection *connection)
{
    static char in[128 * 1024], out[IN_FLIGHT_MAX * 256];
    size_t len = 0, at = 0;
    struct header reply;

    memcpy(in, connection->kept, connection->have);

    ssize_t n = recv(connection->fd, in + connection->have, sizeof(in) - connection->have, MSG_DONTWAIT);

    if (n <= 0)
        die("recv: %s", n ? strerror(errno) : "the daemon closed a connection");

    size_t have = connection->have + n;
    int64_t now = now_ns();

    while (have - at >= sizeof(reply)) {
        memcpy(&reply, in + at, sizeof(reply));
        if (reply.len > PAYLOAD_MAX)
            die("reply of %u bytes", reply.len);
        if (have - at < sizeof(reply) + reply.len)
            break;

        const char *body = in + at + sizeof(reply);

        at += sizeof(reply) + reply.len;
        if (reply.type == WATCH_EVENT) {
            loop.events++;
            continue;
        }
        if (reply.req_id >= (uint32_t)loop.options->in_flight)
            die("reply to request %u, which was never sent", reply.req_id);

        struct slot *slot = &connection->slots[reply.req_id];

        loop.requests += loop.measuring;
        if (slot_answer(slot, &reply, body, &loop.conflicts)) {
            completed(slot, now);
            if (loop.kind == OP_CONNECT) {
                close(connection->fd);
                now = now_ns();
                open_connection(connection);
                start_slots(connection, now);
                return;
            }
            slot_begin(slot, loop.kind, now);
        }
        len += slot_ask(slot, loop.keys, out + len);
    }
    connection->have = have - at;
    memcpy(connection->kept, in + at, connection->have);
    send_out(connection, out, len);
}

static void turn(void)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(loop.epoll, events, EVENTS, STALL_MS);

    if (n == 0)
        die("no reply for %d s", STALL_MS / 1000);
    for (int i = 0; i < n; i++)
        serve(events[i].data.ptr);
}

static int64_t run_until(int64_t end)
{
    int64_t now;

    while ((now = now_ns()) < end)
        turn();
    return now;
}

/* Watches on paths that nothing touches, set as a client would, and their first events taken. */
static void set_watches(struct connection *connection, int index)
{
    struct client client = { .fd = connection->fd };
    char payload[PATH_BYTES * 2];

    for (int i = 0; i < loop.options->watches; i++) {
        int len = snprintf(payload, sizeof(payload), "/unrelated/c%04d/w%03d%cunrelated", index, i, 0) + 1;

        if (!ask(&client, WATCH, 0, payload, len))
            die("watch refused: %s", client.body);
    }
    while ((int)client.events < loop.options->watches) {
        if (!ask(&client, READ, 0, "/", 2))
            die("read of /: %s", client.body);
    }
}

/* Idle domains: each a connection that stays and watches what a toolstack, backends and a guest watch in its tree. */
static void seat_domains(void)
{
    char payload[PATH_BYTES * 2], path[PATH_BYTES];

    for (int domain = 0; domain < loop.options->domains; domain++) {
        struct client *client = client_open(loop.options->socket);

        for (int i = 0; i < WATCHES_PER_DOMAIN; i++) {
            device_path(path, domain * KEYS_PER_DOMAIN + i % DEVICES_PER_DOMAIN * KEYS_PER_DEVICE);

            int len = snprintf(payload, sizeof(payload), "%s/%s%cidle", path, i < DEVICES_PER_DOMAIN ? "state" : "hotplug", 0) + 1;

            if (!ask(client, WATCH, 0, payload, len))
                die("watch refused: %s", client->body);
        }
    }
}

/* The nodes that only one slot touches: made before, gone after. */
static void make_own_nodes(struct client *client, bool wanted)
{
    char payload[PATH_BYTES + 1];

    for (int c = 0; wanted && c < loop.options->connections; c++) {
        for (int s = 0; s < loop.options->in_flight; s++) {
            post(client, WRITE, payload, own_path(payload, c, s, "a"));
            post(client, WRITE, payload, own_path(payload, c, s, "b"));
        }
        settle(client, 2 * loop.options->in_flight);
    }
}

void run(const struct options *options)
{
    loop.options = options;
    loop.kind = kind_named(options->op);
    loop.keys = key_count(options->nodes);
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop.connections = calloc(options->connections, sizeof(*loop.connections));
    if (loop.kind == OP_UNKNOWN || loop.keys == 0)
        die("which load? --op and --nodes");
    if (options->domains > options->nodes / 100)
        die("%d nodes are no %d domains", options->nodes, options->domains);

    struct client *client = client_open(options->socket);
    pid_t pid = peer_pid(client->fd);
    bool owning = loop.kind == OP_TRANSACTION || loop.kind == OP_MIXED || loop.kind == OP_CREATE;

    seat_domains();
    make_own_nodes(client, owning);
    for (int i = 0; i < options->connections; i++) {
        struct connection *connection = &loop.connections[i];

        connection->kept = malloc(FRAME_MAX);
        connection->slots = calloc(options->in_flight, sizeof(struct slot));
        for (int s = 0; s < options->in_flight; s++)
            connection->slots[s] = (struct slot){ .connection = i, .index = s };
        open_connection(connection);
        set_watches(connection, i);
    }
    for (int i = 0; i < options->connections; i++)
        start_slots(&loop.connections[i], now_ns());

    run_until(now_ns() + options->warmup * 1e9);
    loop.measuring = true;

    int64_t own = own_cpu_ns(), theirs = cpu_ns_of(pid), began = now_ns();
    int64_t took = run_until(began + options->seconds * 1e9) - began;

    own = own_cpu_ns() - own;
    theirs = cpu_ns_of(pid) - theirs;
    printf("{\"perSecond\":%.1f,\"requestsPerSecond\":%.1f,\"p50Us\":%.1f,\"p99Us\":%.1f,\"conflicts\":%lu,"
           "\"events\":%lu,\"generatorCpu\":%.3f,\"serverCpu\":%.3f,\"rssKb\":%ld}\n",
           loop.operations * 1e9 / took, loop.requests * 1e9 / took, histogram_at(&loop.latency, 0.5) / 1000,
           histogram_at(&loop.latency, 0.99) / 1000, loop.conflicts, loop.events, (double)own / took,
           (double)theirs / took, rss_kb_of(pid));
    fflush(stdout);

    /* Leave the daemon as it was found, and idle: what our going costs it must not fall into the next measurement. */
    for (int i = 0; i < options->connections; i++)
        close(loop.connections[i].fd);
    if (owning)
        must(client, RM, 0, "/bench-own", NULL);
    for (int i = 0; i < 3; i++) {
        client_close(client);
        client = client_open(options->socket);
        must(client, READ, 0, "/", NULL);
    }
    client_close(client);
}
