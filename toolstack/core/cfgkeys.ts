/**
 * The names that an xl.cfg may set: those that are acted upon here, those that mean something to xl alone, and, of a name that is neither, the nearest
 * one. Follows xl.cfg(5) and xl_parse.c of Xen 4.17 to 4.22, and adds `xensock` and `vm_data`.
 */

const cfgKeys = [
  'name',
  'type',
  'builder',
  'uuid',
  'kernel',
  'ramdisk',
  'cmdline',
  'root',
  'extra',
  'memory',
  'maxmem',
  'vcpus',
  'maxvcpus',
  'disk',
  'vif',
  'pvcalls',
  'xensock',
  'serial',
  'device_model',
  'driver_domain',
  'on_poweroff',
  'on_reboot',
  'on_crash',
  'on_watchdog',
  'on_soft_reset',
  'vm_data',
] as const;

export type CfgKey = (typeof cfgKeys)[number];

const known: ReadonlySet<string> = new Set(cfgKeys);

const others: ReadonlySet<string> = new Set(
  `
  acpi acpi_firmware acpi_laptop_slate acpi_s3 acpi_s4 altp2m altp2m_count altp2mhvm apic arm_sci bios
  bios_path_override boot bootloader bootloader_args bootloader_restrict bootloader_user cap channel
  cpu_weight cpuid cpus cpus_soft device_model_args device_model_args_hvm device_model_args_pv
  device_model_override device_model_stubdomain_override device_model_stubdomain_seclabel device_model_user
  device_model_version device_tree display dm_restrict dtdev e820_host extratime firmware firmware_override
  gfx_passthru gic_version hap hdtype hpet hvm_pirq init_seclabel iomem ioports irqs keymap latency
  llc_colors localtime max_event_channels max_grant_frames max_grant_version max_maptrack_frames mca_caps
  mmio_hole ms_vm_genid msr_relaxed nestedhvm nographic nomigrate nr_spis nx oos opengl p9 pae passthrough
  pci pci_msitranslate pci_permissive pci_power_mgmt pci_seize period pool pvshim pvshim_cmdline
  pvshim_extra pvshim_path rdm rdm_mem_boundary rtc_timeoffset sdl seclabel shadow_memory slice smbios
  smbios_firmware soundhw spice spice_clipboard_sharing spice_image_compression spice_streaming_video
  spiceagent_mouse spicedisable_ticketing spicehost spicepasswd spiceport spicetls_port spiceusbredirection
  spicevdagent stdvga stubdomain_cmdline stubdomain_kernel stubdomain_memory stubdomain_ramdisk sve tee
  timer_mode trap_unmapped_accesses tsc_mode usb usbctrl usbdev usbdevice usbversion vdispl vendor_device
  vfb vga videoram vif2 viridian virtio vkb vkb_device vmtrace_buf_kb vnc vncdisplay vnclisten vncpasswd
  vncunused vncviewer vnuma vpmu vpt_align vsnd vtpm vuart xauthority xen_platform_pci
  xen_platform_pci_bar_uc xend_suspend_evtchn_compat xenstore_feature_mask xenstore_quota
`
    .trim()
    .split(/\s+/),
);

/** A misspelt name has at most so many letters wrong. */
const NEAR = 2;

/** What to say of a name; undefined: it is acted upon, here or by xl where that reads it, too. */
export function keyWarning(name: string, reader?: 'xl'): string | undefined {
  if (known.has(name)) return undefined;
  if (others.has(name)) return reader === 'xl' ? undefined : `${name} is not acted upon here`;
  const nearest = nearestKey(name);
  return `${name} means nothing${nearest === undefined ? '' : `: is it ${nearest}?`}`;
}

function nearestKey(name: string): string | undefined {
  let best: string | undefined;
  let least = NEAR + 1;
  for (const key of [...known, ...others]) {
    if (Math.abs(key.length - name.length) >= least) continue;
    const far = distance(name, key);
    // Of a short name, two wrong letters leave nothing.
    if (far < least && far * 2 < key.length) {
      best = key;
      least = far;
    }
  }
  return best;
}

/** Letters to be put in, taken out or changed (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i++) {
    const above = row;
    row = [i + 1];
    for (let j = 0; j < b.length; j++)
      row.push(Math.min(above[j + 1]! + 1, row[j]! + 1, above[j]! + (a[i] === b[j] ? 0 : 1)));
  }
  return row[b.length]!;
}
