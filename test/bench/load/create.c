/*
 * The store work of "xl create", domain after domain: what libxl, the hotplug scripts, the backends' kernel, xenconsoled
 * and the guest itself ask of xenstored while one domain with two disks, a network card and a keyboard comes up (after libxl
 * and Linux's xenbus; the paths are those of docs/misc/xenstore-paths.pandoc). Some 600 requests on 20 new connections, one at a time;
 * two connections and fifteen watches stay behind for each domain, so that the store is as full as on a real host.
 *
 * The first and the last few domains are measured. Those between are made before anybody watches and their connections and
 * watches added afterwards: what is left behind is the same, and a daemon that slows down with it does not take minutes to fill.
 */
#define _GNU_SOURCE
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRIPTS = 18, DEVICES = 4, CPUS = 4, MEASURED = 5 };

static const struct device {
    const char *kind;
    int id;
} devices[DEVICES] = { { "vbd", 51712 }, { "vbd", 51728 }, { "vif", 0 }, { "vkbd", 0 } };

/* Directories that the guest may only read, and those that it may write. */
static const char *const closed[] = { "cpu", "memory", "device", "control", "hvmloader" };
static const char *const open_to_guest[] = { "control/shutdown", "control/feature-poweroff", "control/feature-reboot",
    "control/feature-suspend", "control/feature-s3", "control/feature-s4", "control/sysrq", "data", "drivers", "feature",
    "attr", "error", "device/suspend/event-channel" };
static const char *const facts[] = { "name", "vm", "image/ostype", "image/kernel", "image/cmdline", "uuid", "start_time",
    "control/platform-feature-multiprocessor-suspend", "control/platform-feature-xs_reset_watches" };
static const char *const backend_keys[] = { "frontend", "frontend-id", "online", "state", "type", "params", "script", "mode",
    "bootable", "removable", "dev", "device-type" };
static const char *const frontend_keys[] = { "backend", "backend-id", "state", "handle", "protocol", "device-type" };
static const char *const negotiated[] = { "ring-ref", "event-channel", "feature-persistent", "feature-rx-notify" };
static const char *const offered[] = { "feature-flush-cache", "feature-sg", "sectors", "sector-size", "info" };

#define EACH(item, array) (size_t i_ = 0; i_ < sizeof(array) / sizeof(*array) && ((item) = (array)[i_], true); i_++)

/* The backends' kernel and the console daemon live as long as the host; xl stays to see its domain end, and the guest lives. */
enum who { KERNEL, CONSOLED, XL, GUEST, WHOS };

/* Watches that are set when the filling is done: see fill(). */
static struct later {
    int domid;
    enum who who;
    char path[PATH_BYTES * 2], token[32];
} *later;
static int later_count;
static bool filling;

/* A string for the request at hand: the eighth next call takes its place. */
static const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *text(const char *format, ...)
{
    static char buffers[8][PATH_BYTES * 4];
    static int turn;
    char *buffer = buffers[turn++ % 8];
    va_list args;

    va_start(args, format);
    vsnprintf(buffer, sizeof(buffers[0]), format, args);
    va_end(args);
    return buffer;
}

static const char *home(int domid) { return text("/local/domain/%d", domid); }

static const char *frontend(int domid, const struct device *device)
{
    return text("/local/domain/%d/device/%s/%d", domid, device->kind, device->id);
}

static const char *backend(int domid, const struct device *device)
{
    return text("/local/domain/0/backend/%s/%d/%d", device->kind, domid, device->id);
}

/* Permissions as libxl gives them. Where no such domain exists, the daemons refuse it as an owner: then it only reads. */
struct rights {
    const char *guest_owns[2], *guest_reads[2], *ours;
};

static uint32_t begin(struct client *client)
{
    must(client, TRANSACTION_START, 0, "", NULL);
    return strtoul(client->body, NULL, 10);
}

static void commit(struct client *client, uint32_t tx) { must(client, TRANSACTION_END, tx, "T", NULL); }

static void read_key(struct client *client, const char *directory, const char *key)
{
    must(client, READ, 0, text("%s/%s", directory, key), NULL);
}

static void make(struct client *client, uint32_t tx, const char *path, const char *const rights[2])
{
    must_write(client, tx, path, "");
    must(client, SET_PERMS, tx, path, rights[0], rights[1], NULL);
}

static void make_domain(struct client *xl, int domid, const struct rights *rights)
{
    const char *const ours[2] = { rights->ours, NULL }, *name;
    uint32_t tx = begin(xl);

    must(xl, RM, tx, home(domid), NULL);
    make(xl, tx, home(domid), rights->guest_reads);
    must(xl, RM, tx, text("/vm/%08d", domid), NULL);
    make(xl, tx, text("/vm/%08d", domid), rights->guest_reads);
    must(xl, RM, tx, text("/libxl/%d", domid), NULL);
    make(xl, tx, text("/libxl/%d", domid), ours);
    make(xl, tx, text("/libxl/%d/device", domid), ours);
    for EACH(name, closed)
        make(xl, tx, text("%s/%s", home(domid), name), rights->guest_reads);
    for EACH(name, open_to_guest)
        make(xl, tx, text("%s/%s", home(domid), name), rights->guest_owns);
    for EACH(name, facts)
        must_write(xl, tx, text("%s/%s", home(domid), name), "value of it");
    commit(xl, tx);

    tx = begin(xl);
    must_write(xl, tx, text("%s/memory/static-max", home(domid)), "524288");
    must_write(xl, tx, text("%s/memory/target", home(domid)), "524288");
    must_write(xl, tx, text("%s/memory/videoram", home(domid)), "0");
    must_write(xl, tx, text("%s/domid", home(domid)), text("%d", domid));
    must_write(xl, tx, text("%s/store/port", home(domid)), "1");
    must_write(xl, tx, text("%s/store/ring-ref", home(domid)), "1");
    for (int cpu = 0; cpu < CPUS; cpu++)
        must_write(xl, tx, text("%s/cpu/%d/availability", home(domid), cpu), "online");
    commit(xl, tx);
}

/* A watch that outlives the creation. */
static void leave_watch(struct client *const by[], enum who who, int domid, const char *path, const char *token)
{
    if (!filling) {
        must(by[who], WATCH, 0, path, token, NULL);
        return;
    }
    later = realloc(later, (later_count + 1) * sizeof(*later));
    if (!later)
        die("out of memory");

    struct later *watch = &later[later_count++];

    *watch = (struct later){ .domid = domid, .who = who };
    snprintf(watch->path, sizeof(watch->path), "%s", path);
    snprintf(watch->token, sizeof(watch->token), "%s", token);
}

static void add_device(struct client *const by[], int domid, const struct device *device, const struct rights *rights)
{
    const char *const ours[2] = { rights->ours, NULL }, *key;
    struct client *xl = by[XL], *kernel = by[KERNEL];
    uint32_t tx = begin(xl);

    if (ask(xl, READ, tx, frontend(domid, device), strlen(frontend(domid, device)) + 1))
        die("domain %d has its devices already", domid);
    make(xl, tx, frontend(domid, device), rights->guest_owns);
    make(xl, tx, backend(domid, device), rights->guest_reads);
    make(xl, tx, text("/libxl/%d/device/%s/%d", domid, device->kind, device->id), ours);
    for EACH(key, frontend_keys)
        must_write(xl, tx, text("%s/%s", frontend(domid, device), key), "1");
    for EACH(key, backend_keys) {
        must_write(xl, tx, text("%s/%s", backend(domid, device), key), "1");
        must_write(xl, tx, text("/libxl/%d/device/%s/%d/%s", domid, device->kind, device->id, key), "1");
    }
    commit(xl, tx);

    /* The kernel learns of it and looks; libxl waits for it. */
    drain(kernel);
    leave_watch(by, KERNEL, domid, text("%s/state", frontend(domid, device)), text("%d-%s-%d", domid, device->kind, device->id));
    for EACH(key, backend_keys)
        read_key(kernel, backend(domid, device), key);
    must_write(kernel, 0, text("%s/state", backend(domid, device)), "2");
    must(xl, WATCH, 0, text("%s/state", backend(domid, device)), "wait", NULL);
    read_key(xl, backend(domid, device), "state");
    must(xl, UNWATCH, 0, text("%s/state", backend(domid, device)), "wait", NULL);
}

/* A hotplug script, or one of the small programs that it runs. */
static unsigned run_script(const char *socket, int domid, int number)
{
    const struct device *device = &devices[number % DEVICES];
    struct client *script = client_open(socket);
    unsigned requests;

    for (int i = 0; i < 5; i++)
        read_key(script, backend(domid, device), backend_keys[i]);
    must_write(script, 0, text("%s/hotplug-status", backend(domid, device)), "connected");
    requests = script->requests;
    client_close(script);
    return requests;
}

static void connect_device(struct client *const by[], int domid, const struct device *device)
{
    struct client *guest = by[GUEST], *kernel = by[KERNEL];
    const char *key;
    uint32_t tx;

    for EACH(key, frontend_keys)
        read_key(guest, frontend(domid, device), key);
    leave_watch(by, GUEST, domid, text("%s/state", backend(domid, device)), text("%s-%d", device->kind, device->id));
    tx = begin(guest);
    for EACH(key, negotiated)
        must_write(guest, tx, text("%s/%s", frontend(domid, device), key), "8");
    must_write(guest, tx, text("%s/state", frontend(domid, device)), "3");
    commit(guest, tx);

    drain(kernel);
    for EACH(key, frontend_keys)
        read_key(kernel, frontend(domid, device), key);
    for EACH(key, negotiated)
        read_key(kernel, frontend(domid, device), key);
    tx = begin(kernel);
    for EACH(key, offered)
        must_write(kernel, tx, text("%s/%s", backend(domid, device), key), "1");
    commit(kernel, tx);
    must_write(kernel, 0, text("%s/state", backend(domid, device)), "4");

    drain(guest);
    for EACH(key, offered)
        read_key(guest, backend(domid, device), key);
    must_write(guest, 0, text("%s/state", frontend(domid, device)), "4");
    read_key(by[XL], backend(domid, device), "state");
    read_key(by[XL], backend(domid, device), "hotplug-status");
}

/* One domain from nothing to running. Returns how many requests that took. */
static unsigned create_domain(const struct options *options, struct client *by[], int domid)
{
    char id[16], owner[16], reader[16];
    const struct rights rights = { { owner, NULL }, { "n0", reader }, "n0" };
    unsigned before = by[KERNEL]->requests + by[CONSOLED]->requests, requests = 0;
    const char *key;

    snprintf(id, sizeof(id), "%d", domid);
    snprintf(owner, sizeof(owner), "n%d", options->domids_known ? domid : 0);
    snprintf(reader, sizeof(reader), "r%d", domid);
    by[XL] = client_open(options->socket);
    by[GUEST] = client_open(options->socket);

    must(by[XL], GET_DOMAIN_PATH, 0, id, NULL);
    make_domain(by[XL], domid, &rights);
    if (options->domids_known)
        must(by[XL], INTRODUCE, 0, id, "1", "1", NULL);
    leave_watch(by, CONSOLED, domid, text("%s/console", home(domid)), id);
    leave_watch(by, CONSOLED, domid, text("%s/serial/0", home(domid)), id);
    for (int i = 0; i < DEVICES; i++)
        add_device(by, domid, &devices[i], &rights);
    leave_watch(by, XL, domid, "@releaseDomain", id);
    leave_watch(by, XL, domid, text("%s/control/shutdown", home(domid)), id);
    leave_watch(by, XL, domid, text("%s/eject", backend(domid, &devices[0])), id);
    for (int i = 0; i < SCRIPTS; i++)
        requests += run_script(options->socket, domid, i);
    for EACH(key, facts)
        read_key(by[GUEST], home(domid), key);
    leave_watch(by, GUEST, domid, text("%s/control/shutdown", home(domid)), "shutdown");
    leave_watch(by, GUEST, domid, text("%s/memory/target", home(domid)), "balloon");
    must(by[GUEST], DIRECTORY, 0, text("%s/device", home(domid)), NULL);
    for (int i = 0; i < DEVICES; i++)
        connect_device(by, domid, &devices[i]);
    for (enum who who = 0; who < WHOS; who++) {
        drain(by[who]);
        requests += by[who]->requests;
    }
    return requests - before;
}

/* Domains as they are once created: everything but the time. */
static void fill(const struct options *options, struct client *by[], int from, int to)
{
    filling = true;
    for (int domid = from; domid <= to; domid++) {
        create_domain(options, by, domid);
        client_close(by[XL]);
        client_close(by[GUEST]);
    }
    filling = false;
    for (int i = 0, domid = 0; i < later_count; i++) {
        if (later[i].domid != domid) {
            domid = later[i].domid;
            by[XL] = client_open(options->socket);
            by[GUEST] = client_open(options->socket);
        }
        leave_watch(by, later[i].who, domid, later[i].path, later[i].token);
        drain(by[later[i].who]);
    }
}

static unsigned measure(const struct options *options, struct client *by[], const char *name, int from, int to)
{
    unsigned requests = 0;

    printf("\"%s\":[", name);
    for (int domid = from; domid <= to; domid++) {
        int64_t began = now_ns();

        requests = create_domain(options, by, domid);
        printf("%s%.3f", domid > from ? "," : "", (now_ns() - began) / 1e6);
    }
    printf("],");
    return requests;
}

void create(const struct options *options)
{
    struct client *by[WHOS] = { client_open(options->socket), client_open(options->socket) };
    int last = options->domains - MEASURED;

    if (last < MEASURED)
        die("too few domains for a first and a last");
    /* What a host's start-up has written. */
    must_write(by[KERNEL], 0, "/local/domain/0/name", "Domain-0");
    must_write(by[KERNEL], 0, "/local/domain/0/backend", "");
    must_write(by[KERNEL], 0, "/libxl/0", "");
    must_write(by[KERNEL], 0, "/vm", "");

    printf("{");
    measure(options, by, "firstMs", 1, MEASURED);
    fill(options, by, MEASURED + 1, last);
    printf("\"requests\":%u,", measure(options, by, "lastMs", last + 1, options->domains));
    printf("\"rssKb\":%ld}\n", rss_kb_of(peer_pid(by[KERNEL]->fd)));
}
