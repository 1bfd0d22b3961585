/**
 * One request to one reply: which types there are, who may use them, and in which order a request is refused. Follows xs_wire.h and the C
 * daemon: unknown type, privilege, transaction id, then the handler.
 */
import { Op } from '../wire/ops.ts';
import { control } from './control.ts';
import * as domains from './domains.ts';
import type { Link } from './link.ts';
import * as nodes from './nodes.ts';
import type { Cause } from './outbox.ts';
import { notable } from './refusals.ts';
import { type Answer, EACCES, ENOENT, ENOSYS, type Handler, type Refusal, type Request } from './request.ts';
import type { State } from './state.ts';
import type { Transaction } from './transaction.ts';
import * as transactions from './transactions.ts';
import type { View } from './view.ts';
import * as watches from './watches.ts';

interface Route {
  readonly handler: Handler;
  readonly privileged: boolean;
  /** The header's transaction id does not matter. */
  readonly anyTx: boolean;
}

const open = (handler: Handler): Route => ({ handler, privileged: false, anyTx: false });
const tools = (handler: Handler): Route => ({ handler, privileged: true, anyTx: false });
const watching = (handler: Handler): Route => ({ handler, privileged: false, anyTx: true });

/** Of a refused request's first argument: bytes that are kept. */
const SUBJECT_MAX = 256;

/** By type. WATCH_EVENT and ERROR are never requests; RESTRICT is history. */
const routes: readonly (Route | undefined)[] = Object.assign([] as (Route | undefined)[], {
  [Op.CONTROL]: tools(control),
  [Op.DIRECTORY]: open(nodes.directory),
  [Op.READ]: open(nodes.read),
  [Op.GET_PERMS]: open(nodes.getPerms),
  [Op.WATCH]: watching(watches.watch),
  [Op.UNWATCH]: watching(watches.unwatch),
  [Op.TRANSACTION_START]: open(transactions.transactionStart),
  [Op.TRANSACTION_END]: open(transactions.transactionEnd),
  [Op.INTRODUCE]: tools(domains.introduce),
  [Op.RELEASE]: tools(domains.release),
  [Op.GET_DOMAIN_PATH]: open(domains.getDomainPath),
  [Op.WRITE]: open(nodes.write),
  [Op.MKDIR]: open(nodes.mkdir),
  [Op.RM]: open(nodes.remove),
  [Op.SET_PERMS]: open(nodes.setPerms),
  [Op.IS_DOMAIN_INTRODUCED]: tools(domains.isDomainIntroduced),
  [Op.RESUME]: tools(domains.resume),
  [Op.SET_TARGET]: tools(domains.setTarget),
  [Op.RESET_WATCHES]: open(watches.resetWatches),
  [Op.DIRECTORY_PART]: open(nodes.directoryPart),
  [Op.GET_FEATURE]: open(domains.getFeature),
  [Op.SET_FEATURE]: tools(domains.setFeature),
  [Op.GET_QUOTA]: tools(domains.getQuota),
  [Op.SET_QUOTA]: tools(domains.setQuota),
});

/** The message as it lies in the framer. Mutable and used for one request at a time: nothing keeps it. */
class Current implements Request {
  readonly state: State;
  link!: Link;
  type = 0;
  reqId = 0;
  txId = 0;
  data!: Buffer;
  start = 0;
  end = 0;
  transaction: Transaction | undefined = undefined;
  view!: View;
  cause: Cause | undefined = undefined;

  constructor(state: State) {
    this.state = state;
  }
}

export class Dispatcher {
  readonly #state: State;
  readonly #request: Current;

  constructor(state: State) {
    this.#state = state;
    this.#request = new Current(state);
  }

  /** Serves the message that the link's framer holds. */
  serve(link: Link): void {
    const state = this.#state;
    const request = this.#request;
    const { framer } = link;
    request.link = link;
    request.type = framer.type;
    request.reqId = framer.reqId;
    request.txId = framer.txId;
    request.data = framer.data;
    request.start = framer.start;
    request.end = framer.end;
    request.cause = this.#cause(link);
    link.requests++;
    state.requests++;
    if (state.tracer) {
      const payload = framer.data.toString('latin1', framer.start, framer.end);
      state.tracer.io('IN', link, framer.type, framer.reqId, framer.txId, payload);
    }
    const answer = this.#answer(request);
    if (answer === undefined) return;
    const { type, reqId, txId, cause } = request;
    if (typeof answer === 'string') state.reply(link, type, reqId, txId, answer, cause);
    else {
      this.#refuse(request, answer);
      state.reply(link, Op.ERROR, reqId, txId, `${answer.errno}\0`, cause);
    }
  }

  #refuse({ state, link, type, data, start, end }: Current, { errno }: Refusal): void {
    state.errors++;
    if (!notable.has(errno)) return;
    const nul = data.indexOf(0, start);
    const stop = Math.min(nul < 0 ? end : nul, end, start + SUBJECT_MAX);
    state.refusals.add(state.now, link.domid, type, errno, data.toString('latin1', start, stop));
  }

  #answer(request: Current): Answer {
    const { link } = request;
    const state = this.#state;
    const route = routes[request.type];
    if (!route) return ENOSYS;
    if (route.privileged && !link.privileged) return EACCES;
    request.transaction = undefined;
    if (request.txId !== 0 && !route.anyTx) {
      request.transaction = link.transactions.get(request.txId);
      if (!request.transaction) return ENOENT;
    }
    state.live.by = link.domid;
    request.view = request.transaction ?? state.live;
    return route.handler(request);
  }

  /** Requests of unprivileged domains count as outstanding until all that they caused is delivered. */
  #cause(link: Link): Cause | undefined {
    const account = link.limited;
    return account && { unsettled: 1, done: () => account.add('outstanding', -1) };
  }
}
