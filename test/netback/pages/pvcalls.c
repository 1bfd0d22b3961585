/*
 * The PV Calls protocol by Xen's own header: prints sizes and places by our names, then one request of each kind and a response as their bytes in
 * hex, filled with values that the test knows.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define xen_mb() __sync_synchronize()
#define xen_rmb() __sync_synchronize()
#define xen_wmb() __sync_synchronize()
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/pvcalls.h>

#define ID 0x1122334455667788ull

static void dump(const char *name, const void *at, size_t size)
{
    const unsigned char *bytes = at;
    printf("%s ", name);
    for (size_t i = 0; i < size; i++) printf("%02x", bytes[i]);
    printf("\n");
}

#define REQUEST(name, number, set) do { \
    struct xen_pvcalls_request r; \
    memset(&r, 0, sizeof(r)); \
    r.req_id = 0x01020304; \
    r.cmd = (number); \
    set; \
    unsigned char slot[64] = {0}; \
    memcpy(slot, &r, sizeof(r) < 64 ? sizeof(r) : 64); \
    dump(name, slot, 64); \
} while (0)

static void address(uint8_t *into)
{
    for (int i = 0; i < 28; i++) into[i] = 0xa0 + i;
}

int main(void)
{
    struct xen_pvcalls_response response;
    printf("slot %zu\n", sizeof(union xen_pvcalls_sring_entry));
    printf("response %zu\n", sizeof(response));
    printf("IN_CONS %zu\n", offsetof(struct pvcalls_data_intf, in_cons));
    printf("IN_PROD %zu\n", offsetof(struct pvcalls_data_intf, in_prod));
    printf("IN_ERROR %zu\n", offsetof(struct pvcalls_data_intf, in_error));
    printf("OUT_CONS %zu\n", offsetof(struct pvcalls_data_intf, out_cons));
    printf("OUT_PROD %zu\n", offsetof(struct pvcalls_data_intf, out_prod));
    printf("OUT_ERROR %zu\n", offsetof(struct pvcalls_data_intf, out_error));
    printf("RING_ORDER %zu\n", offsetof(struct pvcalls_data_intf, ring_order));
    printf("REFS %zu\n", offsetof(struct pvcalls_data_intf, ref));
    REQUEST("SOCKET", PVCALLS_SOCKET,
        (r.u.socket.id = ID, r.u.socket.domain = 2, r.u.socket.type = 1, r.u.socket.protocol = 6));
    REQUEST("CONNECT", PVCALLS_CONNECT,
        (r.u.connect.id = ID, address(r.u.connect.addr), r.u.connect.len = 28, r.u.connect.flags = 7,
         r.u.connect.ref = 0x0a0b0c0d, r.u.connect.evtchn = 0x1f2f));
    REQUEST("RELEASE", PVCALLS_RELEASE, (r.u.release.id = ID, r.u.release.reuse = 1));
    REQUEST("BIND", PVCALLS_BIND, (r.u.bind.id = ID, address(r.u.bind.addr), r.u.bind.len = 16));
    REQUEST("LISTEN", PVCALLS_LISTEN, (r.u.listen.id = ID, r.u.listen.backlog = 511));
    REQUEST("ACCEPT", PVCALLS_ACCEPT,
        (r.u.accept.id = ID, r.u.accept.id_new = 0x99aabbccddeeff00ull, r.u.accept.ref = 0x0a0b0c0d,
         r.u.accept.evtchn = 0x1f2f));
    REQUEST("POLL", PVCALLS_POLL, (r.u.poll.id = ID));
    memset(&response, 0, sizeof(response));
    response.req_id = 0x01020304;
    response.cmd = PVCALLS_ACCEPT;
    response.ret = -111;
    response.u.accept.id = ID;
    dump("answer", &response, sizeof(response));
    return 0;
}
