/**
 * What rows cannot show of the `xenstore` commands: time, terminals, lost connections, the conversation of a live update.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { escapeValue, toBytes, unescapeValue } from '../../xenstored/cli/bytes.ts';
import type { Program } from '../../xenstored/cli/program.ts';
import { xenstore } from '../../xenstored/cli/xenstore.ts';
import { at } from '../../xenstored/client/address.ts';
import { type Client, type Connector, connect, XenstoreError } from '../../xenstored/client/index.ts';
import { Session } from '../../xenstored/client/session.ts';
import { Op } from '../../xenstored/wire/ops.ts';
import { SocketServer } from './client-server.ts';

/** A command that is running, and what it has said so far. */
class Running {
  out = '';
  err = '';
  readonly code: Promise<number>;
  #heard = (): void => {};

  constructor(typed: string, surroundings: Pick<Program, 'connect' | 'openSession'> & Partial<Program>) {
    const [argv0 = '', ...args] = typed.split(' ');
    this.code = xenstore({
      argv0,
      args,
      word: undefined,
      columns: undefined,
      out: (text) => {
        this.out += text;
        this.#heard();
      },
      err: (text) => {
        this.err += text;
      },
      ...surroundings,
    });
  }

  async said(text: string): Promise<void> {
    while (this.out !== text) {
      expect(text.startsWith(this.out)).toBe(true);
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }
}

describe('on a store', () => {
  let server: SocketServer;
  let store: Client;

  beforeEach(async () => {
    server = await SocketServer.start();
    store = await connect({ path: server.path });
  });
  afterEach(async () => {
    await store.close();
    await server.stop();
  });

  const run = (typed: string, surroundings: Partial<Program> = {}): Running =>
    new Running(typed, {
      connect: () => connect({ path: server.path, lost: 'end' }),
      openSession: (user) => Session.open(at(server.path), user),
      ...surroundings,
    });

  it('watch prints each event as it comes, the same ones too', async () => {
    const watching = run('xenstore-watch -n 4 /a');
    await watching.said('/a\n');
    await store.write('/a', '1');
    await watching.said('/a\n/a\n');
    await Promise.all([store.write('/a/b', '1'), store.write('/a', '2')]);
    expect(await watching.code).toBe(0);
    expect(watching.out).toBe('/a\n/a\n/a/b\n/a\n');
  });

  it('watch counts levels', async () => {
    const watching = run('xenstore watch -d 1 -n 2 /a');
    await watching.said('/a\n');
    await store.write('/a/b/c', '');
    await store.write('/a/d', '');
    expect(await watching.code).toBe(0);
    expect(watching.out).toBe('/a\n/a/d\n');
  });

  it('watch ends when the daemon does', async () => {
    const watching = run('xenstore-watch /a');
    await watching.said('/a\n');
    await server.hangUp();
    expect(await watching.code).toBe(1);
    expect(watching.err).toBe('xenstore-watch: xs_read_watch: Bad file descriptor\n');
  });

  it('chmod reaches up and down', async () => {
    await store.write('/a/b/c/d', '');
    expect(await run('xenstore-chmod -u /a/b n0 r1').code).toBe(0);
    expect(await run('xenstore-chmod --recurse /a/b/c n0 w2').code).toBe(0);
    const listing = run('xenstore-ls -fp /');
    expect(await listing.code).toBe(0);
    expect(listing.out.split('\n').filter((line) => line.startsWith('/a'))).toEqual([
      '/a = ""   (n0,r1)',
      '/a/b = ""   (n0,r1)',
      '/a/b/c = ""   (n0,w2)',
      '/a/b/c/d = ""   (n0,w2)',
    ]);
  });

  it('ls fits its lines to the terminal', async () => {
    await store.write('/a/name', 'abcdefghijklmnopqrstuvwxyz');
    await store.write('/a/a-name-that-is-too-long-itself', '');
    const narrow = run('xenstore-ls /a', { columns: 30 });
    expect(await narrow.code).toBe(0);
    expect(narrow.out).toBe('name = "abcdefghijklmnop\\..."\na-name-that-is-too-l = ""\n');
    // A terminal that does not know its size.
    const none = run('xenstore-ls /a', { columns: 0 });
    await none.code;
    expect(none.out).toBe('name = "abcdefghijklmnopqrstuvwxyz"\na-name-that-is-too-long-itself = ""\n');
  });

  it('ls shows more children than one message holds', async () => {
    const names = Array.from({ length: 700 }, (_, n) => `child-${String(n).padStart(3, '0')}`);
    await Promise.all(names.map((name) => store.write(`/a/${name}`, name)));
    const listing = run('xenstore-ls /a');
    expect(await listing.code).toBe(0);
    expect(listing.out).toBe(names.map((name) => `${name} = "${name}"\n`).join(''));
  });

  it('a transaction that somebody came in between of is run again, and prints once', async () => {
    await store.write('/a', 'old');
    await store.write('/b', '');
    let ends = 0;
    // Another writes between the reading and the first end.
    const meddling: Connector = {
      name: 'meddling',
      connect: async (user) => {
        const transport = await at(server.path).connect(user);
        return {
          close: () => transport.close(),
          send: (message) => {
            if (message.readUInt32LE(0) !== Op.TRANSACTION_END || ++ends > 1) transport.send(message);
            else void store.write('/a', 'new').then(() => transport.send(message));
          },
        };
      },
    };
    const removing = run('xenstore-rm /a', { connect: () => connect({ connector: meddling }) });
    expect([await removing.code, ends, removing.err]).toEqual([0, 2, '']);
    expect(await store.exists('/a')).toBe(false);
  });

  it('says why there is no store', async () => {
    const nowhere = { connect: () => connect({ path: '/nowhere' }) };
    const openSession: Program['openSession'] = (user) => Session.open(at('/nowhere'), user);
    const reading = run('xenstore-read /a', nowhere);
    expect([await reading.code, reading.err]).toEqual([
      1,
      'xenstore-read: xs_open: No such file or directory\n',
    ]);
    const watching = run('xenstore watch /a', { openSession });
    expect([await watching.code, watching.err]).toEqual([
      1,
      'xenstore: xs_open: No such file or directory\n',
    ]);
    const controlling = run('xenstore control check', nowhere);
    expect([await controlling.code, controlling.err]).toEqual([1, 'Failed to contact Xenstored.\n']);
  });

  it('control tells what there is, asked for what there is not', async () => {
    const controlling = run('xenstore control nothing');
    expect(await controlling.code).toBe(3);
    expect(controlling.err).toMatch(/^Command not supported. Valid commands are:\ncheck /);
    expect(controlling.out).toBe('');
  });
});

describe('values', () => {
  it('come back from what is shown of them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const value = Buffer.from(bytes).toString('latin1');
        expect(escapeValue(value)).toMatch(/^[ -~]*$/);
        expect(unescapeValue(escapeValue(value))).toBe(value);
      }),
    );
  });
});

describe('a live update', () => {
  /** A daemon that gives these answers, in this order, and keeps what it was asked. */
  function daemon(answers: readonly string[], stubdom: boolean = false) {
    const asked: string[] = [];
    const left = [...answers];
    const client: Pick<Client, 'control' | 'exists' | 'close'> = {
      control: (command, ...args) => {
        const words = args.map((arg) =>
          typeof arg === 'string' ? arg : Buffer.from(arg).toString('latin1'),
        );
        asked.push([command, ...words].join(' '));
        const answer = left.shift() ?? 'OK';
        return /^E[A-Z]+$/.test(answer)
          ? Promise.reject(new XenstoreError(answer, 'CONTROL', command))
          : Promise.resolve(answer);
      },
      exists: () => Promise.resolve(stubdom),
      close: () => Promise.resolve(),
    };
    const update = (typed: string): Running =>
      new Running(`xenstore-control live-update ${typed}`, {
        connect: () => Promise.resolve(client as Client),
        openSession: () => Promise.reject(new Error('not asked for')),
      });
    return { asked, update };
  }

  it('names the binary, the command line, and starts', async () => {
    const { asked, update } = daemon([]);
    expect(await update('-c cmd -t 10 -F -v 1 /bin/new').code).toBe(0);
    expect(asked).toEqual(['live-update -f /bin/new', 'live-update -c cmd', 'live-update -s -t 10 -F -v 1']);
  });

  it.each([
    ['the binary', ['File not executable.'], 'Setting update binary failed:\nFile not executable.\n', false],
    ['the binary, by an error', ['EINVAL'], 'Setting update binary failed:\nInvalid argument\n', false],
    ['the command line', ['OK', 'no'], 'Setting update binary failed:\nno\n', true],
    [
      'the start',
      ['OK', 'OK', 'Overlapping transactions'],
      'Starting live update failed:\nOverlapping transactions\n',
      true,
    ],
  ])('says so when %s is refused, and gives up what it began', async (_, answers, err, aborts) => {
    const { asked, update } = daemon(answers);
    const updating = update('-c cmd /bin/new');
    expect([await updating.code, updating.err]).toEqual([3, err]);
    expect(asked.at(-1) === 'live-update -a').toBe(aborts);
  });

  it('has no time at all with a timeout of 0', async () => {
    const { asked, update } = daemon([]);
    const updating = update('-t 0 /bin/new');
    expect([await updating.code, updating.err]).toEqual([3, 'Starting live update failed:\nBUSY\n']);
    expect(asked).toEqual(['live-update -f /bin/new', 'live-update -a']);
  });

  it('sends a stub domain its image in pieces', async () => {
    const { asked, update } = daemon([], true);
    const image = import.meta.filename;
    expect(await update(image).code).toBe(0);
    const pieces = asked.slice(1, -1);
    expect(asked[0]).toMatch(/^live-update -b \d+$/);
    const size = Number(asked[0]!.split(' ')[2]);
    expect(pieces).toHaveLength(Math.ceil(size / 2048));
    const sent = pieces.map((piece) => piece.replace(/^live-update -d \d+ /, '')).join('');
    expect(toBytes(sent)).toHaveLength(size);
  });

  it('asks for what is missing', async () => {
    const updating = daemon([]).update('-v');
    expect([await updating.code, updating.err]).toEqual([2, 'Missing version value\n']);
  });
});
