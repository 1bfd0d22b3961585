/* The load generator's command line: load MODE --socket PATH [options] [-- COMMAND]; prints one line of JSON. */
#define _GNU_SOURCE
#include "load.h"

#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct option flags[] = {
    { "socket", required_argument, 0, 's' },  { "op", required_argument, 0, 'o' },
    { "connections", required_argument, 0, 'c' }, { "in-flight", required_argument, 0, 'f' },
    { "watches", required_argument, 0, 'w' }, { "nodes", required_argument, 0, 'n' },
    { "domains", required_argument, 0, 'd' }, { "domids-known", no_argument, 0, 'k' },
    { "seconds", required_argument, 0, 't' }, { "warmup", required_argument, 0, 'u' },
    { "cpu", required_argument, 0, 'p' },     { 0 },
};

static int number(const char *text, int least, int most)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (*text == 0 || *end != 0 || value < least || value > most)
        die("'%s' is not a number from %d to %d", text, least, most);
    return value;
}

static double seconds(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (*text == 0 || *end != 0 || !(value >= 0 && value <= 600))
        die("'%s' is not a time from 0 to 600 seconds", text);
    return value;
}

static struct options parse(int argc, char **argv)
{
    struct options options = { .op = "read", .connections = 50, .in_flight = 1, .nodes = 1000, .seconds = 1,
                               .warmup = 0.25, .cpu = -1 };

    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        switch (flag) {
        case 's': options.socket = optarg; break;
        case 'o': options.op = optarg; break;
        case 'c': options.connections = number(optarg, 1, CONNECTIONS_MAX); break;
        case 'f': options.in_flight = number(optarg, 1, IN_FLIGHT_MAX); break;
        case 'w': options.watches = number(optarg, 0, 999); break;
        case 'n': options.nodes = number(optarg, 100, 999900); break;
        case 'd': options.domains = number(optarg, 0, 9999); break;
        case 'k': options.domids_known = 1; break;
        case 't': options.seconds = seconds(optarg); break;
        case 'u': options.warmup = seconds(optarg); break;
        case 'p': options.cpu = number(optarg, 0, CPU_SETSIZE - 1); break;
        default: exit(1);
        }
    }
    if (!options.socket)
        die("--socket is missing");
    if (strcmp(options.op, "connect") == 0)
        options.in_flight = 1;
    options.command = argv + optind;
    return options;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*mode)(const struct options *);
    } modes[] = { { "populate", populate }, { "run", run }, { "create", create }, { "start", start } };

    if (argc < 2)
        die("which mode? populate, run, create or start");

    struct options options = parse(argc - 1, argv + 1);
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (options.cpu >= 0) {
        cpu_set_t core;

        CPU_ZERO(&core);
        CPU_SET(options.cpu, &core);
        sched_setaffinity(0, sizeof(core), &core);
    }
    alarm(options.warmup + options.seconds + 120 + options.domains / 2);
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].mode(&options);
            return 0;
        }
    }
    die("there is no mode '%s'", argv[1]);
}
