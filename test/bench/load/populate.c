/* Fills the tree, and says what it cost the daemon in memory. */
#include "load.h"

#include <stdio.h>
#include <string.h>

enum { BURST = 64 };

void populate(const struct options *options)
{
    struct client *client = client_open(options->socket);
    pid_t pid = peer_pid(client->fd);
    long before = rss_kb_of(pid);
    int64_t began = now_ns();
    int keys = key_count(options->nodes);

    for (int key = 0; key < keys;) {
        unsigned posted = 0;

        for (; posted < BURST && key < keys; posted++, key++) {
            char payload[PATH_BYTES + VALUE_BYTES];
            size_t len = key_path(payload, key);

            memset(payload + len, 'v', VALUE_BYTES);
            post(client, WRITE, payload, len + VALUE_BYTES);
        }
        settle(client, posted);
    }
    printf("{\"pid\":%d,\"seconds\":%.3f,\"rssBeforeKb\":%ld,\"rssKb\":%ld}\n", pid, (now_ns() - began) / 1e9, before,
           rss_kb_of(pid));
    client_close(client);
}
