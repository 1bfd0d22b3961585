/**
 * Dark, light, or as the system has it; kept in this browser. Knows only the document's root.
 */
export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'xenstore-admin.theme';
const order: readonly Theme[] = ['auto', 'light', 'dark'];

export function theme(): Theme {
  const kept = localStorage.getItem(KEY) as Theme | null;
  return kept && order.includes(kept) ? kept : 'auto';
}

export function nextTheme(): void {
  localStorage.setItem(KEY, order[(order.indexOf(theme()) + 1) % order.length]!);
  applyTheme();
}

export function applyTheme(): void {
  document.documentElement.dataset.theme = theme();
}
