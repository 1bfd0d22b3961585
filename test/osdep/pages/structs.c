/*
 * Arguments of hypercalls as Xen's own headers lay them out. "make NAME VALUES..." writes a structure with these values
 * in its fields; "show NAME" reads one and prints the fields that the hypervisor answers with.
 */
#define __XEN_TOOLS__ 1
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/sysctl.h>

static union {
    struct evtchn_alloc_unbound alloc;
    struct evtchn_status status;
    struct gnttab_map_grant_ref map;
    struct gnttab_unmap_grant_ref unmap;
    struct gnttab_copy copy;
    struct gnttab_query_size query;
    struct xen_domctl domctl;
    struct xen_sysctl sysctl;
    struct xen_domctl_getdomaininfo info;
    struct xen_hvm_param param;
    struct xen_memory_reservation reservation;
    struct xen_dm_op dm;
    unsigned char bytes[256];
} u;

static char **values;

static unsigned long long value(void)
{
    return *values ? strtoull(*values++, NULL, 0) : 0;
}

static size_t make(const char *name)
{
    if (!strcmp(name, "alloc")) {
        u.alloc.dom = value();
        u.alloc.remote_dom = value();
        return sizeof(u.alloc);
    }
    if (!strcmp(name, "status")) {
        u.status.dom = value();
        u.status.port = value();
        return sizeof(u.status);
    }
    if (!strcmp(name, "map")) {
        u.map.dom = value();
        u.map.ref = value();
        u.map.flags = value();
        return sizeof(u.map);
    }
    if (!strcmp(name, "unmap")) {
        u.unmap.handle = value();
        return sizeof(u.unmap);
    }
    if (!strcmp(name, "copy")) {
        u.copy.source.u.ref = value();
        u.copy.source.domid = value();
        u.copy.source.offset = value();
        u.copy.dest.u.gmfn = value();
        u.copy.dest.domid = DOMID_SELF;
        u.copy.dest.offset = value();
        u.copy.len = value();
        u.copy.flags = GNTCOPY_source_gref;
        return sizeof(u.copy);
    }
    if (!strcmp(name, "query")) {
        u.query.dom = value();
        return sizeof(u.query);
    }
    if (!strcmp(name, "domctl")) {
        u.domctl.cmd = value();
        u.domctl.interface_version = value();
        u.domctl.domain = value();
        return sizeof(u.domctl);
    }
    if (!strcmp(name, "list")) {
        u.sysctl.cmd = XEN_SYSCTL_getdomaininfolist;
        u.sysctl.interface_version = value();
        u.sysctl.u.getdomaininfolist.first_domain = value();
        u.sysctl.u.getdomaininfolist.max_domains = value();
        set_xen_guest_handle_raw(u.sysctl.u.getdomaininfolist.buffer, (void *)(uintptr_t)value());
        return sizeof(u.sysctl);
    }
    if (!strcmp(name, "physinfo")) {
        u.sysctl.cmd = XEN_SYSCTL_physinfo;
        u.sysctl.interface_version = value();
        return sizeof(u.sysctl);
    }
    if (!strcmp(name, "param")) {
        u.param.domid = value();
        u.param.index = value();
        u.param.value = value();
        return sizeof(u.param);
    }
    if (!strcmp(name, "reservation")) {
        u.reservation.domid = value();
        u.reservation.nr_extents = value();
        u.reservation.extent_order = value();
        set_xen_guest_handle_raw(u.reservation.extent_start, (void *)(uintptr_t)value());
        return sizeof(u.reservation);
    }
    if (!strcmp(name, "range")) {
        u.dm.op = XEN_DMOP_map_io_range_to_ioreq_server;
        u.dm.u.map_io_range_to_ioreq_server.id = value();
        u.dm.u.map_io_range_to_ioreq_server.type = value();
        u.dm.u.map_io_range_to_ioreq_server.start = value();
        u.dm.u.map_io_range_to_ioreq_server.end = value();
        return sizeof(u.dm);
    }
    if (!strcmp(name, "server")) {
        u.dm.op = XEN_DMOP_create_ioreq_server;
        u.dm.u.create_ioreq_server.handle_bufioreq = value();
        return sizeof(u.dm);
    }
    exit(2);
}

static void print_info(const struct xen_domctl_getdomaininfo *info)
{
    printf("%u %#x %llu %llu %u %u %02x%02x\n", info->domain, info->flags, (unsigned long long)info->tot_pages,
           (unsigned long long)info->max_pages, info->nr_online_vcpus, info->max_vcpu_id, info->handle[0],
           info->handle[15]);
}

static void show(const char *name)
{
    if (!strcmp(name, "alloc"))
        printf("%u\n", u.alloc.port);
    else if (!strcmp(name, "status"))
        printf("%u %u %u\n", u.status.status, u.status.u.interdomain.dom, u.status.u.interdomain.port);
    else if (!strcmp(name, "map"))
        printf("%d %u\n", u.map.status, u.map.handle);
    else if (!strcmp(name, "unmap"))
        printf("%d\n", u.unmap.status);
    else if (!strcmp(name, "copy"))
        printf("%d\n", u.copy.status);
    else if (!strcmp(name, "query"))
        printf("%u %u %d\n", u.query.nr_frames, u.query.max_nr_frames, u.query.status);
    else if (!strcmp(name, "domctl"))
        print_info(&u.domctl.u.getdomaininfo);
    else if (!strcmp(name, "info"))
        print_info(&u.info);
    else if (!strcmp(name, "list"))
        printf("%u\n", u.sysctl.u.getdomaininfolist.num_domains);
    else if (!strcmp(name, "physinfo"))
        printf("%u %u %llu %llu\n", u.sysctl.u.physinfo.nr_cpus, u.sysctl.u.physinfo.cpu_khz,
               (unsigned long long)u.sysctl.u.physinfo.total_pages, (unsigned long long)u.sysctl.u.physinfo.free_pages);
    else if (!strcmp(name, "param"))
        printf("%llu\n", (unsigned long long)u.param.value);
    else if (!strcmp(name, "server"))
        printf("%u\n", u.dm.u.create_ioreq_server.id);
    else
        exit(2);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    values = argv + 3;
    if (!strcmp(argv[1], "make")) {
        fwrite(u.bytes, 1, make(argv[2]), stdout);
    } else {
        if (fread(u.bytes, 1, sizeof(u.bytes), stdin) == 0)
            return 2;
        show(argv[2]);
    }
    return 0;
}
