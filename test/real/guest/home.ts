/**
 * What libxl, Linux and its frontends make of a guest's home in the store: the nodes below /local/domain/N of a PV guest with a disk and a
 * network card that is up, and who may do what with each (`N` is the guest itself), as Xen 4.17's xl and Linux 6.1 leave them on the C daemon.
 */
export const HOME: readonly string[] = `
attr nN
console n0,rN
console/backend n0,rN
console/backend-id nN,r0
console/limit n0,rN
console/output n0,rN
console/port n0,rN
console/ring-ref n0,rN
console/tty n0,rN
console/type n0,rN
control n0,rN
control/feature-poweroff nN
control/feature-reboot nN
control/feature-suspend nN
control/platform-feature-multiprocessor-suspend n0,rN
control/platform-feature-xs_reset_watches n0,rN
control/shutdown nN
control/sysrq nN
cpu n0,rN
cpu/0 n0,rN
cpu/0/availability n0,rN
data nN
device n0,rN
device/suspend n0,rN
device/suspend/event-channel nN
device/vbd n0,rN
device/vbd/51712 nN,r0
device/vbd/51712/backend nN,r0
device/vbd/51712/backend-id nN,r0
device/vbd/51712/device-type nN,r0
device/vbd/51712/event-channel nN,r0
device/vbd/51712/feature-persistent nN,r0
device/vbd/51712/protocol nN,r0
device/vbd/51712/ring-ref nN,r0
device/vbd/51712/state nN,r0
device/vbd/51712/trusted nN,r0
device/vbd/51712/virtual-device nN,r0
device/vif n0,rN
device/vif/0 nN,r0
device/vif/0/backend nN,r0
device/vif/0/backend-id nN,r0
device/vif/0/event-channel-rx nN,r0
device/vif/0/event-channel-tx nN,r0
device/vif/0/feature-gso-tcpv4 nN,r0
device/vif/0/feature-gso-tcpv6 nN,r0
device/vif/0/feature-ipv6-csum-offload nN,r0
device/vif/0/feature-rx-notify nN,r0
device/vif/0/feature-sg nN,r0
device/vif/0/handle nN,r0
device/vif/0/mac nN,r0
device/vif/0/mtu n0,rN
device/vif/0/multi-queue-num-queues nN,r0
device/vif/0/request-rx-copy nN,r0
device/vif/0/rx-ring-ref nN,r0
device/vif/0/state nN,r0
device/vif/0/trusted nN,r0
device/vif/0/tx-ring-ref nN,r0
device/vif/0/xdp-headroom nN,r0
domid n0,rN
drivers nN
error nN
feature nN
memory n0,rN
memory/static-max n0,rN
memory/target n0,rN
memory/videoram n0,rN
name n0,rN
store n0,rN
store/port n0,rN
store/ring-ref n0,rN
vm n0,rN
`
  .trim()
  .split('\n');
