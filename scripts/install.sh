#!/bin/sh
# Puts Limpet onto a device as a systemd service, brings it up to date, or takes it off again. Run it as root:
#
#   install.sh                                      the binary beside this script, or "--binary FILE"
#   install.sh --registry URL --token-file FILE     and enrols the device, once; "-" reads the token from standard input
#   install.sh --enrolment FILE --bundle FILE       for a site without a network: who it is, and signed versions
#   install.sh --uninstall [--purge]                takes it off; --purge takes settings, models and state as well
#
# It may be run again: what is right already is left alone. A new binary takes the place of the old one in one step, and
# when it is not ready in time the old one comes back.
set -eu
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

readonly OWNER=limpet
readonly BINARY=/usr/local/bin/limpet
readonly PREVIOUS=/usr/local/lib/limpet/previous
readonly SETTINGS=/etc/limpet
readonly CONFIG=$SETTINGS/limpet.toml
readonly STATE=/var/lib/limpet
readonly SITE=/srv/limpet
readonly UNIT=limpet.service
readonly UNITS=/etc/systemd/system
readonly DROP_IN=$UNITS/$UNIT.d/limpet-gpu.conf
readonly LOCK=/run/limpet-install.lock
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
readonly here

# Taken out of the environment, so that nothing that is started here has it in its own.
token=${LIMPET_TOKEN:-}
unset LIMPET_TOKEN

binary='' sha256='' config='' registry='' token_file='' device='' enrolment='' bundle=''
ready_seconds=180 do_uninstall=0 do_purge=0 do_start=1

say() { printf 'limpet: %s\n' "$*"; }

# What was tried, what was wrong, what to do.
die() {
  printf 'limpet: %s\n' "$*" >&2
  exit 1
}

usage() {
  sed -n '2,10s/^# \{0,1\}//p' "$0"
  cat <<'WORDS'
Options:
  --binary FILE         the binary to install (default: limpet-linux-ARCH or limpet beside this script, or in ../dist)
  --sha256 HEX          what it has to hash to; without it, FILE.sha256 counts where there is one
  --config FILE         settings to begin with; those of the device are kept where there are some
  --registry URL, --token-file FILE, --device NAME
                        enrol; the token may also be in the environment, as LIMPET_TOKEN
  --enrolment FILE      an enrolment.json that was made elsewhere with "limpet enrol --state DIR"
  --bundle FILE         signed versions, made with "limpet bundle export"
  --ready-seconds N     how long it may take until its models are loaded (default: 180)
  --no-start            install and enable, and start it with the next boot
  --uninstall, --purge
WORDS
}

wrong_usage() {
  printf 'limpet: %s; see "install.sh --help"\n' "$*" >&2
  exit 64
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --help) usage; exit 0 ;;
      --uninstall) do_uninstall=1; shift; continue ;;
      --purge) do_purge=1; shift; continue ;;
      --no-start) do_start=0; shift; continue ;;
      --token) wrong_usage 'A token on the command line can be read by everybody on the device: use --token-file' ;;
      --binary | --sha256 | --config | --registry | --token-file | --device | --enrolment | --bundle | --ready-seconds) ;;
      *) wrong_usage "Cannot understand \"$1\"" ;;
    esac
    [ $# -ge 2 ] || wrong_usage "Cannot use $1: it wants a value"
    case $1 in
      --binary) binary=$2 ;;
      --sha256) sha256=$2 ;;
      --config) config=$2 ;;
      --registry) registry=$2 ;;
      --token-file) token_file=$2 ;;
      --device) device=$2 ;;
      --enrolment) enrolment=$2 ;;
      --bundle) bundle=$2 ;;
      --ready-seconds) ready_seconds=$2 ;;
    esac
    shift 2
  done
  check_arguments
}

check_arguments() {
  case $ready_seconds in
    '' | *[!0-9]* | ?????*) wrong_usage "Cannot wait \"$ready_seconds\" seconds: expected a number up to 9999" ;;
  esac
  [ "$do_purge" -eq 0 ] || [ "$do_uninstall" -eq 1 ] || wrong_usage '--purge goes with --uninstall'
  if [ -n "$token_file$device" ] && [ -z "$registry" ]; then
    wrong_usage 'A token is worth nothing without a registry: give --registry URL'
  fi
  if [ -n "$registry" ] && [ -z "$token_file" ] && [ -z "$token" ]; then
    wrong_usage 'Cannot enrol without a token: give --token-file FILE, or LIMPET_TOKEN in the environment'
  fi
  if [ -n "$registry" ] && [ -n "$enrolment" ]; then wrong_usage 'Give either --registry or --enrolment'; fi
  for file in "$binary" "$config" "$enrolment" "$bundle"; do
    [ -z "$file" ] || [ -f "$file" ] || die "Cannot read \"$file\": there is no such file"
  done
}

require() {
  command -v "$1" >/dev/null 2>&1 || die "Cannot go on without \"$1\": install the package that has it ($2)"
}

require_system() {
  [ "$(id -u)" -eq 0 ] || die 'Cannot install as an ordinary user: run it as root, with sudo for example'
  [ "$(uname -s)" = Linux ] || die "Cannot install on $(uname -s): expected Linux"
  require systemctl 'systemd; without it, run "limpet up" by what starts services here'
  require useradd 'passwd or shadow'
  require sha256sum coreutils
  require su util-linux
  # Two at once would take each other's files for their own.
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$LOCK"
    flock -n 9 || die 'Cannot install while another install.sh runs: wait for it'
  fi
  trap 'rm -f "$LOCK" "$BINARY.next"' EXIT
  trap 'exit 130' INT TERM HUP
  # Without a running systemd, as in the making of an image, there is nothing to start.
  if [ "$do_start" -eq 1 ] && [ ! -d /run/systemd/system ]; then
    say 'systemd does not run here: Limpet starts with the next boot'
    do_start=0
  fi
}

# --- the binary --------------------------------------------------------------------------------------------------

architecture() {
  case $(uname -m) in
    x86_64) echo x64 ;;
    aarch64) echo arm64 ;;
    *) die "Cannot install on $(uname -m): there are binaries for x86_64 and aarch64" ;;
  esac
}

find_binary() {
  arch=$(architecture)
  if [ -z "$binary" ]; then
    for file in "$here/limpet-linux-$arch" "$here/limpet" "$here/../dist/limpet-linux-$arch"; do
      if [ -f "$file" ]; then binary=$file; break; fi
    done
  fi
  [ -n "$binary" ] || die "Cannot find limpet-linux-$arch beside this script: copy it there, or give --binary FILE"
  check_machine
  check_hash
}

# The first bytes of an ELF file, and its e_machine.
check_machine() {
  magic=$(od -An -tx1 -N4 "$binary" | tr -d ' \n')
  [ "$magic" = 7f454c46 ] || die "Cannot install \"$binary\": it is no program; copy it again, in binary mode"
  case $(od -An -tx1 -j18 -N2 "$binary" | tr -d ' \n') in
    3e00) made_for=x64 ;;
    b700) made_for=arm64 ;;
    *) made_for='another machine' ;;
  esac
  [ "$made_for" = "$arch" ] ||
    die "Cannot install \"$binary\": it is for $made_for, this machine is $arch; take limpet-linux-$arch"
}

check_hash() {
  if [ -z "$sha256" ] && [ -f "$binary.sha256" ]; then sha256=$(cut -d ' ' -f 1 "$binary.sha256"); fi
  if [ -z "$sha256" ]; then say "no SHA-256 given for \"$binary\": installed as it is"; return; fi
  actual=$(sha256sum <"$binary" | cut -d ' ' -f 1)
  [ "$actual" = "$(printf %s "$sha256" | tr A-F a-f)" ] ||
    die "Cannot install \"$binary\": its SHA-256 is $actual, expected $sha256; copy it again"
}

# Whole, executable and synced before it gets its name: whatever happens, one of the two is there.
place_binary() {
  mkdir -p /usr/local/bin
  cp -- "$binary" "$BINARY.next" || die "Cannot write $BINARY.next: see above; is the disk full?"
  chmod 755 "$BINARY.next"
  cmp -s "$binary" "$BINARY.next" || die "Cannot write $BINARY.next: it is not what was copied; check the disk"
  version=$("$BINARY.next" version 2>&1) || die "Cannot run \"$binary\" on this machine: $version"
  sync
  mv -f "$BINARY.next" "$BINARY"
  sync
}

# --- user, folders, settings, unit -------------------------------------------------------------------------------

make_user() {
  if id "$OWNER" >/dev/null 2>&1; then return; fi
  useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$OWNER" ||
    die "Cannot make the user \"$OWNER\": see above"
  say "made the user $OWNER"
}

# $1 mode, $2 owner, $3 folder
make_folder() {
  mkdir -p "$3"
  chown "$2" "$3"
  chmod "$1" "$3"
}

make_folders() {
  make_folder 0750 "root:$OWNER" "$SETTINGS"
  make_folder 0750 "$OWNER:$OWNER" "$STATE"
  make_folder 0755 root:root "$SITE"
  make_folder 0755 root:root "$SITE/models"
}

make_config() {
  if [ -f "$CONFIG" ]; then
    if [ -n "$config" ] && ! cmp -s "$config" "$CONFIG"; then say "kept $CONFIG: it differs from \"$config\""; fi
    return
  fi
  if [ -n "$config" ]; then
    cp -- "$config" "$CONFIG"
  else
    cat >"$CONFIG" <<'TOML'
# Settings of this device. All of them have defaults; what can be set, with bounds, stands in the README.
# Nobody outside can reach it until you say so:
# [http]
# host = "0.0.0.0"
TOML
  fi
  chown "root:$OWNER" "$CONFIG"
  chmod 0640 "$CONFIG"
  say "wrote $CONFIG"
}

find_unit() {
  for folder in "$here" "$here/../deploy/systemd"; do
    if [ -f "$folder/$1" ]; then printf '%s\n' "$folder/$1"; return; fi
  done
  die "Cannot find $1 beside this script or in ../deploy/systemd: copy it there"
}

has_gpu() {
  for device_file in /dev/nvidia0 /dev/nvhost-gpu /dev/nvgpu /dev/nvmap; do
    if [ -e "$device_file" ]; then return 0; fi
  done
  return 1
}

place_units() {
  unit=$(find_unit "$UNIT")
  if ! cmp -s "$unit" "$UNITS/$UNIT"; then
    mkdir -p "$UNITS"
    cp -- "$unit" "$UNITS/$UNIT"
    is_changed=1
  fi
  if has_gpu && [ ! -f "$DROP_IN" ]; then
    gpu=$(find_unit limpet-gpu.conf)
    mkdir -p "$UNITS/$UNIT.d"
    # The group is there on every Jetson; elsewhere systemd would refuse to start for want of it.
    if getent group video >/dev/null 2>&1; then cp -- "$gpu" "$DROP_IN"; else grep -v '^SupplementaryGroups=' "$gpu" >"$DROP_IN"; fi
    say 'found a GPU: opened its devices to the service'
    is_changed=1
  fi
}

# --- enrolment, bundle -------------------------------------------------------------------------------------------

# What it makes belongs to the service.
as_owner() {
  # shellcheck disable=SC2016 # The inner shell expands them.
  su -s /bin/sh -c 'exec "$0" "$@"' -- "$OWNER" "$@"
}

enrol() {
  if [ -z "$registry$enrolment" ]; then return; fi
  if [ -f "$STATE/enrolment.json" ]; then
    say 'kept the enrolment of this device: to make it another one, run "limpet enrol --again" as limpet'
    return
  fi
  if [ -n "$enrolment" ]; then
    cp -- "$enrolment" "$STATE/enrolment.json.next"
    chown "$OWNER:$OWNER" "$STATE/enrolment.json.next"
    chmod 0600 "$STATE/enrolment.json.next"
    mv -f "$STATE/enrolment.json.next" "$STATE/enrolment.json"
    sync
    say 'took the enrolment'
    is_changed=1
    return
  fi
  set -- "$BINARY" enrol --registry "$registry" --token-file - --state "$STATE" --config "$CONFIG"
  if [ -n "$device" ]; then set -- "$@" --device "$device"; fi
  read_token | as_owner "$@" || die 'Cannot enrol: see above; all else is in place, and the same command goes on from here'
  is_changed=1
}

# Through a pipe: neither a command line nor an environment of what is started holds it.
read_token() {
  case $token_file in
    '') printf '%s\n' "$token" ;;
    -) cat ;;
    *) cat -- "$token_file" ;;
  esac
}

take_bundle() {
  if [ -z "$bundle" ]; then return; fi
  case $bundle in /*) ;; *) bundle=$PWD/$bundle ;; esac
  as_owner test -r "$bundle" ||
    die "Cannot take \"$bundle\": the user $OWNER may not read it; put it into /tmp, or let others read it and its folder"
  as_owner "$BINARY" bundle import "$bundle" --state "$STATE" --config "$CONFIG" ||
    die 'Cannot take the bundle: see above; all else is in place'
}

# --- start, upgrade, going back ----------------------------------------------------------------------------------

is_ready() {
  as_owner "$BINARY" health --config "$CONFIG" --state "$STATE" --wait-seconds "$1"
}

# Waited for here, not by systemctl: a unit that is started again and again has not failed for good.
start_and_wait() {
  systemctl start --no-block "$UNIT" || return 1
  is_ready "$ready_seconds"
}

save_previous() {
  mkdir -p "$PREVIOUS"
  ln -f "$BINARY" "$PREVIOUS/limpet" 2>/dev/null || cp -pf "$BINARY" "$PREVIOUS/limpet"
  if [ -f "$UNITS/$UNIT" ]; then cp -pf "$UNITS/$UNIT" "$PREVIOUS/$UNIT"; fi
}

go_back() {
  systemctl stop "$UNIT" || true
  cp -pf "$PREVIOUS/limpet" "$BINARY.next"
  sync
  mv -f "$BINARY.next" "$BINARY"
  if [ -f "$PREVIOUS/$UNIT" ]; then cp -pf "$PREVIOUS/$UNIT" "$UNITS/$UNIT"; fi
  systemctl daemon-reload
  if start_and_wait; then
    die "Cannot upgrade: the new binary was not ready within $ready_seconds s; the old one serves again. See \"journalctl -u limpet\" for why"
  fi
  die "Cannot upgrade: the new binary was not ready within $ready_seconds s, and the old one is not either. See \"journalctl -u limpet\", and run \"limpet doctor\""
}

install_limpet() {
  find_binary
  is_changed=0 is_upgrade=0
  make_user
  make_folders
  make_config
  if [ -f "$BINARY" ] && ! cmp -s "$binary" "$BINARY"; then
    is_upgrade=1
    save_previous
  fi
  if ! cmp -s "$binary" "$BINARY"; then
    place_binary
    say "installed $version"
    is_changed=1
  fi
  place_units
  systemctl daemon-reload
  systemctl enable "$UNIT" || die "Cannot enable $UNIT: see above"
  enrol
  start
  take_bundle
  say 'done: "systemctl status limpet", "limpet doctor"'
}

start() {
  if [ "$do_start" -eq 0 ]; then return; fi
  if [ "$is_changed" -eq 0 ] && is_ready 0 >/dev/null 2>&1; then
    say 'nothing has changed, and it serves'
    return
  fi
  systemctl stop "$UNIT" || true
  if start_and_wait; then return; fi
  if [ "$is_upgrade" -eq 1 ]; then go_back; fi
  die "Cannot say that it serves: not ready within $ready_seconds s; see \"journalctl -u limpet\", and run \"limpet doctor --config $CONFIG\""
}

# --- away again --------------------------------------------------------------------------------------------------

uninstall() {
  if [ -f "$UNITS/$UNIT" ]; then
    systemctl disable --now "$UNIT" || die "Cannot stop $UNIT: see above"
  fi
  rm -f "$UNITS/$UNIT" "$DROP_IN" "$BINARY" "$BINARY.next"
  rm -rf "${PREVIOUS%/*}"
  rmdir "$UNITS/$UNIT.d" 2>/dev/null || true
  systemctl daemon-reload
  if [ "$do_purge" -eq 0 ]; then
    say "taken off; kept: $SETTINGS, $STATE, $SITE, and the user $OWNER (--purge takes them)"
    return
  fi
  rm -rf "$SETTINGS" "$STATE" "$SITE" "$UNITS/$UNIT.d"
  if id "$OWNER" >/dev/null 2>&1; then
    userdel "$OWNER" || die "Cannot remove the user \"$OWNER\": see above"
  fi
  if getent group "$OWNER" >/dev/null 2>&1; then groupdel "$OWNER"; fi
  say 'taken off, with settings, models, state and user'
}

main() {
  read_arguments "$@"
  require_system
  if [ "$do_uninstall" -eq 1 ]; then uninstall; else install_limpet; fi
}

# All of it has been read before any of it runs, also from a pipe or a file that is being replaced.
main "$@"
