/*
 * A slot is one request in flight: a little machine that asks, takes the reply and asks again until its operation is
 * complete. The loop (run.c) moves bytes and takes times; what is asked is decided here and in slot.c.
 */
#ifndef SLOT_H
#define SLOT_H

#include "load.h"

enum kind { OP_READ, OP_WRITE, OP_DIRECTORY, OP_TRANSACTION, OP_CREATE, OP_PERMS, OP_MIXED, OP_CONNECT, OP_UNKNOWN };

struct slot {
    enum kind kind;
    int connection, index;
    int step;        /* requests of this operation that were answered */
    uint32_t tx;
    uint32_t type;   /* of the request in flight */
    int64_t began;
};

enum kind kind_named(const char *name);

/* Begins an operation: of the kind asked for, or of one drawn by lot where the load is mixed. */
void slot_begin(struct slot *slot, enum kind kind, int64_t now);
/* Writes the slot's next request, returns its length. */
size_t slot_ask(struct slot *slot, int keys, char *out);
/* Takes a reply. True when the operation is complete. Conflicts are counted; any other error ends the program. */
bool slot_answer(struct slot *slot, const struct header *reply, const char *body, uint64_t *conflicts);

#endif
