/**
 * The keys of a socket device (PV Calls): what stands in both directories, by whom and within what range (xen/docs/misc/pvcalls.pandoc and what
 * libxl writes), and the readers that check the peer's. Commands, sockets and rings are for netback/xensock.
 */
import { commonBackendKeys, commonFrontendKeys, type DeviceKeys, flag, from, number, text } from './keys.ts';
import { Checker, GREF_MAX, type KeyReader, PORT_MAX, quoted } from './value.ts';

/** The only version there is. */
export const PVCALLS_VERSION = '1';

/** Of a data ring: an index page has room for 2^9 references. */
export const MAX_PAGE_ORDER = 9;

export const pvcallsKeys: DeviceKeys = {
  backend: [
    ...commonBackendKeys,
    ...from('pvcalls.pandoc', [
      text('backend', 'versions', 'the versions that are spoken, separated by commas: "1"'),
      number('backend', 'max-page-order', [1, MAX_PAGE_ORDER], 'the largest data ring, as a power of two'),
      number('backend', 'function-calls', [0, 1], '1: all seven commands', '0'),
    ]),
    ...from('stubdom0', [
      flag('backend', 'feature-xensock', 'the extension of netback/xensock/EXTENSION.md is offered'),
    ]),
  ],
  frontend: [
    ...commonFrontendKeys,
    ...from('pvcalls.pandoc', [
      text('frontend', 'version', 'the one that was chosen: "1"'),
      number('frontend', 'ring-ref', [0, GREF_MAX], 'the ring of commands'),
      number('frontend', 'port', [1, PORT_MAX], 'its event channel'),
    ]),
    ...from('stubdom0', [flag('frontend', 'feature-xensock', 'the extension is going to be used')]),
  ],
};

/** What a frontend asks for. */
export interface PvcallsFrontKeys {
  readonly ringRef: number;
  readonly port: number;
  /** The frontend speaks the extension. */
  readonly extended: boolean;
}

/** Reads a frontend's directory, for a backend. `extension`: it has been offered. */
export function* readPvcallsFront(offer: { readonly extension: boolean }): KeyReader<PvcallsFrontKeys> {
  const check = new Checker();
  const version = yield 'version';
  if (version !== PVCALLS_VERSION)
    check.fail('version', version === undefined ? 'missing' : `${quoted(version)} is not spoken here`);
  const ringRef = check.gref('ring-ref', yield 'ring-ref');
  const port = check.port('port', yield 'port');
  const extended = check.flag('feature-xensock', yield 'feature-xensock') && offer.extension;
  return check.result({ ringRef, port, extended });
}

/** What a backend offers, as its frontend sees it. */
export interface PvcallsBackKeys {
  readonly maxPageOrder: number;
  readonly extension: boolean;
}

/** Reads a backend's directory, for a frontend. */
export function* readPvcallsBack(): KeyReader<PvcallsBackKeys> {
  const check = new Checker();
  const versions = yield 'versions';
  if (!(versions ?? '').split(',').some((version) => version.trim() === PVCALLS_VERSION))
    check.fail('versions', versions === undefined ? 'missing' : `${quoted(versions)} does not have 1`);
  const maxPageOrder = check.number('max-page-order', yield 'max-page-order', 1, GREF_MAX);
  check.number('function-calls', yield 'function-calls', 1, 1);
  const extension = check.flag('feature-xensock', yield 'feature-xensock');
  return check.result({ maxPageOrder: Math.min(maxPageOrder, MAX_PAGE_ORDER), extension });
}
