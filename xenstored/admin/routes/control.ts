/**
 * Control commands for the daemon itself, of a list of allowed ones.
 */
import { Control } from '../changeschemas.ts';
import { answer, failures, type Routes, storeFailures } from '../context.ts';
import { checkCommand } from '../control.ts';

export const controlRoutes: Routes = (app, { store, control }) => {
  app.post<{ Body: Control }>(
    '/v1/control',
    {
      config: { writes: true },
      schema: {
        tags: ['daemon'],
        operationId: 'postControl',
        summary: 'A command for the daemon, as `xenstore control` gives it',
        body: Control,
        response: {
          200: answer('ControlReply', "The daemon's answer"),
          ...failures([
            ...storeFailures,
            'audit_unavailable',
            'control_not_allowed',
            'not_offered',
            'store_refused',
            'too_large',
            'unsupported_media_type',
            'write_token_needed',
          ]),
        },
      },
    },
    async (request) => {
      const { command, args } = request.body;
      request.audited = { command, args };
      checkCommand(command, control);
      return { text: await store.control(command, args) };
    },
  );
};
