# The kernel's command line as the init of the store's domain reads it. Words before a lone "--" are for the kernel and for init, what
# follows is for xenstored. Sourced by init; does nothing by itself.

event=     # the port on which dom0's kernel waits; empty: none given
shell=0    # 1: whoever types on the console gets a shell
arguments= # for xenstored

# read_cmdline LINE: sets these, and adds to the arguments.
read_cmdline() {
  set -f # A star in a word is no pattern; nor is it one where init passes the arguments on.
  case " $1 " in
    *' -- '*)
      _line=" $1 "
      arguments="$arguments ${_line#* -- }"
      _words=${_line%% -- *}
      ;;
    *) _words=$1 ;;
  esac
  _expect=
  for _word in $_words; do
    case $_expect$_word in
      event:*) event=$_word ;;
      shell) shell=1 ;;
      --event=*) event=${_word#--event=} ;;
    esac
    _expect=
    [ "$_word" != --event ] || _expect=event:
  done
  case $event in *[!0-9]*) event= ;; esac
}
