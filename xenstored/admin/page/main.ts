/**
 * The page's beginning: a token from the address bar, the application, the views, and the address that says which of them is shown.
 */
import { Api } from './api.ts';
import { App } from './app.ts';
import { DaemonView } from './daemon-view.ts';
import { patch } from './dom.ts';
import { DomainsView } from './domains-view.ts';
import { Shell } from './shell.ts';
import { StoreView } from './store-view.ts';

const app = new App(Api.adopt(), () => patch(document.body, shell.render()));
const shell = new Shell(app, {
  store: new StoreView(app),
  domains: new DomainsView(app),
  daemon: new DaemonView(app),
});

addEventListener('hashchange', () => {
  // A link with a token, opened where the page is already.
  if (/[#&]token=/.test(location.hash)) location.reload();
  shell.arrived();
});
addEventListener('online', () => app.live.hurry());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) app.live.hurry();
});
shell.arrived();
app.live.start();
