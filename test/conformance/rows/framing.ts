/** Headers, sizes and the order in which a request is refused (docs/misc/xenstore.txt, xs_wire.h). */
import { encodeMessage } from '../../../xenstored/wire/frame.ts';
import { Op } from '../../../xenstored/wire/ops.ts';
import { bytes } from '../play.ts';
import { at, type Chapter, type Row } from '../row.ts';

const read = (reqId: number, path: string): Buffer => encodeMessage(Op.READ, reqId, 0, bytes(path));

/** A header that claims `len` bytes, and the bytes that follow it. */
function claims(len: number, payload = ''): Buffer {
  const message = encodeMessage(Op.READ, 9, 0, bytes(payload));
  message.writeUInt32LE(len, 12);
  return message;
}

const unknown: Row[] = [15, 16, 20, 27, 99, 0xffff, 0x7fffffff, 0xffffffff].map((type) => ({
  title: `type ${type} has no handler`,
  steps: [
    ['dom0', 'RAW', encodeMessage(type, 7, 0, bytes('/|')), '!ENOSYS'],
    ['dom0', 'READ', '/|', ''],
    ['d1', 'RAW', encodeMessage(type, 7, 0, bytes('/|')), '!ENOSYS'],
  ],
}));

const oversize: Row[] = [4097, 5000, 0x40000000, 0x7fffffff, 0x80000000, 0xffffffff].map((len) => ({
  title: `a socket that announces ${len} bytes is closed, and no other`,
  skip: { ox: 'clamps the length and loses step' },
  steps: [
    ['sock1', 'READ', '/|', ''],
    ['sock1', 'RAW', claims(len, '/|'), '<closed>'],
    ['sock2', 'READ', '/|', ''],
  ],
}));

export const framing: Chapter = {
  title: 'framing',
  rows: [
    ...unknown,
    ...oversize,
    {
      title: 'a payload of 4096 bytes is in order',
      steps: [
        ['dom0', 'WRITE', `/a|${'x'.repeat(2000)}`, 'OK|'],
        ['dom0', 'READ', `/a|${'x'.repeat(4093)}`, at('!EINVAL', { c417: /^!/ })],
        ['dom0', 'READ', '/a|', 'x'.repeat(2000)],
      ],
    },
    {
      title: 'an empty payload is processed at once',
      skip: { c417: 'an assertion ends the daemon', ox: '4.17 waits for more bytes' },
      steps: [
        ['dom0', 'READ', '', '!EINVAL'],
        ['dom0', 'TRANSACTION_START', '', '<t>'],
        ['d1', 'WATCH', '', '!EINVAL'],
      ],
    },
    {
      title: 'a request cut into single bytes is put together',
      steps: [
        ['dom0', 'WRITE', '/a|v', 'OK|'],
        ...[...read(3, '/a|')]
          .slice(0, -1)
          .map((byte) => ['d1', 'RAW', Buffer.from([byte]), '<silence>'] as const),
        ['d1', 'RAW', Buffer.from([0]), '!EACCES'],
      ],
    },
    {
      title: 'two requests in one piece get two replies, in order',
      steps: [
        ['dom0', 'WRITE', '/a|1', 'OK|'],
        ['dom0', 'WRITE', '/b|2', 'OK|'],
        ['dom0', 'RAW', Buffer.concat([read(1, '/a|'), read(2, '/b|')]), ['1', '2']],
        [
          'd1',
          'RAW',
          Buffer.concat([read(1, '/a|'), read(2, '/none|')]),
          at(['!EACCES', '!EACCES'], { ox: ['!EACCES', '!ENOENT'] }),
        ],
      ],
    },
    {
      title: 'replies already due are delivered when a later message is malformed',
      skip: { chead: 'queued replies are lost', c417: 'queued replies are lost', ox: 'clamps the length' },
      steps: [
        ['dom0', 'WRITE', '/a|1', 'OK|'],
        ['sock1', 'RAW', Buffer.concat([read(1, '/a|'), read(2, '/a|'), claims(9000)]), '1'],
        ['sock1', 'REPLY', '1'],
        ['sock1', 'REPLY', '<closed>'],
      ],
    },
    {
      title: 'a client that stops in the middle of a request blocks nobody',
      skip: { chead: 'the daemon blocks in read()', c417: 'the daemon blocks in read()' },
      steps: [
        ['sock1', 'READ', '/|', ''],
        ['sock1', 'RAW', read(1, '/tool|').subarray(0, 18), '<silence>'],
        ['sock2', 'READ', '/|', ''],
        ['d1', 'GET_DOMAIN_PATH', '1|', '/local/domain/1|'],
        ['sock1', 'RAW', read(1, '/tool|').subarray(18), ''],
      ],
    },
    {
      title: 'req_id and tx_id are echoed, also in errors',
      steps: [
        ['dom0', 'READ', '/none|', '!ENOENT'],
        ['dom0:7', 'READ', '/|', at('!ENOENT', { ox: '!EIO' })],
        ['dom0:4294967295', 'WRITE', '/a|', at('!ENOENT', { ox: '!EIO' })],
      ],
    },
    {
      title: 'no handler comes before privilege, privilege before transaction, transaction before arguments',
      steps: [
        ['d1:77', 'RAW', encodeMessage(20, 7, 77, bytes('x')), at('!ENOSYS', { ox: '!EIO' })],
        ['d1:77', 'INTRODUCE', 'junk', at('!EACCES', { ox: '!EIO' })],
        ['d1', 'INTRODUCE', 'junk', '!EACCES'],
        ['d1:77', 'GET_DOMAIN_PATH', 'junk', at('!ENOENT', { ox: '!EIO' })],
        ['d1:77', 'RESET_WATCHES', '|', at('!ENOENT', { ox: '!EIO' })],
        ['dom0:77', 'CONTROL', 'help|', at('!ENOENT', { ox: '!EIO' })],
        ['dom0:77', 'TRANSACTION_START', '|', at('!ENOENT', { ox: '!EIO' })],
      ],
    },
    {
      title: 'WATCH and UNWATCH do not look at the transaction',
      skip: { ox: 'answers with tx_id 0' },
      steps: [
        ['d1:77', 'WATCH', '/a|t|', 'OK|'],
        ['d1:77', 'UNWATCH', '/a|t|', 'OK|'],
      ],
    },
    ...(
      [
        ['CONTROL', 'help|'],
        ['INTRODUCE', '5|1|1|'],
        ['RELEASE', '5|'],
        ['IS_DOMAIN_INTRODUCED', '1|'],
        ['RESUME', '1|'],
        ['SET_TARGET', '1|2|'],
        ['SET_FEATURE', '1|0|'],
        ['GET_QUOTA', ''],
        ['SET_QUOTA', 'nodes|5|'],
      ] as const
    ).map(([op, payload]): Row => {
      const recent = /QUOTA|FEATURE/.test(op);
      return {
        title: `${op} is for the privileged`,
        steps: [
          [
            'd1',
            op,
            payload,
            at('!EACCES', {
              c417: recent ? '!ENOSYS' : '!EACCES',
              ox: recent ? '!ENOSYS' : op === 'CONTROL' ? 'OK|' : '!EACCES',
            }),
          ],
        ],
      };
    }),
  ],
};
