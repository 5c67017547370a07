#!/bin/sh
# setup.sh           silent when all that is needed is there; else says what it installs and how, and does (apt-get);
#                    without apt-get or the right to use it, says what to install and exits 2
# setup.sh --all     the same, and installs what only some labs need, where it can
# setup.sh --clang   the same as without an option, with clang for the fuzz targets
# setup.sh --check   exits 0 when everything needed is there, else 1; installs and says nothing
# setup.sh --python  prints the first python3 that has matplotlib; exits 1 when there is none
# No package here starts a service: Redis's server comes with redis-tools, too, as redis-check-rdb.
# shellcheck disable=SC2086  # lists of words are meant to split
export LC_ALL=C

commands="c++:g++ cmake:cmake make:make pkg-config:pkg-config"  # each with the Debian package it comes in
[ "${1-}" = --clang ] && commands="$commands clang++:clang"
welcome="ninja:ninja-build git:git"  # installed along with the rest; the course can do without
modules="libbenchmark-dev:benchmark >= 1.7
libhwloc-dev:hwloc
libfmt-dev:fmt
libcli11-dev:CLI11
nlohmann-json3-dev:nlohmann_json
libgtest-dev:gtest"  # a Debian package and what pkg-config calls it
# Where a library brings no .pc file, a header.
of_some_labs="libhiredis-dev:hiredis
libsodium-dev:libsodium"

say() { printf '%s\n' "$@" >&2; }
find_python() {  # the first python3 on PATH may lack matplotlib while the system's has it
  for python in python3 /usr/bin/python3 $(IFS=:; for folder in $PATH; do echo "$folder"/python3.[0-9]*; done); do
    case $python in *config | *[*]) continue ;; esac
    "$python" -c 'from importlib.util import find_spec as f; exit(f("matplotlib") is None)' >/dev/null 2>&1 || continue
    command -v "$python"
    return
  done
  return 1
}

missing() {  # the packages of the commands given that are not there
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || printf '%s ' "${pair#*:}"
  done
}
missing_modules() {
  echo "$1" | while IFS=: read -r package module; do
    pkg-config --exists "$module" 2>/dev/null || [ -e "$module" ] || printf '%s ' "$package"
  done
}
needed() {  # the packages of everything the course cannot do without and that is not there
  missing $commands
  missing_modules "$modules"
  find_python >/dev/null || printf 'python3 python3-matplotlib '
}
optional() { [ "$option" != --all ] || { missing_modules "$of_some_labs"; missing redis-check-rdb:redis-tools; }; }

stop_where_too_old() {
  case $packages in *libbenchmark-dev*) ;; *) return ;; esac
  version=$(apt-cache policy libbenchmark-dev 2>/dev/null | sed -n 's/^ *Candidate: *//p')
  case $version in "" | "(none)") return ;; esac
  dpkg --compare-versions "$version" lt 1.7 || return
  say "$(. "${OS_RELEASE:-/etc/os-release}"; echo "$PRETTY_NAME") is too old: its Google Benchmark is $version, and the course" \
    "needs 1.7. It runs on Debian 12, on Ubuntu 24.04, and on newer ones. Nothing was installed."
  exit 2
}
install() {
  # Twice, for an update does not wait for another apt at work on the lists; the install does wait for it.
  for attempt in 1 2; do
    $apt update </dev/null >"$log" 2>&1
    stop_where_too_old
    $apt install -y --no-install-recommends "$@" </dev/null >>"$log" 2>&1 && return
  done
  tail -n 15 "$log" >&2
  return 1
}

option=${1-}
[ "$option" = --python ] && { find_python; exit; }
packages=$(needed)
[ "$option" = --check ] && { [ -z "$packages" ]; exit; }
extra=$(optional)
[ -z "$packages$extra" ] && exit 0
if ! command -v apt-get >/dev/null; then
  [ -z "$packages" ] && exit 0
  say "The course needs things that are not here, and can install them on Debian and Ubuntu only. Please install:" \
    "a C++20 compiler, CMake 3.22, make, pkg-config, Google Benchmark 1.7, hwloc, fmt, CLI11, nlohmann-json," \
    "GoogleTest (with headers and .pc files), Python 3 with matplotlib; ninja and git are welcome." \
    "Missing here, by their Debian names: $packages"
  exit 2
fi
stop_where_too_old
if [ "$(id -u)" = 0 ]; then as_root=
elif sudo -n true </dev/null 2>/dev/null; then as_root="sudo -n "
else
  [ -z "$packages" ] && exit 0  # configuring says which labs are left out, and what they need
  say "The course needs packages that are not installed, and installing takes root. Please run this, then try again:" \
    "  sudo apt-get update && sudo apt-get install --no-install-recommends $packages$extra"
  exit 2
fi

[ -n "$packages" ] && packages="$packages$(missing $welcome)"
say "Installing with ${as_root}apt-get (some minutes the first time): $packages$extra"
log=$(mktemp) && trap 'rm -f "$log"' EXIT || exit 2
apt="${as_root}env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
if [ -n "$packages" ] && ! install $packages; then
  say "apt-get could not install it all: see above. Is there a network?"
  exit 2
fi
packages=$(needed)
if [ -n "$packages" ]; then
  say "Installed, yet this is still missing, or too old here (Google Benchmark must be 1.7 or newer): $packages"
  exit 2
fi
[ -z "$extra" ] || install $extra || say "Without $extra the labs that need them are left out; the others go on."
