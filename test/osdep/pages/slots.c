/*
 * A ring of slots by Xen's own macros, to compare pages and answers with. Arguments: slot size in bytes, pages of
 * the ring, start index. Reads operations: "q N" the front puts N requests and publishes, "t" the back takes what is there, "a N"
 * the back answers N and publishes, "g" the front takes what is there, "f" and "b" a final check of front and back.
 * Prints the answer of each, then the pages.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* The headers make xen_mb() and its like of these. */
#define mb() __sync_synchronize()
#define rmb() __sync_synchronize()
#define wmb() __sync_synchronize()
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/ring.h>

#define PAGE 4096

static unsigned char page[16 * PAGE] __attribute__((aligned(PAGE)));

#define PLAY(name, size)                                                        \
struct name##_message { unsigned char bytes[size]; };                          \
DEFINE_RING_TYPES(name, struct name##_message, struct name##_message);         \
                                                                               \
static void play_##name(unsigned int bytes, uint32_t start)                    \
{                                                                              \
    name##_sring_t *sring = (void *)page;                                      \
    name##_front_ring_t front;                                                 \
    name##_back_ring_t back;                                                   \
    unsigned char next = 1;                                                    \
    unsigned int count;                                                        \
    int notify, work;                                                          \
    char op;                                                                   \
                                                                               \
    SHARED_RING_INIT(sring);                                                   \
    sring->req_prod = sring->rsp_prod = start;                                 \
    sring->req_event = sring->rsp_event = start + 1;                           \
    FRONT_RING_ATTACH(&front, sring, start, bytes);                            \
    BACK_RING_ATTACH(&back, sring, start, bytes);                              \
    while (scanf(" %c", &op) == 1) {                                           \
        switch (op) {                                                          \
        case 'q':                                                              \
            if (scanf("%u", &count) != 1)                                      \
                exit(2);                                                       \
            while (count--)                                                    \
                memset(RING_GET_REQUEST(&front, front.req_prod_pvt++), next++, \
                       sizeof(struct name##_message));                         \
            RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&front, notify);               \
            printf("%d\n", notify);                                            \
            break;                                                             \
        case 't':                                                              \
            count = RING_HAS_UNCONSUMED_REQUESTS(&back);                       \
            back.req_cons += count;                                            \
            printf("%u\n", count);                                             \
            break;                                                             \
        case 'a':                                                              \
            if (scanf("%u", &count) != 1)                                      \
                exit(2);                                                       \
            while (count--)                                                    \
                memset(RING_GET_RESPONSE(&back, back.rsp_prod_pvt++), next++,  \
                       sizeof(struct name##_message));                         \
            RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&back, notify);               \
            printf("%d\n", notify);                                            \
            break;                                                             \
        case 'g':                                                              \
            count = RING_HAS_UNCONSUMED_RESPONSES(&front);                     \
            front.rsp_cons += count;                                           \
            printf("%u\n", count);                                             \
            break;                                                             \
        case 'f':                                                              \
            RING_FINAL_CHECK_FOR_RESPONSES(&front, work);                      \
            printf("%d\n", !!work);                                            \
            break;                                                             \
        case 'b':                                                              \
            RING_FINAL_CHECK_FOR_REQUESTS(&back, work);                        \
            printf("%d\n", !!work);                                            \
            break;                                                             \
        }                                                                      \
    }                                                                          \
    printf("%u\n", RING_SIZE(&front));                                         \
}

/* netif's rx, tx and control rings, PV Calls' commands, blkif for 32 and for 64 bits. */
PLAY(rx, 8)
PLAY(tx, 12)
PLAY(control, 16)
PLAY(calls, 64)
PLAY(blk32, 108)
PLAY(blk64, 112)

int main(int argc, char **argv)
{
    unsigned int size, bytes;
    uint32_t start;

    if (argc != 4)
        return 2;
    size = strtoul(argv[1], NULL, 10);
    bytes = strtoul(argv[2], NULL, 10) * PAGE;
    start = strtoul(argv[3], NULL, 10);
    if (bytes > sizeof(page))
        return 2;
    switch (size) {
    case 8: play_rx(bytes, start); break;
    case 12: play_tx(bytes, start); break;
    case 16: play_control(bytes, start); break;
    case 64: play_calls(bytes, start); break;
    case 108: play_blk32(bytes, start); break;
    case 112: play_blk64(bytes, start); break;
    default: return 2;
    }
    fwrite(page, 1, bytes, stdout);
    return 0;
}
