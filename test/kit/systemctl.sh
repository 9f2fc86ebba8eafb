#!/bin/sh
# Stands where systemd's does, in a root that runs none: understands what install.sh asks, and one unit, limpet.service.
# It starts what the unit says as the user that it names, with the folders and variables that systemd would give, and
# starts it again when it ends. What it is asked is written down in /run/systemctl.log.
set -u
units=/etc/systemd/system
unit=limpet.service
wanted=$units/multi-user.target.wants/$unit
pid_file=/run/limpet.pid
printf '%s\n' "$*" >>/run/systemctl.log

get() { sed -n "s/^$1=//p" "$units/$unit" | head -n 1; }

is_running() {
  [ -s "$pid_file" ] && [ -e "/proc/$(cat "$pid_file")" ] && ! grep -q ') Z' "/proc/$(cat "$pid_file")/stat"
}

keep_running() {
  trap 'kill "$child" 2>/dev/null; wait "$child"; exit 0' TERM
  while :; do
    # shellcheck disable=SC2046 # Words, as the unit has them.
    setpriv --reuid="$(get User)" --regid="$(get Group)" --init-groups \
      env -i PATH=/usr/bin:/bin STATE_DIRECTORY="/var/lib/$(get StateDirectory)" "$(get Environment)" LIMPET_CALL=at_once \
      $(get ExecStart) &
    child=$!
    wait "$child"
    sleep 0.2
  done
}

start() {
  if is_running; then return; fi
  [ -f "$units/$unit" ] || exit 5
  cd "$(get WorkingDirectory)" || exit 1
  # By exec: a redirection of the call would keep what it redirects, open.
  (
    exec </dev/null >>/var/log/limpet.log 2>&1 9>&-
    keep_running
  ) &
  echo $! >"$pid_file"
}

stop() {
  if is_running; then kill "$(cat "$pid_file")"; fi
  while is_running; do sleep 0.05; done
  rm -f "$pid_file"
}

case $1 in
  daemon-reload) ;;
  enable) mkdir -p "${wanted%/*}" && ln -sfn "$units/$unit" "$wanted" ;;
  disable) rm -f "$wanted" && rmdir "${wanted%/*}" && stop ;;
  start) start ;;
  stop) stop ;;
  *) echo "systemctl: cannot understand $*" >&2; exit 1 ;;
esac
