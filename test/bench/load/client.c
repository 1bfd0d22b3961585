/* A blocking xenstore client: one request at a time, or a burst of them answered together. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client *client_open(const char *path)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        die("out of memory");
    client->fd = connect_to(path);
    if (client->fd < 0)
        die("connect %s: %s", path, strerror(errno));
    return client;
}

void client_close(struct client *client)
{
    close(client->fd);
    free(client);
}

static void send_all(struct client *client, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(client->fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            die("send: %s", strerror(errno));
        data += n;
        len -= n;
    }
}

/* Makes at least `need` unread bytes available; false when not waiting and nothing has come. */
static bool fill(struct client *client, size_t need, int flags)
{
    if (client->used > 0) {
        memmove(client->in, client->in + client->used, client->have - client->used);
        client->have -= client->used;
        client->used = 0;
    }
    while (client->have < need) {
        ssize_t n = recv(client->fd, client->in + client->have, sizeof(client->in) - client->have, flags);

        if (n < 0 && flags && errno == EAGAIN)
            return false;
        if (n <= 0)
            die("recv: %s", n ? strerror(errno) : "the daemon closed the connection");
        client->have += n;
    }
    return true;
}

/* The next frame into reply and body; without waiting, false where none has arrived whole. */
static bool next(struct client *client, int flags)
{
    if (client->have - client->used < sizeof(struct header) && !fill(client, sizeof(struct header), flags))
        return false;
    memcpy(&client->reply, client->in + client->used, sizeof(struct header));
    if (client->reply.len > PAYLOAD_MAX)
        die("reply of %u bytes", client->reply.len);

    size_t whole = sizeof(struct header) + client->reply.len;

    if (client->have - client->used < whole && !fill(client, whole, flags))
        return false;
    memcpy(client->body, client->in + client->used + sizeof(struct header), client->reply.len);
    client->body[client->reply.len] = 0;
    client->used += whole;
    return true;
}

static void next_reply(struct client *client)
{
    for (next(client, 0); client->reply.type == WATCH_EVENT; next(client, 0))
        client->events++;
}

bool ask(struct client *client, uint32_t type, uint32_t tx_id, const void *payload, size_t len)
{
    char out[FRAME_MAX];

    send_all(client, out, frame(out, type, 0, tx_id, payload, len));
    client->requests++;
    next_reply(client);
    return client->reply.type != ERROR;
}

void must(struct client *client, uint32_t type, uint32_t tx_id, ...)
{
    char payload[PAYLOAD_MAX];
    size_t len = 0;
    const char *part;
    va_list parts;

    va_start(parts, tx_id);
    while ((part = va_arg(parts, const char *))) {
        size_t n = strlen(part) + 1;

        memcpy(payload + len, part, n);
        len += n;
    }
    va_end(parts);
    if (!ask(client, type, tx_id, payload, len))
        die("request %u of '%s': %s", type, payload, client->body);
}

void must_write(struct client *client, uint32_t tx_id, const char *path, const char *value)
{
    char payload[PAYLOAD_MAX];
    size_t path_len = strlen(path) + 1, value_len = strlen(value);

    memcpy(payload, path, path_len);
    memcpy(payload + path_len, value, value_len);
    if (!ask(client, WRITE, tx_id, payload, path_len + value_len))
        die("write of '%s': %s", path, client->body);
}

void post(struct client *client, uint32_t type, const void *payload, size_t len)
{
    char out[FRAME_MAX];

    send_all(client, out, frame(out, type, 0, 0, payload, len));
}

void settle(struct client *client, unsigned replies)
{
    while (replies-- > 0) {
        next_reply(client);
        if (client->reply.type == ERROR)
            die("set-up request refused: %s", client->body);
    }
}

void drain(struct client *client)
{
    while (next(client, MSG_DONTWAIT))
        if (client->reply.type == WATCH_EVENT)
            client->events++;
}
