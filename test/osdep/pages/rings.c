/*
 * Byte rings as Xen's own headers define them, to compare pages with. Reads a script from standard input: a start
 * index, then operations "w LENGTH FIRST" (that many bytes, counting up from FIRST) and "r LENGTH", alternating freely
 * as long as they fit. Writes the ring's page, then all bytes that were read.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>

#define PAGE 4096

static unsigned char page[PAGE] __attribute__((aligned(PAGE)));
static unsigned char taken[1 << 20];
static size_t taken_length;

static void store_ring(uint32_t start, int requests)
{
    struct xenstore_domain_interface *intf = (void *)page;
    char *ring = requests ? intf->req : intf->rsp;
    XENSTORE_RING_IDX *cons = requests ? &intf->req_cons : &intf->rsp_cons;
    XENSTORE_RING_IDX *prod = requests ? &intf->req_prod : &intf->rsp_prod;
    unsigned int length, byte;
    char op;

    *cons = *prod = start;
    while (scanf(" %c %u", &op, &length) == 2) {
        if (op == 'w' && scanf("%u", &byte) == 1)
            while (length--)
                ring[MASK_XENSTORE_IDX((*prod)++)] = (char)byte++;
        else
            while (length--)
                taken[taken_length++] = ring[MASK_XENSTORE_IDX((*cons)++)];
    }
}

static void console_ring(uint32_t start)
{
    struct xencons_interface *intf = (void *)page;
    unsigned int length, byte;
    char op;

    intf->out_cons = intf->out_prod = start;
    while (scanf(" %c %u", &op, &length) == 2) {
        if (op == 'w' && scanf("%u", &byte) == 1)
            while (length--)
                intf->out[MASK_XENCONS_IDX(intf->out_prod++, intf->out)] = (char)byte++;
        else
            while (length--)
                taken[taken_length++] = intf->out[MASK_XENCONS_IDX(intf->out_cons++, intf->out)];
    }
}

int main(int argc, char **argv)
{
    uint32_t start;

    if (argc != 2 || scanf("%u", &start) != 1)
        return 2;
    if (!strcmp(argv[1], "request"))
        store_ring(start, 1);
    else if (!strcmp(argv[1], "response"))
        store_ring(start, 0);
    else if (!strcmp(argv[1], "console"))
        console_ring(start);
    else
        return 2;
    fwrite(page, 1, PAGE, stdout);
    fwrite(taken, 1, taken_length, stdout);
    return 0;
}
