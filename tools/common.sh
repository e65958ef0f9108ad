# shellcheck shell=bash disable=SC2086,SC2116  # package lists are words
# Sourced by ./start, ./test and .ci/run, from the root of the checkout.

say() { printf '==> %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# One run at a time prepares packages, downloads and builds; the lock goes with the process.
lock() {
  mkdir -p .cache
  exec 9>.cache/lock
  flock --nonblock 9 || { say "Another run is at work in this folder; waiting for it"; flock 9; }
}
unlock() { exec 9>&-; }

# packages LIST...: the Debian packages named in tools/packages/LIST.txt; installs those that are missing.
packages() {
  local list wanted missing sudo=
  wanted=$(for list; do grep -v '^#' "tools/packages/$list.txt"; done)
  command -v dpkg-query >/dev/null || die "This is not Debian: install what corresponds to $(echo $wanted), then run cmake."
  missing=$(comm -23 <(sort -u <<<"$wanted") <(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null |
    sed -n 's/^[ih]i *//p' | sort -u) | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "These Debian packages are missing: ${missing}
Install them as root with: apt-get update && apt-get install --no-install-recommends $missing"
    sudo=sudo
  fi
  say "Installing Debian packages: $missing"
  $sudo dpkg --configure -a 9>&-  # finishes what an interrupted run began
  $sudo apt-get -o DPkg::Lock::Timeout=600 update -q 9>&-
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -q -y --no-install-recommends $missing 9>&-
}

# venv [REQUIREMENTS]: a private Python in .venv, with the pinned packages of a file.
venv() {
  local pins=${1-}
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "Creating a private Python environment in .venv"
    rm -rf .venv
    python3 -m venv .venv
  fi
  if [ -n "$pins" ] && ! cmp -s "$pins" .venv/installed.txt; then
    say "Installing Python packages into .venv"
    .venv/bin/python -m pip --disable-pip-version-check install -q -r "$pins"
    cp "$pins" .venv/installed.txt
  fi
}

# Compilers at once: as many as there are cores, and 1.5 GB of memory for each.
jobs_count() {
  local by_memory
  by_memory=$(awk '/MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo)
  [ "$by_memory" -ge 1 ] || by_memory=1
  echo $(($(nproc) < by_memory ? $(nproc) : by_memory))
}

# build PRESET TARGET [CMAKE OPTION...]: configures and builds into build/PRESET; fails when either does.
build() {
  local preset=$1 target=$2 log=.cache/configure-$1.log
  shift 2
  if ! cmake --preset "$preset" -DQUIRE_ONLY= "$@" >"$log" 2>&1; then
    cat "$log" >&2
    echo "cmake could not configure build/$preset: see above." >&2
    return 1
  fi
  cmake --build --preset "$preset" --target "$target" -j "$(jobs_count)"
}
