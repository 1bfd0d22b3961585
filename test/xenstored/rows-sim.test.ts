/** The store's conformance rows on the whole daemon: over its socket and its rings, on a simulated machine, in memory and on disk. */
import { startSim, startSimOnDisk } from '../conformance/simhost.ts';
import { storeSuite } from '../conformance/store.ts';

const everything = { column: 'ours', rings: true, pages: true, options: true } as const;

storeSuite('ours, the daemon on a simulated machine', startSim, everything);
storeSuite('ours, with a database', startSimOnDisk, everything);
