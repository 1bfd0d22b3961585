/**
 * Domains and their devices.
 */
import { type Context, failures, type Routes, storeFailures } from '../context.ts';
import { type Device, devicesOf } from '../devices.ts';
import { type Domain, domainsOf } from '../domains.ts';
import { AdminError } from '../errors.ts';
import { DevicesQuery, DomidParams, inspected } from '../inspectschemas.ts';
import { readerOf } from '../reader.ts';

const HOMES = '/local/domain';

export const domainRoutes: Routes = (app, context) => {
  for (const schema of inspected) app.addSchema(schema);

  app.get(
    '/v1/domains',
    {
      schema: {
        operationId: 'getDomains',
        summary: 'Domains that have a home in the store, with their devices in short',
        response: { 200: { $ref: 'Domains#' }, ...failures(storeFailures) },
      },
    },
    async () => ({ domains: await domains(context) }),
  );

  app.get<{ Params: DomidParams }>(
    '/v1/domains/:domid',
    {
      schema: {
        operationId: 'getDomain',
        summary: 'One of them',
        params: DomidParams,
        response: { 200: { $ref: 'Domain#' }, ...failures([...storeFailures, 'no_such_domain']) },
      },
    },
    async ({ params: { domid } }) => {
      const [domain] = await domains(context, domid);
      if (domain === undefined)
        throw new AdminError('no_such_domain', `domain ${domid} has no home in the store`);
      return domain;
    },
  );

  app.get<{ Querystring: DevicesQuery }>(
    '/v1/devices',
    {
      schema: {
        operationId: 'getDevices',
        summary: 'Devices as pairs of a frontend and a backend, with states, keys, rings',
        querystring: DevicesQuery,
        response: { 200: { $ref: 'Devices#' }, ...failures(storeFailures) },
      },
    },
    async ({ query: { domid } }) => ({ devices: await devices(context, domid) }),
  );
};

async function devices({ live, store, secrets }: Context, domid?: number): Promise<Device[]> {
  return await devicesOf(await readerOf(live, store, HOMES), secrets, domid);
}

async function domains(context: Context, domid?: number): Promise<Domain[]> {
  const { live, store, secrets, inspect } = context;
  const reader = await readerOf(live, store, HOMES);
  const [found, quotas] = await Promise.all([
    devicesOf(reader, secrets, domid),
    inspect.listing('quotas', ROWS_MAX, domid).then(
      ({ rows }) => rows,
      () => undefined,
    ),
  ]);
  const introduced = (id: number): Promise<boolean | null> => store.introduced(id).catch(() => null);
  return await domainsOf({ reader, devices: found, introduced, quotas }, domid);
}

const ROWS_MAX = 10_000;
