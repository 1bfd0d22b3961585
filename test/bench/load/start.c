/*
 * How long a daemon takes from exec to its first accepted connection, and to its first reply. It is executed here and not by
 * the bench, whose own fork would be part of the figure, and ended again.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 20000, STEP_US = 200 };

static pid_t child;

static void stop(void)
{
    kill(child, SIGTERM);
    for (int waited = 0; waitpid(child, NULL, WNOHANG) == 0; waited++) {
        struct timespec pause = { .tv_nsec = 1000000 };

        if (waited == 3000)
            kill(child, SIGKILL);
        nanosleep(&pause, NULL);
    }
}

void start(const struct options *options)
{
    int64_t began = now_ns();
    struct timespec step = { .tv_nsec = STEP_US * 1000 };
    int fd;

    child = fork();
    if (child < 0)
        die("fork: %s", strerror(errno));
    if (child == 0) {
        cpu_set_t core;

        CPU_ZERO(&core);
        CPU_SET(0, &core);
        sched_setaffinity(0, sizeof(core), &core);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(options->command[0], options->command);
        die("%s: %s", options->command[0], strerror(errno));
    }
    while ((fd = connect_to(options->socket)) < 0) {
        if (now_ns() - began > LIMIT_MS * 1000000LL || waitpid(child, NULL, WNOHANG) != 0) {
            stop();
            die("%s does not serve %s", options->command[0], options->socket);
        }
        nanosleep(&step, NULL);
    }

    int64_t accepted = now_ns();
    char out[FRAME_MAX];

    if (send(fd, out, frame(out, READ, 0, 0, "/", 2), MSG_NOSIGNAL) < 0 || recv(fd, out, sizeof(out), 0) <= 0) {
        stop();
        die("no reply from %s", options->command[0]);
    }
    printf("{\"acceptMs\":%.2f,\"replyMs\":%.2f,\"rssKb\":%ld}\n", (accepted - began) / 1e6, (now_ns() - began) / 1e6,
           rss_kb_of(child));
    close(fd);
    stop();
}
