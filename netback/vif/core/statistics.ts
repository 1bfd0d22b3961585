/**
 * What went through an interface and what did not. tx is what the guest sent, rx what it got. Numbers only; who shows them is not
 * known here.
 */
export class Statistics {
  txPackets = 0;
  txBytes = 0;
  /** Packets that made no sense, or whose pages could not be read. */
  txErrors = 0;
  /** Packets to everybody, beyond what one may send of them. */
  txFloods = 0;
  /** Packets that were sent in somebody else's name, or from no address at all. */
  txSpoofed = 0;
  rxPackets = 0;
  rxBytes = 0;
  /** Packets of which a page could not be written. */
  rxErrors = 0;
  /** Packets for which there was no room in the queue. */
  rxDropped = 0;
  /** Packets that waited too long for the guest to post buffers. */
  rxExpired = 0;
  /** Multicast that the guest had not asked for. */
  rxFiltered = 0;
  /** Packets that it cannot take and that were given back to be cut up or completed. */
  rxAdapted = 0;
  /** Events without a request, and events put off because there were too many of them. */
  idleEvents = 0;
  delayedEvents = 0;
}
