/*
 * The tree that is loaded: /bench/d0000 .. with nine devices of ten keys each, so one hundred nodes a domain, shaped like
 * the device trees that toolstacks write. All paths have one length: making one is a copy and a few digits.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

static const char shape[] = "/bench/d0000/dev0/key0";

int key_count(int nodes)
{
    return nodes / 100 * KEYS_PER_DOMAIN;
}

/* Path of a key with its NUL; returns the length, NUL included. */
size_t key_path(char *out, int key)
{
    int domain = key / KEYS_PER_DOMAIN;

    memcpy(out, shape, sizeof(shape));
    out[8] += domain / 1000;
    out[9] += domain / 100 % 10;
    out[10] += domain / 10 % 10;
    out[11] += domain % 10;
    out[16] += key % KEYS_PER_DOMAIN / KEYS_PER_DEVICE;
    out[21] += key % KEYS_PER_DEVICE;
    return sizeof(shape);
}

/* Path of the directory that the key is in. */
size_t device_path(char *out, int key)
{
    key_path(out, key);
    out[17] = 0;
    return 18;
}

/* A node that only this connection's slot touches, so that transactions do not conflict. */
size_t own_path(char *out, int connection, int slot, const char *leaf)
{
    return snprintf(out, PATH_BYTES, "/bench-own/c%04d/s%02d/%s", connection, slot, leaf) + 1;
}
