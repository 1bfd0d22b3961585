/*
 * A guest that is its own disk driver, and a bad one: `hostiledisk DEVID KIND...` shares a ring page and a page of data
 * with dom0, writes the keys of device/vbd/DEVID, waits for the backend to connect, and then does what no honest driver
 * does, one deed after the other. Needs the modules xen-gntalloc and xen-evtchn, and no driver for disks. Knows the
 * public headers io/ring.h and io/blkif.h and nothing of any backend. Prints what came of it.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* xen/io/ring.h, xen/io/blkif.h: the layout of 64-bit guests */
enum { SLOTS = 32, SLOT_BYTES = 112, READ = 0, WRITE = 1, FLUSH = 3, INDIRECT = 6 };
struct ring {
    volatile uint32_t req_prod, req_event, rsp_prod, rsp_event;
    unsigned char pad[48];
    unsigned char slots[SLOTS][SLOT_BYTES];
};

/* linux/xen/gntalloc.h, linux/xen/evtchn.h */
struct alloc_gref {
    uint16_t domid, flags;
    uint32_t count;
    uint64_t index;
    uint32_t gref;
};
#define ALLOC_GREF _IOC(_IOC_NONE, 'G', 5, sizeof(struct alloc_gref))
#define BIND_UNBOUND _IOC(_IOC_NONE, 'E', 2, sizeof(uint32_t))
#define NOTIFY _IOC(_IOC_NONE, 'E', 4, sizeof(uint32_t))

static const char *devid;
static struct ring *ring;
static uint32_t ring_ref, data_ref, port, consumed, next_id;
static int evtchn;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void *share(uint32_t *ref) {
    static int gntalloc;
    if (gntalloc == 0) gntalloc = open("/dev/xen/gntalloc", O_RDWR);
    struct alloc_gref alloc = {.domid = 0, .flags = 1, .count = 1};
    if (ioctl(gntalloc, ALLOC_GREF, &alloc) != 0) fail("gntalloc");
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, gntalloc, (off_t)alloc.index);
    if (page == MAP_FAILED) fail("mmap of gntalloc");
    *ref = alloc.gref;
    return page;
}

static int shell(const char *format, ...) {
    char command[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    return system(command);
}

static void kick(void) {
    uint32_t to = port;
    if (ioctl(evtchn, NOTIFY, &to) != 0) fail("notify");
}

/* Puts a request that is well formed but for its op, grant and the grant of its list of segments. */
static void put(int op, uint32_t gref) {
    unsigned char *slot = ring->slots[ring->req_prod % SLOTS];
    uint64_t id = ++next_id;
    memset(slot, 0, SLOT_BYTES);
    slot[0] = (unsigned char)op;
    slot[1] = op == FLUSH || op == INDIRECT ? 0 : 1;
    if (op == INDIRECT) {
        uint16_t segments = 20;
        memcpy(slot + 2, &segments, 2);
        memcpy(slot + 28, &gref, 4);
    }
    memcpy(slot + 8, &id, 8);
    if (op == READ || op == WRITE) {
        memcpy(slot + 24, &gref, 4);
        slot[29] = 7;
    }
    __sync_synchronize();
    ring->req_prod++;
}

/* Waits for an answer, ten seconds: its status, 99 if there is none. */
static int answer(void) {
    ring->rsp_event = consumed + 1;
    for (int i = 0; i < 1000; i++) {
        __sync_synchronize();
        if (ring->rsp_prod != consumed) {
            int16_t status;
            memcpy(&status, ring->slots[consumed++ % SLOTS] + 10, 2);
            return status;
        }
        usleep(10000);
    }
    return 99;
}

static int ask(int op, uint32_t gref) {
    put(op, gref);
    kick();
    return answer();
}

/* Grants that are none, in each kind of request; then one that is good. */
static void grefs(void) {
    int read = ask(READ, 0xfffff0), write = ask(WRITE, 77777), indirect = ask(INDIRECT, 0xfffff0);
    printf("grefs: %d %d %d, then %d\n", read, write, indirect, ask(WRITE, data_ref));
}

/* Slots full of anything: as many answers as there were requests. */
static void garbage(void) {
    int answered = 0;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < SLOTS; i++) {
            unsigned char *slot = ring->slots[ring->req_prod % SLOTS];
            for (int byte = 0; byte < SLOT_BYTES; byte++) slot[byte] = (unsigned char)rand();
            slot[0] &= 7;
            __sync_synchronize();
            ring->req_prod++;
        }
        kick();
        for (int i = 0; i < SLOTS; i++)
            if (answer() != 99) answered++;
    }
    printf("garbage: %d answers, then %d\n", answered, ask(WRITE, data_ref));
}

/* Events without requests. */
static void storm(void) {
    for (int i = 0; i < 30000; i++) kick();
    printf("storm: %d\n", ask(FLUSH, 0));
}

/* An index that cannot be. */
static void jump(void) {
    ring->req_prod += 4000;
    kick();
    printf("jump: done\n");
}

/* States that make no sense, as fast as the store takes them. */
static void flap(void) {
    shell("for i in 1 2 3 4 5; do for state in 4 1 3 6 5 0 77 4 2 3; do "
          "xenstore-write device/vbd/%s/state $state; done; done",
          devid);
    printf("flap: done\n");
}

static const struct {
    const char *kind;
    void (*act)(void);
} deeds[] = {{"grefs", grefs}, {"garbage", garbage}, {"storm", storm}, {"jump", jump}, {"flap", flap}};

int main(int count, char **words) {
    if (count < 3) return 2;
    devid = words[1];
    ring = share(&ring_ref);
    memset(share(&data_ref), 'x', 4096);
    ring->req_event = ring->rsp_event = 1;
    evtchn = open("/dev/xen/evtchn", O_RDWR);
    uint32_t domid = 0;
    int bound = ioctl(evtchn, BIND_UNBOUND, &domid);
    if (bound < 0) fail("evtchn");
    port = (uint32_t)bound;
    shell("xenstore-write device/vbd/%s/ring-ref %u device/vbd/%s/event-channel %u device/vbd/%s/state 3", devid,
          ring_ref, devid, port, devid);
    shell("until [ \"$(xenstore-read $(xenstore-read device/vbd/%s/backend)/state)\" = 4 ]; do sleep 0.2; done", devid);
    for (int word = 2; word < count; word++) {
        for (unsigned i = 0; i < sizeof deeds / sizeof deeds[0]; i++)
            if (strcmp(words[word], deeds[i].kind) == 0) deeds[i].act();
        fflush(stdout);
    }
    /* Its memory stays shared for the rest of the guest's life. */
    for (;;) pause();
}
