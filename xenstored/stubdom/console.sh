#!/bin/busybox sh
# What the store's domain says, from standard input to its console and to a short log of its own, line by line.
#
# The console is a ring of 2 KiB. A kernel that finds it full turns in a loop until somebody reads, and the only reader, xenconsoled, cannot
# start, or start again, without the store that this very domain serves. So no more is written than surely has room: a reader tells by an
# interrupt that it has emptied the ring, and each allows some bytes more. What has no room is counted, and kept in the log.

LOG=${LOG:-/run/log}
CONSOLE=${CONSOLE:-/dev/hvc0}
INTERRUPTS=${INTERRUPTS:-/proc/interrupts}
ROOM=900       # twice this, and the kernel's own few words, fit
LONGEST=400
LOG_LINES=500

# How often the reader has told that it has read.
look() {
  count=0
  while read -r _ number rest; do
    case $rest in *hvc_console*) count=$number ;; esac
  done <"$INTERRUPTS"
}

show() {
  look
  if [ "$count" != "$seen" ]; then
    seen=$count room=$ROOM
    if [ $missed -gt 0 ]; then
      _note="($missed lines had no room here: they are in $LOG)"
      room=$((room - ${#_note} - 2)) missed=0
      printf '%s\n' "$_note" >>"$CONSOLE"
    fi
  fi
  _text=$1
  [ ${#_text} -le $LONGEST ] || _text=$(printf "%.${LONGEST}s..." "$_text")
  if [ $((${#_text} + 2)) -le $room ]; then
    room=$((room - ${#_text} - 2))
    printf '%s\n' "$_text" >>"$CONSOLE"
  else
    missed=$((missed + 1))
  fi
}

room=$ROOM missed=0 lines=0
look
seen=$count
while IFS= read -r line; do
  show "$line"
  printf '%s\n' "$line" >>"$LOG"
  lines=$((lines + 1))
  if [ $lines -ge $LOG_LINES ]; then
    mv "$LOG" "$LOG.old"
    lines=0
  fi
done
