/**
 * The shapes of what tells of domains, devices and the daemon, as JSON Schema.
 */
import { limit, strict, type TSchema, Type } from './schemas.ts';

const DOMID_MAX = 32_767;
const domid = Type.Integer({ minimum: 0, maximum: DOMID_MAX });
const state = Type.Integer({ minimum: 0, maximum: 8, description: 'XenbusState; 0: none.' });
const words = (description: string): TSchema => Type.Union([Type.String(), Type.Null()], { description });
const amount = (description: string): TSchema => Type.Union([Type.Integer(), Type.Null()], { description });

export const DomidParams: TSchema = Type.Object({ domid }, strict);
export interface DomidParams {
  readonly domid: number;
}

export const DevicesQuery: TSchema = Type.Object(
  {
    domid: Type.Optional(Type.Integer({ minimum: 0, maximum: DOMID_MAX, description: 'With an end there.' })),
  },
  strict,
);
export interface DevicesQuery {
  readonly domid?: number;
}

export const ListingQuery: TSchema = Type.Object(
  {
    domid: Type.Optional(
      Type.Integer({ minimum: 0, maximum: DOMID_MAX, description: "Only this domain's." }),
    ),
    limit: limit(10_000, 1_000),
  },
  { ...strict, required: [] },
);
export interface ListingQuery {
  readonly domid?: number;
  readonly limit: number;
}

export const TraceQuery: TSchema = Type.Object(
  {
    after: Type.Integer({ minimum: -1, default: -1, description: 'Only later ones than this number.' }),
    domid: Type.Optional(domid),
    limit: limit(10_000, 1_024),
  },
  { ...strict, required: [] },
);
export interface TraceQuery {
  readonly after: number;
  readonly domid?: number;
  readonly limit: number;
}

const Quota = Type.Object(
  {
    used: Type.Integer(),
    limit: amount('null: none.'),
    max: Type.Optional(Type.Integer({ description: 'The most that was ever seen.' })),
  },
  { ...strict, $id: 'Quota' },
);

const quota = Type.Optional(Type.Ref('Quota#'));
const quotas = {
  nodes: quota,
  watches: quota,
  outstanding: quota,
  memory: quota,
  transactions: quota,
  'transaction-nodes': quota,
  'node-permissions': quota,
  'path-max': quota,
  'node-size': quota,
};

const DeviceEnd = Type.Object(
  {
    domid: Type.Integer(),
    path: Type.String(),
    there: Type.Boolean({ description: 'Is there such a directory?' }),
    state,
    state_name: Type.String(),
    keys: Type.Record(Type.String(), Type.String(), {
      description: 'Values as text, by key relative to `path`; secrets are empty.',
    }),
    error: Type.Optional(Type.String({ description: 'What it says of its failure.' })),
  },
  { ...strict, $id: 'DeviceEnd' },
);

const Device = Type.Object(
  {
    kind: Type.String({ examples: ['vbd'] }),
    devid: Type.Integer(),
    frontend: Type.Ref('DeviceEnd#'),
    backend: Type.Ref('DeviceEnd#'),
    rings: Type.Object(
      {
        refs: Type.Record(Type.String(), Type.Integer(), { description: 'Grant references by key.' }),
        evtchn: Type.Record(Type.String(), Type.Integer(), { description: 'Ports by key.' }),
        protocol: Type.Optional(Type.String()),
      },
      strict,
    ),
  },
  { ...strict, $id: 'Device' },
);

export const Devices: TSchema = Type.Object(
  { devices: Type.Array(Type.Ref('Device#')) },
  { ...strict, $id: 'Devices' },
);

export const Domain: TSchema = Type.Object(
  {
    domid: Type.Integer(),
    name: words('null: it has none in the store.'),
    uuid: words('null: the toolstack did not say.'),
    introduced: Type.Union([Type.Boolean(), Type.Null()], {
      description: 'Does the store serve its ring? null: nobody can tell.',
    }),
    shutdown: words('What it was asked for last and has not taken up; null: nothing.'),
    memory: Type.Object({ target_kib: amount('null: unknown.'), max_kib: amount('null: unknown.') }, strict),
    devices: Type.Array(
      Type.Object(
        {
          kind: Type.String(),
          devid: Type.Integer(),
          role: Type.Union([Type.Literal('frontend'), Type.Literal('backend')]),
          other: Type.Integer({ description: "The other end's domain." }),
          state,
          other_state: state,
        },
        strict,
      ),
    ),
    quotas: Type.Optional(Type.Object(quotas, strict)),
  },
  { ...strict, $id: 'Domain' },
);

export const Domains: TSchema = Type.Object(
  { domains: Type.Array(Type.Ref('Domain#')) },
  { ...strict, $id: 'Domains' },
);

const DaemonReply: TSchema = Type.Object(
  {
    daemon: Type.String({ description: 'stubdom0, xenstored (the C daemon), oxenstored or unknown.' }),
    has: Type.Array(Type.String(), { description: 'What of /v1/daemon/... it tells.' }),
    statistics: Type.Optional(
      Type.Record(Type.String(), Type.Integer(), {
        description: 'Counted since its start, or as it stands.',
      }),
    ),
    watches: Type.Array(
      Type.Object({ path: Type.String(), readers: Type.Integer(), nodes: Type.Integer() }, strict),
      { description: 'Those that this service has set, how many streams hang on each, nodes in its mirror.' },
    ),
  },
  { ...strict, $id: 'Daemon' },
);

const whose = {
  domid: Type.Optional(Type.Integer({ description: 'Whose ring it is.' })),
  socket: Type.Optional(Type.Integer({ description: 'Or which socket: a number of the daemon.' })),
};
const count = Type.Optional(Type.Integer());
const flag = Type.Optional(Type.Boolean());

/** By the name of the listing: a row of it. */
export const rows: Readonly<Record<string, TSchema>> = {
  connections: Type.Object(
    {
      ...whose,
      requests: count,
      watches: count,
      transactions: count,
      unsent: count,
      outstanding: count,
      memory: count,
      nodes: count,
      credit: count,
      features: count,
      target: count,
      ignored: flag,
    },
    strict,
  ),
  watches: Type.Object({ ...whose, path: Type.String(), token: Type.String(), depth: count }, strict),
  transactions: Type.Object(
    {
      ...whose,
      transaction: Type.Integer(),
      nodes: count,
      age_ms: Type.Integer(),
      changed: flag,
      failed: flag,
    },
    strict,
  ),
  rings: Type.Object(
    {
      ...whose,
      status: Type.String({ description: 'served, or ignored for what the domain did to it.' }),
      mapped: Type.Boolean(),
      port: count,
      req_cons: count,
      req_prod: count,
      rsp_cons: count,
      rsp_prod: count,
      connection: count,
      error: count,
      requests_waiting: Type.Optional(Type.Integer({ description: 'Bytes.' })),
      replies_waiting: Type.Optional(Type.Integer({ description: 'Bytes.' })),
    },
    strict,
  ),
  quotas: Type.Object({ ...whose, ...quotas }, strict),
  refusals: Type.Object(
    {
      ...whose,
      op: Type.String(),
      errno: Type.String(),
      count: Type.Integer({ description: 'How often.' }),
      age_ms: Type.Integer({ description: 'Since the last time.' }),
      path: Type.String({ description: 'The first argument, as text.' }),
    },
    strict,
  ),
};

const TraceReply: TSchema = Type.Object(
  {
    entries: Type.Array(
      Type.Object(
        {
          seq: Type.Integer(),
          age_ms: Type.Integer(),
          domid: Type.Integer({ description: 'Who.' }),
          connection: Type.Integer({ description: 'Tells sockets apart; 0: the daemon itself.' }),
          what: Type.String({ description: 'write, create, rm, perms, gone; commit: `path` is its number.' }),
          path: Type.String(),
          value: Type.Optional(
            Type.String({ description: 'Of a node called `state`: the digit that it held then.' }),
          ),
        },
        strict,
      ),
      { description: 'Oldest first.' },
    ),
    next: Type.Integer({ description: 'Ask again with `after` set to this.' }),
  },
  { ...strict, $id: 'Trace' },
);

/** Named in the OpenAPI document. */
export const inspected: readonly TSchema[] = [
  Quota,
  DeviceEnd,
  Device,
  Devices,
  Domain,
  Domains,
  DaemonReply,
  TraceReply,
];
