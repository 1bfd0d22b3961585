/*
 * How long the store takes to answer, seen by one of its domains: reads its own name through /dev/xen/xenbus, one request at a time with a
 * pause between, and prints every half second how many, the median and the longest. `storeping [SECONDS]`, without end by default. Knows the
 * public header io/xs_wire.h, and nothing of who answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct header {
    uint32_t type, req_id, tx_id, len;
};
enum { XS_READ = 2, PAUSE_US = 5000, MOST = 1000 };

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void fail(const char *what) {
    printf("storeping: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void take(int fd, void *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t got = read(fd, (char *)to + done, length - done);
        if (got <= 0) fail("read");
        done += (size_t)got;
    }
}

static double once(int fd) {
    struct {
        struct header header;
        char path[5];
    } request = {{XS_READ, 1, 0, 5}, "name"};
    struct header reply;
    char value[4096];
    double begun = now_ms();
    if (write(fd, &request, sizeof request.header + sizeof request.path) < 0) fail("write");
    take(fd, &reply, sizeof reply);
    if (reply.len > sizeof value) fail("a reply too long");
    take(fd, value, reply.len);
    if (reply.type != XS_READ) fail("another reply than asked for");
    return now_ms() - begun;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    double end = argc > 1 ? now_ms() + atof(argv[1]) * 1e3 : 0;
    int fd = open("/dev/xen/xenbus", O_RDWR);
    if (fd < 0) fail("/dev/xen/xenbus");
    while (end == 0 || now_ms() < end) {
        static double took[MOST];
        int count = 0;
        for (double begun = now_ms(); now_ms() < begun + 500 && count < MOST; count++) {
            took[count] = once(fd);
            usleep(PAUSE_US);
        }
        qsort(took, (size_t)count, sizeof took[0], ascending);
        printf("PING %d %.2f %.2f\n", count, took[count / 2], took[count - 1]);
        fflush(stdout);
    }
    return 0;
}
