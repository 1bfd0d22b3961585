/*
 * Lets Debian's xl parse without a hypervisor: put in front of libxl (LD_PRELOAD), it answers what `xl -N` asks of the machine before it
 * shows what it has read. Made for xl 4.17.
 */
#include <stddef.h>

#include <libxl.h>

static char handle;

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags) { return &handle; }
int xc_interface_close(void *xch) { return 0; }
void *xs_open(unsigned long flags) { return &handle; }
void xs_close(void *xsh) {}

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *info) { return 0; }
int libxl_get_max_cpus(libxl_ctx *ctx) { return 8; }
int libxl_get_online_cpus(libxl_ctx *ctx) { return 8; }

const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx)
{
    static libxl_version_info info = {
        .xen_version_major = 4,
        .xen_version_minor = 17,
        .xen_version_extra = "",
        .compiler = "",
        .compile_by = "",
        .compile_domain = "",
        .compile_date = "",
        .capabilities = "xen-3.0-x86_64",
        .changeset = "",
        .commandline = "",
        .build_id = "",
    };
    return &info;
}
