/** Commands that look at the host, and convert between domains' names and numbers. */
import { Fault } from '../../io/fault.ts';
import { domainsOf, isNumber } from '../domains.ts';
import { atLeast } from '../roles.ts';
import { infoText, printable } from '../tables.ts';
import { json, type Verb } from '../verb.ts';

const info: Verb = {
  name: 'info',
  summary: 'get information about the host',
  synopsis: '[options] [Name]',
  description: [
    'Shows what the host is: its processors, its memory in MiB, its hypervisor. With a name, only what is behind names that begin so.',
  ],
  choices: [{ flags: '-n, --numa', text: 'With the NUMA topology, where there is one.' }, json],
  examples: [
    ['info', 'Everything.'],
    ['info free_memory', 'MiB that are free.'],
  ],
  words: [0, 1],
  kinds: ['free'],
  run: async ({ words, flags }, session) => {
    const { fields } = await session.toolstack.info();
    const [name] = words;
    const shown = fields.filter(([key]) => name === undefined || key.startsWith(name));
    session.out(
      flags.json
        ? `${JSON.stringify(Object.fromEntries(shown), undefined, 2)}\n`
        : infoText(fields, flags.numa ? undefined : name),
    );
    return 0;
  },
};

const domid: Verb = {
  name: 'domid',
  summary: "convert a domain's name to its number",
  synopsis: '<DomainName>',
  description: ['Prints the number of the domain of that name.'],
  choices: [],
  examples: [['domid carol', '9, for example.']],
  words: [1, 1],
  kinds: ['domain'],
  run: async ({ words: [name = ''] }, session) => {
    const found = (await domainsOf(session)).find((domain) => domain.name === name);
    if (found === undefined) {
      session.err(`Can't get domid of domain name '${name}', maybe this domain does not exist.\n`);
      return 1;
    }
    session.out(`${found.domid}\n`);
    return 0;
  },
};

const domname: Verb = {
  name: 'domname',
  summary: "convert a domain's number to its name",
  synopsis: '<DomainId>',
  description: ['Prints the name of the domain of that number.'],
  choices: [],
  examples: [['domname 0', 'Domain-0.']],
  words: [1, 1],
  kinds: ['free'],
  run: async ({ words: [id = ''] }, session) => {
    if (!isNumber(id)) {
      session.err('Invalid domain id.\n');
      return 1;
    }
    const found = (await domainsOf(session)).find((domain) => domain.domid === Number(id));
    if (found === undefined) {
      session.err(`Can't get domain name of domain id '${Number(id)}', maybe this domain does not exist.\n`);
      return 1;
    }
    session.out(`${printable(found.name)}\n`);
    return 0;
  },
};

const dmesg: Verb = {
  name: 'dmesg',
  summary: "read the hypervisor's messages",
  synopsis: '[-c]',
  description: ["Prints what is kept of the hypervisor's console."],
  choices: [{ flags: '-c', text: 'And clears it. Over SSH that needs a key of role admin.' }],
  examples: [],
  words: [0, 0],
  kinds: [],
  run: async ({ flags }, session) => {
    if (flags.c && !atLeast(session.role, 'admin')) throw new Fault('dmesg -c needs the role admin');
    const text = await session.toolstack.dmesg(flags.c ? 'clear' : 'keep');
    const lines = text.split('\n').map(printable).join('\n');
    session.out(lines === '' || lines.endsWith('\n') ? lines : `${lines}\n`);
    return 0;
  },
};

export const infoVerbs: readonly Verb[] = [info, domid, domname, dmesg];
