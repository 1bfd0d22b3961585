/*
 * Requests and responses of block devices as Xen's own header lays them out, on this machine and for a 32-bit x86 guest. Without
 * arguments: a line for each, its name and its bytes, with fields that are all different. The 32-bit layout is the same header with 64-bit numbers
 * at multiples of 4.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/io/ring.h>
#include <xen/io/blkif.h>

static void show(const char *name, const void *bytes, size_t size)
{
    size_t i;

    printf("%s ", name);
    for (i = 0; i < size; i++)
        printf("%02x", ((const unsigned char *)bytes)[i]);
    printf("\n");
}

#define SHOW_ALL(abi)                                                                             \
    static void show_##abi(void)                                                                  \
    {                                                                                             \
        union { struct blkif_request rw; struct blkif_request_discard discard;                    \
                struct blkif_request_indirect indirect; } u;                                      \
        union { struct blkif_response response; unsigned char bytes[sizeof(struct blkif_response)]; } r; \
        unsigned int i;                                                                           \
                                                                                                  \
        memset(&u, 0, sizeof(u));                                                                 \
        u.rw.operation = BLKIF_OP_WRITE;                                                          \
        u.rw.nr_segments = BLKIF_MAX_SEGMENTS_PER_REQUEST;                                        \
        u.rw.handle = 0x1234;                                                                     \
        u.rw.id = 0x1122334455667788ULL;                                                          \
        u.rw.sector_number = 0x0000a1b2c3d4e5f6ULL;                                               \
        for (i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++) {                                    \
            u.rw.seg[i].gref = 0x80000000U + i;                                                   \
            u.rw.seg[i].first_sect = i % 4;                                                       \
            u.rw.seg[i].last_sect = 4 + i % 4;                                                    \
        }                                                                                         \
        show(#abi "-rw", &u, sizeof(u.rw));                                                       \
        memset(&u, 0, sizeof(u));                                                                 \
        u.discard.operation = BLKIF_OP_DISCARD;                                                   \
        u.discard.flag = BLKIF_DISCARD_SECURE;                                                    \
        u.discard.handle = 0x1234;                                                                \
        u.discard.id = 0x99aabbccddeeff00ULL;                                                     \
        u.discard.sector_number = 77;                                                             \
        u.discard.nr_sectors = 0x0000010203040506ULL;                                             \
        show(#abi "-discard", &u, sizeof(u.rw));                                                  \
        memset(&u, 0, sizeof(u));                                                                 \
        u.indirect.operation = BLKIF_OP_INDIRECT;                                                 \
        u.indirect.indirect_op = BLKIF_OP_READ;                                                   \
        u.indirect.nr_segments = 0x0fff;                                                          \
        u.indirect.id = 3;                                                                        \
        u.indirect.sector_number = 4;                                                             \
        u.indirect.handle = 0x1234;                                                               \
        for (i = 0; i < BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST; i++)                                \
            u.indirect.indirect_grefs[i] = 0x90000000U + i;                                       \
        show(#abi "-indirect", &u, sizeof(u.rw));                                                 \
        memset(&r, 0, sizeof(r));                                                                 \
        r.response.id = 0x1122334455667788ULL;                                                    \
        r.response.operation = BLKIF_OP_READ;                                                     \
        r.response.status = BLKIF_RSP_EOPNOTSUPP;                                                 \
        show(#abi "-response", &r, sizeof(r));                                                    \
    }

SHOW_ALL(wide)

/* Once more, under other names. */
#undef __XEN_PUBLIC_IO_BLKIF_H__
#undef DEFINE_RING_TYPES
#define DEFINE_RING_TYPES(name, req, rsp) struct narrow_rings
#define blkif_request narrow_request
#define blkif_request_t narrow_request_t
#define blkif_request_segment narrow_request_segment
#define blkif_request_discard narrow_request_discard
#define blkif_request_discard_t narrow_request_discard_t
#define blkif_request_indirect narrow_request_indirect
#define blkif_request_indirect_t narrow_request_indirect_t
#define blkif_response narrow_response
#define blkif_response_t narrow_response_t
#pragma pack(push, 4)
#include <xen/io/blkif.h>
#pragma pack(pop)

SHOW_ALL(narrow)

int main(void)
{
    show_wide();
    show_narrow();
    return 0;
}
