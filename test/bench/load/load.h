/*
 * What the parts of the load generator share: the wire format of xenstore (xen/include/public/io/xs_wire.h,
 * docs/misc/xenstore.txt), a small blocking client for set-up work, and the clock.
 *
 * The generator knows nothing of the daemon that it loads: it is given a socket and speaks the protocol. It is bounded
 * everywhere: in connections, in requests in flight, in time (alarm), and any surprise ends it with one line on stderr.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DIRECTORY = 1, READ = 2, GET_PERMS = 3, WATCH = 4, UNWATCH = 5, TRANSACTION_START = 6, TRANSACTION_END = 7,
       INTRODUCE = 8, GET_DOMAIN_PATH = 10, WRITE = 11, MKDIR = 12, RM = 13, SET_PERMS = 14, WATCH_EVENT = 15, ERROR = 16 };

enum { PAYLOAD_MAX = 4096, FRAME_MAX = 16 + PAYLOAD_MAX, VALUE_BYTES = 16, PATH_BYTES = 64,
       CONNECTIONS_MAX = 9999, IN_FLIGHT_MAX = 64 };

struct header {
    uint32_t type, req_id, tx_id, len;
};

struct options {
    const char *socket;
    const char *op;
    int connections;
    int in_flight;   /* requests in flight on each connection */
    int watches;     /* unrelated watches on each connection */
    int nodes;       /* size of the tree below /bench, a multiple of 100 */
    int domains;     /* create: how many to make; run: how many sit idle beside the load */
    int domids_known; /* domain ids exist in the daemon's eyes: introduce them and give them nodes */
    double seconds;
    double warmup;
    int cpu;         /* core to stay on, -1 for any */
    char **command;  /* "start": what to exec */
};

/* util.c */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
int64_t now_ns(void);
uint32_t random_below(uint32_t n);
int connect_to(const char *path);
pid_t peer_pid(int fd);
/* CPU time used so far, in nanoseconds: of this process, and of another (10 ms steps). */
int64_t own_cpu_ns(void);
int64_t cpu_ns_of(pid_t pid);
/* Resident memory in KiB. */
long rss_kb_of(pid_t pid);

/* The frame for one request: header and payload, returns its length. */
size_t frame(char *out, uint32_t type, uint32_t req_id, uint32_t tx_id, const void *payload, size_t len);

/* client.c: blocking, for everything outside the measured loop, and for what is sequential by nature. */
struct client {
    int fd;
    unsigned requests, events;
    size_t have, used;
    char in[16 * 1024];
    struct header reply;
    char body[PAYLOAD_MAX + 1];
};
struct client *client_open(const char *path);
void client_close(struct client *client);
/* One request, one reply; events that arrive meanwhile are counted. False: an ERROR reply, its name in body. */
bool ask(struct client *client, uint32_t type, uint32_t tx_id, const void *payload, size_t len);
/* The same with strings, each sent with its NUL; ends the program on an ERROR. */
void must(struct client *client, uint32_t type, uint32_t tx_id, ...) __attribute__((sentinel));
void must_write(struct client *client, uint32_t tx_id, const char *path, const char *value);
/* Sends without waiting, and waits for all that was sent: for filling the store quickly. */
void post(struct client *client, uint32_t type, const void *payload, size_t len);
void settle(struct client *client, unsigned replies);
/* Takes what has arrived without waiting. */
void drain(struct client *client);

/* The modes. Each prints one line of JSON. */
void populate(const struct options *options);
void run(const struct options *options);
void create(const struct options *options);
void start(const struct options *options);

/* tree.c: names of the nodes; all of one length, so that they cost nothing to make. A domain is a hundred nodes. */
enum { KEYS_PER_DEVICE = 10, DEVICES_PER_DOMAIN = 9, KEYS_PER_DOMAIN = 90 };
int key_count(int nodes);
size_t key_path(char *out, int key);
size_t device_path(char *out, int key);
size_t own_path(char *out, int connection, int slot, const char *leaf);

#endif
