#!/usr/bin/env node
/**
 * A guest whose terminal is a serial port that a device model makes up: it says on it that it is there, and answers whoever joins. Ends as any guest does.
 */
import { simPlatform } from '../../osdep/sim/client.ts';
import { connect } from '../../xenstored/client/index.ts';
import { ownRing } from '../../xenstored/client/ring.ts';
import { onStop } from '../../xenstored/client/stop.ts';
import { ConsoleFront } from './console.ts';
import { guestCommands } from './consolecommands.ts';
import { Shell } from './consoleshell.ts';
import { Guest } from './guest.ts';
import { PortIo } from './portio.ts';
import { SerialPort } from './serialport.ts';

const platform = simPlatform();
const store = await connect({ connector: ownRing(platform) });
const { clock } = platform;
const name = (await store.findText('name')) ?? 'guest';
const commands = guestCommands({ store, clock });

// What is printed goes to both; each has a shell of its own.
const ring = ConsoleFront.open(platform, (bytes) => onConsole.input(bytes));
const onConsole = new Shell({ name, commands, write: (text) => ring?.write(text) });
const io = new PortIo(platform, () => serial.kick());
const serial = new SerialPort({
  io,
  clock,
  onInput: (bytes) => onSerial.input(bytes),
  onFound: () => print('serial port at 0x3f8 is a 16550A'),
});
const onSerial = new Shell({ name, commands, write: (text) => serial.write(text) });
const print = (text: string): void => {
  console.log(text);
  onConsole.print(text);
  onSerial.print(text);
};

const guest = new Guest({ store, clock, print });
onStop(() => guest.end());
const reason = await guest.run();
await store.close();
platform.guest.shutdown(reason);
process.exit(0);
