/*
 * A little host for somebody else's xenstored.
 *
 * Loaded with LD_PRELOAD, this library answers for libxenevtchn, libxengnttab, libxenctrl and libxenmanage,
 * and for /proc/xen, from files in one directory (STUBDOM0_PEER), so that Debian's C xenstored and its
 * oxenstored run on any Linux machine, and a test can be every domain that they serve:
 *
 *   domains     one line a domain: "<domid> <state bits> <capability bits> <unique id> <changes>" (bits as in
 *               xenmanage.h; no state: the domain has gone; changes: how often its state changed)
 *   page.<n>    domain n's xenstore ring page (its grant 1, and any frame number)
 *   port        dom0's event channel, as /proc/xen/xsd_port shows it
 *   events      fifo, test to daemon: records of two u32, domain and its port; domain VIRQ: the VIRQ's number
 *   signals     fifo, daemon to test: records of one u32, the domain whose port was notified
 *
 * It knows nothing of the xenstore protocol. The interfaces are those of Xen's public library headers; the
 * paths are rewritten because oxenstored has its directories compiled in.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE 4096
#define VIRQ 0xffffffffu
#define FIRST_BAD_PORT 1024 /* a domain has ports 1 to 1023; binding to any other fails */
#define PORTS 40000

#define STATE_SHUTDOWN 2
#define STATE_DYING 4

/* ---- the directory -------------------------------------------------------------------------------------- */

static const char *host(void)
{
    const char *dir = getenv("STUBDOM0_PEER");

    return dir ? dir : "/nonexistent";
}

static char *in_host(char *buf, size_t size, const char *name)
{
    snprintf(buf, size, "%s/%s", host(), name);
    return buf;
}

struct domain {
    unsigned int domid, state, caps;
    uint64_t unique_id, changes;
};

/* The lowest line >= first; the file is replaced by rename, so one reading of it is always whole. */
static bool find_line(unsigned int first, struct domain *found)
{
    char path[PATH_MAX];
    struct domain d;
    bool any = false;
    FILE *f = fopen(in_host(path, sizeof(path), "domains"), "re");

    if (!f)
        return false;
    while (fscanf(f, "%u %u %u %lu %lu", &d.domid, &d.state, &d.caps, &d.unique_id, &d.changes) == 5)
        if (d.domid >= first && (!any || d.domid < found->domid)) {
            *found = d;
            any = true;
        }
    fclose(f);
    return any;
}

/* The lowest existing domain >= first. */
static bool find_domain(unsigned int first, struct domain *found)
{
    while (find_line(first, found)) {
        if (found->state)
            return true;
        first = found->domid + 1;
    }
    return false;
}

static void *map_page(unsigned int domid)
{
    char name[32], path[PATH_MAX];
    struct domain d;
    void *page;
    int fd;

    snprintf(name, sizeof(name), "page.%u", domid);
    if (!find_domain(domid, &d) || d.domid != domid)
        return errno = EINVAL, NULL;
    fd = open(in_host(path, sizeof(path), name), O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno = EINVAL, NULL;
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

/* ---- libxenevtchn --------------------------------------------------------------------------------------- */

struct xenevtchn_handle {
    int fd;
};

static struct {
    bool used;
    uint32_t domid, remote;
    uint64_t unique_id;
} ports[PORTS];
static int signals = -1;

static xenevtchn_handle *handle_of(int fd)
{
    char path[PATH_MAX];
    xenevtchn_handle *xce = calloc(1, sizeof(*xce));

    if (signals < 0)
        signals = open(in_host(path, sizeof(path), "signals"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    xce->fd = fd;
    return xce;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    char path[PATH_MAX];
    int fd = open(in_host(path, sizeof(path), "events"), O_RDWR | O_NONBLOCK);

    return fd < 0 ? NULL : handle_of(fd);
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned int flags)
{
    return handle_of(fd);
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    if (xce) {
        close(xce->fd);
        free(xce);
    }
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    return xce->fd;
}

static int bind_port(uint32_t domid, uint32_t remote, uint64_t unique_id)
{
    for (int port = 1; port < PORTS; port++)
        if (!ports[port].used) {
            ports[port].used = true;
            ports[port].domid = domid;
            ports[port].remote = remote;
            ports[port].unique_id = unique_id;
            return port;
        }
    return errno = ENOSPC, -1;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t remote)
{
    struct domain d;

    if (!find_domain(domid, &d) || d.domid != domid)
        return errno = ESRCH, -1;
    if (remote == 0 || remote >= FIRST_BAD_PORT)
        return errno = EINVAL, -1;
    for (int port = 1; port < PORTS; port++) {
        if (!ports[port].used || ports[port].domid != domid || ports[port].remote != remote)
            continue;
        if (ports[port].unique_id == d.unique_id)
            return errno = EINVAL, -1; /* the domain has offered the port once, and it was taken */
        ports[port].remote = 0; /* of an earlier domain of this number */
    }
    return bind_port(domid, remote, d.unique_id);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    return bind_port(VIRQ, virq, 0);
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    if (port >= PORTS || !ports[port].used)
        return errno = EINVAL, -1;
    ports[port].used = false;
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    if (port >= PORTS || !ports[port].used)
        return errno = EINVAL, -1;
    /* A full fifo means that the test has plenty of signals left to read: one more tells it nothing. */
    if (write(signals, &ports[port].domid, 4) != 4)
        return 0;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    uint32_t event[2];
    int known = -1;

    if (read(xce->fd, event, sizeof(event)) != sizeof(event))
        return errno = EAGAIN, -1;
    for (int port = 1; port < PORTS; port++) {
        if (!ports[port].used)
            continue;
        if (ports[port].domid == event[0] && ports[port].remote == event[1])
            return port;
        if (known < 0 && ports[port].domid != VIRQ)
            known = port;
    }
    /* For a port unbound meanwhile: a spurious event on some other, which every daemon must take. */
    return known;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    return 0;
}

/* ---- libxengnttab --------------------------------------------------------------------------------------- */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned int flags)
{
    return calloc(1, 1);
}

int xengnttab_close(xengnttab_handle *xgt)
{
    free(xgt);
    return 0;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t count)
{
    return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
    return ref == 1 ? map_page(domid) : (errno = EINVAL, NULL);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *address, uint32_t count)
{
    return munmap(address, (size_t)count * PAGE);
}

/* ---- libxenctrl ----------------------------------------------------------------------------------------- */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild, unsigned flags)
{
    return calloc(1, 64);
}

int xc_interface_close(xc_interface *xch)
{
    free(xch);
    return 0;
}

const xc_error *xc_get_last_error(xc_interface *xch)
{
    static const xc_error none = { .code = XC_ERROR_NONE };

    return &none;
}

void *xc_map_foreign_range(xc_interface *xch, uint32_t domid, int size, int prot, unsigned long frame)
{
    return map_page(domid);
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first, unsigned int max, xc_dominfo_t *info)
{
    struct domain d;
    unsigned int n;

    for (n = 0; n < max && find_domain(first, &d); n++) {
        memset(&info[n], 0, sizeof(info[n]));
        info[n].domid = d.domid;
        info[n].dying = !!(d.state & STATE_DYING);
        info[n].shutdown = !!(d.state & STATE_SHUTDOWN);
        first = d.domid + 1;
    }
    return n;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max, xc_domaininfo_t *info)
{
    struct domain d;
    unsigned int n;

    for (n = 0; n < max && find_domain(first, &d); n++) {
        memset(&info[n], 0, sizeof(info[n]));
        info[n].domain = d.domid;
        info[n].flags = (d.state & STATE_DYING ? XEN_DOMINF_dying : 0) |
                        (d.state & STATE_SHUTDOWN ? XEN_DOMINF_shutdown : 0);
        first = d.domid + 1;
    }
    return n;
}

/* ---- libxenmanage (its header came after the 4.17 that we compile against) --------------------------------- */

static uint64_t reported[32768]; /* the changes already told, by domain */

void *xenmanage_open(struct xentoollog_logger *logger, unsigned int flags)
{
    return calloc(1, 1);
}

int xenmanage_close(void *handle)
{
    free(handle);
    return 0;
}

int xenmanage_get_domain_info(void *handle, unsigned int domid, unsigned int *state, unsigned int *caps,
                              uint64_t *unique_id)
{
    struct domain d;

    if (!find_domain(domid, &d) || d.domid != domid)
        return errno = ESRCH, -1;
    if (state)
        *state = d.state;
    if (caps)
        *caps = d.caps;
    if (unique_id)
        *unique_id = d.unique_id;
    return 0;
}

int xenmanage_poll_changed_domain(void *handle, unsigned int *domid, unsigned int *state, unsigned int *caps,
                                  uint64_t *unique_id)
{
    struct domain d;

    for (unsigned int first = 0; find_line(first, &d); first = d.domid + 1) {
        if (d.domid >= 32768 || d.changes == reported[d.domid])
            continue;
        reported[d.domid] = d.changes;
        *domid = d.domid;
        if (state)
            *state = d.state;
        if (caps)
            *caps = d.caps;
        if (unique_id)
            *unique_id = d.unique_id;
        return 0;
    }
    return errno = ENOENT, -1;
}

/* ---- paths ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *from, *to;
} moved[] = {
    { "/proc/xen/xsd_kva", "page.0" }, { "/proc/xen/xsd_port", "port" },
    { "/var/run/xenstored", "." },     { "/var/lib/xenstored", "lib" },
    { "/var/lib/xen", "lib" },         { "/var/run/xen", "xen" },
    { "/var/log/xen", "log" },         { "/etc/xen", "etc" },
};

static const char *rewrite(const char *path, char *buf, size_t size)
{
    for (size_t i = 0; path && i < sizeof(moved) / sizeof(moved[0]); i++) {
        size_t n = strlen(moved[i].from);

        if (strncmp(path, moved[i].from, n) == 0 && (path[n] == '\0' || path[n] == '/')) {
            snprintf(buf, size, "%s/%s%s", host(), moved[i].to, path + n);
            return buf;
        }
    }
    return path;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MOVED(path) rewrite(path, (char[PATH_MAX]){ 0 }, PATH_MAX)

static mode_t mode_of(int flags, va_list ap)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    return REAL(open)(MOVED(path), flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = mode_of(flags, ap);
    va_end(ap);
    return REAL(open64)(MOVED(path), flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    return REAL(fopen)(MOVED(path), mode);
}

int mkdir(const char *path, mode_t mode)
{
    return REAL(mkdir)(MOVED(path), mode);
}

int unlink(const char *path)
{
    return REAL(unlink)(MOVED(path));
}

int rename(const char *from, const char *to)
{
    return REAL(rename)(MOVED(from), MOVED(to));
}

int access(const char *path, int mode)
{
    return REAL(access)(MOVED(path), mode);
}

int stat(const char *path, struct stat *st)
{
    return REAL(stat)(MOVED(path), st);
}

int stat64(const char *path, struct stat64 *st)
{
    return REAL(stat64)(MOVED(path), st);
}

int chmod(const char *path, mode_t mode)
{
    return REAL(chmod)(MOVED(path), mode);
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    struct sockaddr_un un;
    char buf[PATH_MAX];

    if (address->sa_family != AF_UNIX)
        return REAL(bind)(fd, address, length);
    memset(&un, 0, sizeof(un));
    memcpy(&un, address, length < sizeof(un) ? length : sizeof(un));
    snprintf(buf, sizeof(buf), "%s", un.sun_path);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", MOVED(buf));
    return REAL(bind)(fd, (struct sockaddr *)&un, sizeof(un));
}

/* oxenstored raises its limit of open files and ends if it may not; the limit that it has will do. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    return 0;
}

/* ---- no daemon outlives its test ------------------------------------------------------------------------- */

__attribute__((constructor)) static void stay_with_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}
