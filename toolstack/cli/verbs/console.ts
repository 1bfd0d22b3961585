/** `console`: the words of it. How a terminal is joined stands in cli/console.ts. */
import { Fault } from '../../io/fault.ts';
import { joinConsole } from '../console.ts';
import { domainOf } from '../domains.ts';
import type { Verb } from '../verb.ts';

export const console: Verb = {
  name: 'console',
  summary: "join a domain's console",
  synopsis: '[options] <Domain>',
  description: [
    'Joins your terminal and the console of the domain. Ctrl-] leaves it. It ends with the domain; a domain that is made anew is joined anew by hand.',
    'What the guest said before is in the logs directory of the host, logs/console/guest-NAME.log.',
  ],
  choices: [
    { flags: '-t <type>', text: 'pv, the default, or serial: the port that a device model emulates.' },
    { flags: '-n <number>', text: 'Which of several; default: 0.' },
    { flags: '-e <escape>', text: 'Another character than ] to leave by, with Ctrl.' },
  ],
  examples: [['console carol', 'Try "help" there.']],
  words: [1, 1],
  kinds: ['domain'],
  run: async ({ words: [ref = ''], flags }, session) => {
    const type = flags.t ?? 'pv';
    if (type !== 'pv' && type !== 'serial') {
      session.err('console type supported are: pv, serial\n');
      return 1;
    }
    const number = flags.n ?? '0';
    if (typeof number !== 'string' || !/^\d{1,4}$/.test(number)) {
      throw new Fault(`console: -n takes a number, not ${number}`, { kind: 'usage' });
    }
    const { domid } = await domainOf(session, ref);
    const leaving = typeof flags.e === 'string' ? { escape: flags.e.replace(/^\^/, '') } : {};
    return await joinConsole(session, String(domid), { type, number: Number(number), ...leaving });
  },
};
