/**
 * Figures for Prometheus.
 */
import { failures, type Routes } from '../context.ts';
import { Metrics } from '../metrics.ts';
import { Type } from '../schemas.ts';

export const metricsRoutes: Routes = (app, context) => {
  const metrics = new Metrics(context);
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        summary: 'Figures in the text format of Prometheus',
        produces: ['text/plain'],
        response: { 200: Type.String(), ...failures([]) },
      },
    },
    async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );
};
