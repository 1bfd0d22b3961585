/** What `xl list` prints, read. */

/** The domids of all domains but dom0; one that is going has no name any more, so ids are read from the right. */
export function guestDomids(list: string): readonly string[] {
  return list
    .split('\n')
    .slice(1)
    .flatMap((line) => / +(\d+) +\d+ +\d+ +\S+ +[\d.]+$/.exec(line)?.[1] ?? [])
    .filter((domid) => domid !== '0');
}
