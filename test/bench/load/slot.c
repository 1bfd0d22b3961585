/* The operations: which requests each consists of. */
#include "slot.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "read", "write", "directory", "transaction", "create", "perms", "mixed", "connect" };

/* Requests per operation. A transaction: start, read a, write a, write b, end. A creation: write, remove. */
static const int lengths[] = { [OP_READ] = 1, [OP_WRITE] = 1, [OP_DIRECTORY] = 1, [OP_TRANSACTION] = 5, [OP_CREATE] = 2,
                               [OP_PERMS] = 1, [OP_CONNECT] = 1 };

enum kind kind_named(const char *name)
{
    for (int i = 0; i < OP_UNKNOWN; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return OP_UNKNOWN;
}

/* Of a hundred operations: what a host with a toolstack and backends at work asks for, mostly reads. */
static enum kind draw(void)
{
    uint32_t lot = random_below(100);

    return lot < 55 ? OP_READ : lot < 75 ? OP_WRITE : lot < 85 ? OP_DIRECTORY : lot < 90 ? OP_PERMS : lot < 95 ? OP_CREATE
         : OP_TRANSACTION;
}

void slot_begin(struct slot *slot, enum kind kind, int64_t now)
{
    slot->kind = kind == OP_MIXED ? draw() : kind;
    slot->step = 0;
    slot->tx = 0;
    slot->began = now;
}

/* Appends a value that differs from write to write. */
static size_t with_value(char *payload, size_t len)
{
    static uint32_t count;
    char *value = payload + len;

    memcpy(value, "0000000000000000", VALUE_BYTES);
    count++;
    for (int i = 0; i < 8; i++)
        value[VALUE_BYTES - 1 - i] = "0123456789abcdef"[count >> (4 * i) & 15];
    return len + VALUE_BYTES;
}

size_t slot_ask(struct slot *slot, int keys, char *out)
{
    char *payload = out + sizeof(struct header);
    size_t len;

    switch (slot->kind) {
    case OP_WRITE:
        slot->type = WRITE;
        len = with_value(payload, key_path(payload, random_below(keys)));
        break;
    case OP_DIRECTORY:
        slot->type = DIRECTORY;
        len = device_path(payload, random_below(keys));
        break;
    case OP_PERMS:
        slot->type = GET_PERMS;
        len = key_path(payload, random_below(keys));
        break;
    case OP_CREATE:
        slot->type = slot->step == 0 ? WRITE : RM;
        len = own_path(payload, slot->connection, slot->index, "new");
        if (slot->type == WRITE)
            len = with_value(payload, len);
        break;
    case OP_TRANSACTION: {
        static const uint32_t types[] = { TRANSACTION_START, READ, WRITE, WRITE, TRANSACTION_END };

        slot->type = types[slot->step];
        if (slot->type == TRANSACTION_START || slot->type == TRANSACTION_END) {
            len = slot->step == 0 ? 1 : 2;
            memcpy(payload, slot->step == 0 ? "" : "T", len);
        } else {
            len = own_path(payload, slot->connection, slot->index, slot->step < 3 ? "a" : "b");
            if (slot->type == WRITE)
                len = with_value(payload, len);
        }
        break;
    }
    default: /* OP_READ, OP_CONNECT */
        slot->type = READ;
        len = key_path(payload, random_below(keys));
        break;
    }

    struct header header = { slot->type, slot->index, slot->tx, len };

    memcpy(out, &header, sizeof(header));
    return sizeof(header) + len;
}

bool slot_answer(struct slot *slot, const struct header *reply, const char *body, uint64_t *conflicts)
{
    if (reply->type == ERROR) {
        if (slot->type != TRANSACTION_END || reply->len != sizeof("EAGAIN") || memcmp(body, "EAGAIN", reply->len) != 0)
            die("request %u answered with %.*s", slot->type, (int)reply->len, body);
        ++*conflicts;
    } else if (reply->type != slot->type) {
        die("request %u answered with type %u", slot->type, reply->type);
    }
    if (slot->type == TRANSACTION_START)
        slot->tx = strtoul(body, NULL, 10);
    return ++slot->step == lengths[slot->kind];
}
