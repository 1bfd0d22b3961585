/*
 * A ring of slots by Xen's own macros, to compare pages and answers with. Arguments: slot size in bytes (12 or 112),
 * start index. Reads operations: "q N" the front puts N requests and publishes, "t" the back takes what is there, "a N"
 * the back answers N and publishes, "g" the front takes what is there, "f" and "b" a final check of front and back.
 * Prints the answer of each, then the page.
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

struct small_message { unsigned char bytes[12]; };
struct large_message { unsigned char bytes[112]; };

DEFINE_RING_TYPES(small, struct small_message, struct small_message);
DEFINE_RING_TYPES(large, struct large_message, struct large_message);

static unsigned char page[PAGE] __attribute__((aligned(PAGE)));

#define PLAY(name)                                                              \
static void play_##name(uint32_t start)                                        \
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
    FRONT_RING_ATTACH(&front, sring, start, PAGE);                             \
    BACK_RING_ATTACH(&back, sring, start, PAGE);                               \
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

PLAY(small)
PLAY(large)

int main(int argc, char **argv)
{
    uint32_t start = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

    if (argc != 3)
        return 2;
    if (!strcmp(argv[1], "12"))
        play_small(start);
    else
        play_large(start);
    fwrite(page, 1, PAGE, stdout);
    return 0;
}
