#!/bin/sh
# Set-up on machines made of stand-ins: apt-get and its like only note what they were asked.
set -u
setup=$(dirname "$0")/setup.sh
root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT || exit 1
failures=0

# machine <user id> <Google Benchmark's version> [command...]: a fresh PATH with these commands and the shell's own tools.
machine() {
  rm -rf "$root/bin" "$root/calls" "$root/installed"
  mkdir "$root/bin"
  for tool in sh env sed tail mktemp rm dirname dpkg cat grep; do ln -s "$(command -v $tool)" "$root/bin/$tool"; done
  stand_in id "echo $1"
  stand_in apt-cache "echo '  Candidate: $2'"
  shift 2
  for command in "$@"; do stand_in "$command" 'exit 0'; done
  stand_in apt-get "echo \"\$@\" >>'$root/calls'; case \"\$*\" in *\" install \"*) echo \"\$@\" >>'$root/installed' ;; esac"
  # A module is there once its package was installed.
  stand_in pkg-config "case \$2 in CLI11) p=libcli11 ;; nlohmann_json) p=nlohmann ;; lib*) p=\$2 ;; *) p=lib\${2%% *} ;; esac
    grep -q -e \"\$p\" '$root/installed'"
}
stand_in() { printf '#!/bin/sh\n%s\n' "$2" >"$root/bin/$1"; chmod +x "$root/bin/$1"; }
# expect <status> <words in what it says> [option]
expect() {
  said=$(PATH=$root/bin OS_RELEASE=$root/os-release sh "$setup" ${3-} 2>&1)
  status=$?
  case $status:$said in "$1":*"$2"*) return ;; esac
  echo "expected status $1 and '$2', got $status and: $said"
  failures=$((failures + 1))
}
calls() { cat "$root/calls" 2>/dev/null; }
check() { eval "$2" || { echo "$1: $(calls)"; failures=$((failures + 1)); }; }

everything="c++ cmake make python3 ninja git"
echo 'PRETTY_NAME="Ubuntu 22.04.5 LTS"' >"$root/os-release"

machine 0 1.7.1-1 $everything
expect 0 'Installing with apt-get'
check 'needed modules are installed' 'calls | grep -q "install -y --no-install-recommends libbenchmark-dev .*libgtest-dev"'
check 'what some labs need is not asked for' '! calls | grep -q hiredis'
expect 0 ''
check 'silent once all is there' '[ -z "$said" ]'
expect 0 'libhiredis-dev' --all
check 'Redis comes without its service' 'calls | grep -q redis-tools && ! calls | grep -q redis-server'

machine 0 1.6.1-1 $everything
expect 2 'Ubuntu 22.04.5 LTS is too old: its Google Benchmark is 1.6.1-1'
check 'too old: said before anything is installed' '[ -z "$(calls)" ]'
machine 1000 1.6.1-1 $everything
expect 2 'is too old'
machine 0 '' $everything  # lists that were never fetched
stand_in apt-get "echo \"\$@\" >>'$root/calls'; printf '#!/bin/sh\necho Candidate: 1.6.1-1\n' >'$root/bin/apt-cache'"
expect 2 'is too old'
check 'too old: found out after the update' 'calls | grep -q " update" && ! calls | grep -q " install "'

machine 1000 1.7.1-1 $everything
expect 2 'sudo apt-get update && sudo apt-get install --no-install-recommends libbenchmark-dev'
check 'without rights nothing is run' '[ -z "$(calls)" ]'
echo libbenchmark libhwloc libfmt libcli11 nlohmann libgtest >"$root/installed"
expect 0 '' --all
check 'without rights what some labs need is passed over' '[ -z "$said" ] && [ -z "$(calls)" ]'

machine 0 1.7.1-1 $everything
rm "$root/bin/apt-get"
expect 2 'can install them on Debian and Ubuntu only'

machine 0 1.7.1-1 $everything
expect 0 'Installing'
stand_in apt-get 'echo no network; exit 100'
expect 0 'the labs that need them are left out' --all
machine 0 1.7.1-1 $everything
stand_in apt-get 'echo no network; exit 100'
expect 2 'Is there a network?'

machine 0 1.7.1-1
expect 1 '' --check
check 'a check installs nothing' '[ -z "$said" ] && [ -z "$(calls)" ]'

[ "$failures" = 0 ]
