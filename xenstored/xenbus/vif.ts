/**
 * The keys of a network interface: what stands in both directories, by whom and within what range (xen/include/public/io/netif.h and
 * what libxl writes), and the readers that check the peer's. Packets and rings are for netback.
 */
import {
  commonBackendKeys,
  commonFrontendKeys,
  type DeviceKeys,
  flag,
  from,
  number,
  perQueue,
  text,
  word,
} from './keys.ts';
import { Checker, GREF_MAX, type KeyReader, PORT_MAX, parseMac, parseNumber, quoted } from './value.ts';

export const vifKeys: DeviceKeys = {
  backend: [
    ...commonBackendKeys,
    ...from('libxl', [
      text('toolstack', 'mac', "the guest's address", undefined, 'mac'),
      number('toolstack', 'handle', [0, 65535], 'its number in the guest'),
      text('toolstack', 'bridge', 'where to connect it', 'none'),
      text('toolstack', 'vifname', 'what to call it', 'vifDOMID.HANDLE'),
      text(
        'toolstack',
        'rate',
        '`bytes,microseconds`: that much from the guest in each such time',
        'unlimited',
        'rate',
      ),
      number('toolstack', 'mtu', [68, 65535], 'the largest packet, in bytes', '1500'),
      word('toolstack', 'type', ['vif', 'vif_ioemu'], 'vif_ioemu: a device model has one, too', 'vif'),
      text('toolstack', 'ip', 'for the hotplug script', 'none'),
      text('toolstack', 'gatewaydev', 'for the hotplug script', 'none'),
      text('toolstack', 'vlan', 'for the hotplug script', 'none'),
    ]),
    ...from('netif.h', [
      flag('backend', 'feature-sg', 'packets of several slots, both ways'),
      flag('backend', 'feature-gso-tcpv4', 'large TCP packets may be sent'),
      flag('backend', 'feature-gso-tcpv6', 'large TCP packets may be sent'),
      flag('backend', 'feature-rx-copy', 'received packets are copied into granted pages'),
      flag('backend', 'feature-rx-flip', 'obsolete: pages change their owner'),
      flag('backend', 'feature-no-csum-offload', 'IPv4 checksums have to be there'),
      flag('backend', 'feature-ipv6-csum-offload', 'IPv6 checksums may be blank'),
      flag('backend', 'feature-multicast-control', 'multicast can be filtered'),
      flag('backend', 'feature-dynamic-multicast-control', 'and be switched while connected'),
      flag('backend', 'feature-split-event-channels', 'one port each for tx and rx'),
      flag('backend', 'feature-ctrl-ring', 'there is a control ring'),
      number('backend', 'multi-queue-max-queues', [1, 64], 'the most pairs of rings', '1'),
      flag('backend', 'carrier', 'the link is up; may change at any time', '1'),
    ]),
    ...from('linux', [flag('backend', 'feature-xdp-headroom', 'states 7 and 8 are understood')]),
  ],
  frontend: [
    ...commonFrontendKeys,
    ...from('libxl', [
      text('toolstack', 'mac', "the guest's address", undefined, 'mac'),
      number('toolstack', 'handle', [0, 65535], 'its number in the guest'),
    ]),
    ...from('netif.h', [
      number('toolstack', 'mtu', [68, 65535], 'the largest packet, in bytes', '1500'),
      perQueue(number('frontend', 'tx-ring-ref', [0, GREF_MAX], 'what the guest sends')),
      perQueue(number('frontend', 'rx-ring-ref', [0, GREF_MAX], 'what the guest receives')),
      perQueue(number('frontend', 'event-channel', [1, PORT_MAX], 'the port for both')),
      perQueue(
        number('frontend', 'event-channel-tx', [1, PORT_MAX], 'with feature-split-event-channels, instead'),
      ),
      perQueue(
        number('frontend', 'event-channel-rx', [1, PORT_MAX], 'with feature-split-event-channels, instead'),
      ),
      number('frontend', 'multi-queue-num-queues', [1, 64], 'at most what the backend offers', '1'),
      flag('frontend', 'request-rx-copy', 'must be 1: nobody flips pages any more'),
      flag('frontend', 'feature-rx-notify', 'posting receive buffers notifies; 0: the backend has to look'),
      flag('frontend', 'feature-sg', 'packets of several slots may be sent to the guest'),
      flag('frontend', 'feature-gso-tcpv4', 'large TCP packets may be sent to the guest'),
      flag('frontend', 'feature-gso-tcpv6', 'large TCP packets may be sent to the guest'),
      flag('frontend', 'feature-gso-tcpv4-prefix', 'the older form, with a slot in front'),
      flag('frontend', 'feature-gso-tcpv6-prefix', 'the older form, with a slot in front'),
      flag('frontend', 'feature-no-csum-offload', 'IPv4 checksums have to be there'),
      flag('frontend', 'feature-ipv6-csum-offload', 'IPv6 checksums may be blank'),
      flag('frontend', 'request-multicast-control', 'filter multicast'),
      number('frontend', 'ctrl-ring-ref', [0, GREF_MAX], 'the control ring', 'none'),
      number('frontend', 'event-channel-ctrl', [1, PORT_MAX], 'its port', 'none'),
    ]),
    ...from('linux', [number('frontend', 'xdp-headroom', [0, 32767], 'bytes in front of each packet', '0')]),
  ],
};

/** What a backend has published, by which a frontend's answer is measured. */
export interface VifOffer {
  readonly maxQueues: number;
  readonly splitEventChannels: boolean;
  readonly ctrlRing: boolean;
}

/** One pair of rings; without split event channels both ports are the same. */
export interface VifQueue {
  readonly txRingRef: number;
  readonly rxRingRef: number;
  readonly txEventChannel: number;
  readonly rxEventChannel: number;
}

/** What one end can do, or wants; both ends say so with the same keys. */
export interface VifFeatures {
  readonly sg: boolean;
  readonly gsoTcpv4: boolean;
  readonly gsoTcpv6: boolean;
  readonly ipv4CsumOffload: boolean;
  readonly ipv6CsumOffload: boolean;
}

/** What a frontend asks for, checked against the offer. */
export interface VifFrontKeys {
  readonly queues: readonly VifQueue[];
  readonly features: VifFeatures;
  readonly gsoTcpv4Prefix: boolean;
  readonly gsoTcpv6Prefix: boolean;
  readonly rxNotify: boolean;
  readonly multicastControl: boolean;
  readonly ctrl: { readonly ringRef: number; readonly eventChannel: number } | undefined;
  /** Bytes. */
  readonly xdpHeadroom: number;
}

/** Reads a frontend's directory, for a backend. */
export function* readVifFront(offer: VifOffer): KeyReader<VifFrontKeys> {
  const check = new Checker();
  if (!check.flag('request-rx-copy', yield 'request-rx-copy'))
    check.fail('request-rx-copy', 'not 1, and pages are not flipped');
  const count = check.number('multi-queue-num-queues', yield 'multi-queue-num-queues', 1, offer.maxQueues, 1);
  const queues: VifQueue[] = [];
  for (let queue = 0; queue < count && check.ok; queue++)
    queues.push(yield* readQueue(check, offer, count === 1 ? '' : `queue-${queue}/`));
  const features = yield* readFeatures(check);
  const keys = {
    queues,
    features,
    gsoTcpv4Prefix: check.flag('feature-gso-tcpv4-prefix', yield 'feature-gso-tcpv4-prefix'),
    gsoTcpv6Prefix: check.flag('feature-gso-tcpv6-prefix', yield 'feature-gso-tcpv6-prefix'),
    rxNotify: check.flag('feature-rx-notify', yield 'feature-rx-notify'),
    multicastControl: check.flag('request-multicast-control', yield 'request-multicast-control'),
    xdpHeadroom: check.number('xdp-headroom', yield 'xdp-headroom', 0, 0x7fff, 0),
  };
  const ctrlRef = offer.ctrlRing ? yield 'ctrl-ring-ref' : undefined;
  if (ctrlRef === undefined) return check.result({ ...keys, ctrl: undefined });
  const ringRef = check.gref('ctrl-ring-ref', ctrlRef);
  const eventChannel = check.port('event-channel-ctrl', yield 'event-channel-ctrl');
  return check.result({ ...keys, ctrl: { ringRef, eventChannel } });
}

function* readQueue(
  check: Checker,
  offer: VifOffer,
  at: string,
): Generator<string, VifQueue, string | undefined> {
  const txRingRef = check.gref(`${at}tx-ring-ref`, yield `${at}tx-ring-ref`);
  const rxRingRef = check.gref(`${at}rx-ring-ref`, yield `${at}rx-ring-ref`);
  const split = offer.splitEventChannels ? yield `${at}event-channel-tx` : undefined;
  if (split === undefined) {
    const port = check.port(`${at}event-channel`, yield `${at}event-channel`);
    return { txRingRef, rxRingRef, txEventChannel: port, rxEventChannel: port };
  }
  const txEventChannel = check.port(`${at}event-channel-tx`, split);
  const rxEventChannel = check.port(`${at}event-channel-rx`, yield `${at}event-channel-rx`);
  return { txRingRef, rxRingRef, txEventChannel, rxEventChannel };
}

function* readFeatures(check: Checker): Generator<string, VifFeatures, string | undefined> {
  return {
    sg: check.flag('feature-sg', yield 'feature-sg'),
    gsoTcpv4: check.flag('feature-gso-tcpv4', yield 'feature-gso-tcpv4'),
    gsoTcpv6: check.flag('feature-gso-tcpv6', yield 'feature-gso-tcpv6'),
    ipv4CsumOffload: !check.flag('feature-no-csum-offload', yield 'feature-no-csum-offload'),
    ipv6CsumOffload: check.flag('feature-ipv6-csum-offload', yield 'feature-ipv6-csum-offload'),
  };
}

/** What the toolstack has ordered. */
export interface VifOrder {
  readonly mac: readonly number[];
  readonly handle: number;
  readonly mtu: number;
  /** Empty: none is named. */
  readonly bridge: string;
  /** Empty: none is named. */
  readonly vifname: string;
  readonly rate: { readonly bytes: number; readonly microseconds: number } | undefined;
}

/** Reads the own directory, for a backend. */
export function* readVifOrder(): KeyReader<VifOrder> {
  const check = new Checker();
  const mac = yield 'mac';
  const bytes = parseMac(mac ?? '');
  if (bytes === undefined)
    check.fail('mac', mac === undefined ? 'missing' : `${quoted(mac)} is not a MAC address`);
  return check.result({
    mac: bytes ?? [],
    handle: check.number('handle', yield 'handle', 0, 0xffff),
    mtu: check.number('mtu', yield 'mtu', 68, 0xffff, 1500),
    bridge: check.text('bridge', yield 'bridge', 256, ''),
    vifname: check.text('vifname', yield 'vifname', 256, ''),
    rate: rateOf(check, yield 'rate'),
  });
}

function rateOf(check: Checker, text: string | undefined): VifOrder['rate'] {
  if (text === undefined) return undefined;
  const [bytes, microseconds, ...more] = text.split(',').map((part) => parseNumber(part, 0, 0xffff_ffff));
  if (bytes !== undefined && microseconds !== undefined && more.length === 0)
    return microseconds === 0 ? undefined : { bytes, microseconds };
  check.fail('rate', `${quoted(text)} is not bytes,microseconds`);
  return undefined;
}

/** What a backend offers, as its frontend sees it. */
export interface VifBackKeys {
  readonly features: VifFeatures;
  readonly rxCopy: boolean;
  readonly multicastControl: boolean;
  readonly dynamicMulticastControl: boolean;
  readonly splitEventChannels: boolean;
  readonly ctrlRing: boolean;
  readonly maxQueues: number;
}

/** Reads a backend's directory, for a frontend. */
export function* readVifBack(): KeyReader<VifBackKeys> {
  const check = new Checker();
  return check.result({
    features: yield* readFeatures(check),
    rxCopy: check.flag('feature-rx-copy', yield 'feature-rx-copy'),
    multicastControl: check.flag('feature-multicast-control', yield 'feature-multicast-control'),
    dynamicMulticastControl: check.flag(
      'feature-dynamic-multicast-control',
      yield 'feature-dynamic-multicast-control',
    ),
    splitEventChannels: check.flag('feature-split-event-channels', yield 'feature-split-event-channels'),
    ctrlRing: check.flag('feature-ctrl-ring', yield 'feature-ctrl-ring'),
    maxQueues: check.number('multi-queue-max-queues', yield 'multi-queue-max-queues', 1, 0xffff_ffff, 1),
  });
}
