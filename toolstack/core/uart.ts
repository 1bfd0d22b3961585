/**
 * A 16550A UART as its driver sees it: eight registers, a FIFO of 16 bytes each way, an interrupt line. What is sent goes out at once, so the transmitter is
 * always empty; what is received waits in the FIFO, and is not taken while there is no room. All of its state is in bytes that it is given, zeroed for one that
 * has just been reset: whoever keeps them keeps the device. Follows National Semiconductor's data sheet of the PC16550D. Knows no port and no guest.
 */

/** Bytes of state. */
export const UART_STATE_BYTES = 64;

const FIFO_BYTES = 16;
const TRIGGERS = [1, 4, 8, 14];

/** Where each thing is kept. */
const DLL = 0;
const DLM = 1;
const IER = 2;
const FCR = 3;
const LCR = 4;
const MCR = 5;
const SCR = 6;
/** Errors of the line, as in LSR, until it is read. */
const ERRORS = 7;
/** Changes of the modem's lines, as in MSR, until it is read. */
const CHANGES = 8;
/** 1: it has become empty, and nobody was told. */
const EMPTIED = 9;
const COUNT = 10;
const FIRST = 11;
const FIFO = 16;

const IER_RECEIVED = 1;
const IER_EMPTIED = 2;
const IER_ERRORS = 4;
const IER_MODEM = 8;
const FCR_ENABLE = 1;
const FCR_CLEAR_RECEIVED = 2;
const LCR_DLAB = 0x80;
const MCR_OUT2 = 8;
const MCR_LOOP = 16;
const LSR_READY = 1;
const LSR_OVERRUN = 2;
const LSR_EMPTY = 0x60;
const IIR_NONE = 1;
/** Clear to send, data set ready, carrier: somebody is at the other end. */
const MSR_CONNECTED = 0xb0;

export class Uart {
  readonly #state: Uint8Array;

  constructor(state: Uint8Array) {
    this.#state = state;
  }

  /** The level of the interrupt line, which OUT2 lets through, as in every PC. */
  get interrupt(): boolean {
    return (this.#get(MCR) & MCR_OUT2) !== 0 && this.#cause !== IIR_NONE;
  }

  /** How many bytes it would receive now; none while it listens to itself. */
  get room(): number {
    return this.#loops ? 0 : this.#depth - this.#get(COUNT);
  }

  /** At most as many as there is room for. */
  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.#push(byte);
  }

  /** A register, 0 to 7. */
  read(register: number): number {
    const latch = (this.#get(LCR) & LCR_DLAB) !== 0;
    switch (register) {
      case 0:
        return latch ? this.#get(DLL) : this.#shift();
      case 1:
        return this.#get(latch ? DLM : IER);
      case 2:
        return this.#readCause();
      case 3:
        return this.#get(LCR);
      case 4:
        return this.#get(MCR);
      case 5:
        return this.#readLine();
      case 6:
        return this.#readModem();
      default:
        return this.#get(SCR);
    }
  }

  /** What it sends, if it does. */
  write(register: number, value: number): number | undefined {
    const latch = (this.#get(LCR) & LCR_DLAB) !== 0;
    switch (register) {
      case 0:
        if (latch) this.#set(DLL, value);
        else return this.#send(value);
        break;
      case 1:
        if (latch) this.#set(DLM, value);
        else this.#enable(value & 0x0f);
        break;
      case 2:
        this.#control(value);
        break;
      case 3:
        this.#set(LCR, value);
        break;
      case 4:
        this.#modem(value & 0x1f);
        break;
      case 7:
        this.#set(SCR, value);
        break;
      // Line and modem status are not to be written.
      default:
    }
    return undefined;
  }

  get #loops(): boolean {
    return (this.#get(MCR) & MCR_LOOP) !== 0;
  }

  get #depth(): number {
    return (this.#get(FCR) & FCR_ENABLE) !== 0 ? FIFO_BYTES : 1;
  }

  #send(value: number): number | undefined {
    this.#set(EMPTIED, 1);
    if (!this.#loops) return value;
    this.#push(value);
    return undefined;
  }

  #push(byte: number): void {
    const count = this.#get(COUNT);
    if (count >= this.#depth) {
      this.#set(ERRORS, this.#get(ERRORS) | LSR_OVERRUN);
      return;
    }
    this.#set(FIFO + ((this.#get(FIRST) + count) % FIFO_BYTES), byte);
    this.#set(COUNT, count + 1);
  }

  #shift(): number {
    const count = this.#get(COUNT);
    if (count === 0) return 0;
    const first = this.#get(FIRST) % FIFO_BYTES;
    this.#set(FIRST, (first + 1) % FIFO_BYTES);
    this.#set(COUNT, count - 1);
    return this.#get(FIFO + first);
  }

  #enable(value: number): void {
    // Who begins to care hears that the transmitter is empty, as it is.
    if ((value & ~this.#get(IER) & IER_EMPTIED) !== 0) this.#set(EMPTIED, 1);
    this.#set(IER, value);
  }

  #control(value: number): void {
    const changed = ((value ^ this.#get(FCR)) & FCR_ENABLE) !== 0;
    const enabled = (value & FCR_ENABLE) !== 0;
    if (changed || (enabled && (value & FCR_CLEAR_RECEIVED) !== 0)) this.#set(COUNT, 0);
    this.#set(FCR, enabled ? value & 0xc1 : 0);
  }

  #modem(value: number): void {
    const before = this.#lines;
    this.#set(MCR, value);
    const after = this.#lines;
    // The ring indicator tells of its end alone.
    const changed = ((before ^ after) & ~0x40) | (before & ~after & 0x40);
    this.#set(CHANGES, this.#get(CHANGES) | (changed >> 4));
  }

  /** The upper half of MSR. */
  get #lines(): number {
    if (!this.#loops) return MSR_CONNECTED;
    const mcr = this.#get(MCR);
    return ((mcr & 2) << 3) | ((mcr & 1) << 5) | ((mcr & 4) << 4) | ((mcr & 8) << 4);
  }

  /** What there is to tell, by rank. */
  get #cause(): number {
    const wanted = this.#get(IER);
    const count = this.#get(COUNT);
    if ((wanted & IER_ERRORS) !== 0 && this.#get(ERRORS) !== 0) return 6;
    if ((wanted & IER_RECEIVED) !== 0 && count > 0) {
      const fifo = (this.#get(FCR) & FCR_ENABLE) !== 0;
      // Fewer than it takes to be told at once have always waited for long enough: no more are on the line.
      return fifo && count < TRIGGERS[this.#get(FCR) >> 6]! ? 0x0c : 4;
    }
    if ((wanted & IER_EMPTIED) !== 0 && this.#get(EMPTIED) !== 0) return 2;
    if ((wanted & IER_MODEM) !== 0 && this.#get(CHANGES) !== 0) return 0;
    return IIR_NONE;
  }

  #readCause(): number {
    const cause = this.#cause;
    if (cause === 2) this.#set(EMPTIED, 0);
    return cause | ((this.#get(FCR) & FCR_ENABLE) !== 0 ? 0xc0 : 0);
  }

  #readLine(): number {
    const line = LSR_EMPTY | this.#get(ERRORS) | (this.#get(COUNT) > 0 ? LSR_READY : 0);
    this.#set(ERRORS, 0);
    return line;
  }

  #readModem(): number {
    const modem = this.#lines | this.#get(CHANGES);
    this.#set(CHANGES, 0);
    return modem;
  }

  #get(at: number): number {
    return this.#state[at]!;
  }

  #set(at: number, value: number): void {
    this.#state[at] = value;
  }
}
