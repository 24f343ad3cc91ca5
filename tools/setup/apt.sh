# Which packages of which release apt is asked for, so that nothing is removed for what is
# installed. Read by setup.sh. shellcheck shell=sh disable=SC2086

etc=${SOIL_ROOT_DIRECTORY:-}/etc/apt
source_file=$etc/sources.list.d/soil-setup.sources
pin_file=$etc/preferences.d/soil-setup
record=${SOIL_ROOT_DIRECTORY:-}/var/lib/soil-setup/packages

# at_least VERSION MINIMUM: compares as Debian does.
at_least() { dpkg --compare-versions "$1" ge "$2"; }

# oldest NAME: the package's minimum version, or nothing.
oldest() {
  for each in $oldest; do
    case $each in "$1"=*) echo "${each#*=}" ;; esac
  done
}

# missing NAME…: prints those not installed according to dpkg, or too old.
missing() {
  [ $# -gt 0 ] || return 0
  installed=" $(dpkg-query -W -f '${db:Status-Status}=${Package}=${Version}\n' "$@" 2>/dev/null | sed -n 's/^installed=//p' | tr '\n' ' ')"
  for name in "$@"; do
    case $installed in
    *" $name="*)
      minimum=$(oldest "$name")
      [ -n "$minimum" ] || continue
      version=${installed#*" $name="}
      at_least "${version%% *}" "$minimum" || printf '%s ' "$name"
      ;;
    *) printf '%s ' "$name" ;;
    esac
  done
}

# The releases that apt may take packages from by name: Debian 12 and 13 and their backports, as far
# as a source has them.
releases() {
  apt-cache policy | awk '
    /^ +release / && /o=Debian[, ]/ && match($0, /,n=[a-z-]+/) { seen[substr($0, RSTART + 3, RLENGTH - 3)] = 1 }
    END {
      count = split("bookworm bookworm-backports trixie trixie-backports", known, " ")
      for (i = 1; i <= count; i++) if (known[i] in seen) print known[i]
    }'
}

# The machine's own source of Debian's release $1, by apt's reading of either format: "URIs" and
# "Signed-By" lines of deb822 form. The host name is the machine's: Soil names none.
own_archive() {
  apt-get indextargets --format '$(SOURCESENTRY) URIs: $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
    "Codename: $1" | grep -v "^$source_file:" | head -n 1 | while read -r entry uri; do
    echo "$uri"
    case ${entry%:*} in
    # The number of the stanza, and the number of the line.
    *.sources) grep -v '^[ \t]*#' "${entry%:*}" | awk -v RS= "NR == ${entry##*:}" | awk '/^[^ \t]/ { key = /^[Ss]igned-[Bb]y:/ } key' ;;
    *) sed -n "${entry##*:}s/.*signed-by=\([^] ]*\).*/Signed-By: \1/p" "${entry%:*}" | tr , ' ' ;;
    esac
  done
}

# apt-get update; another process, such as an interrupted set-up, may hold the lock of the lists for
# a while.
update() {
  tries=0
  until errors=$(LC_ALL=C apt-get update -q 2>&1 >&3); do
    tries=$((tries + 1))
    case $errors in *'Could not get lock'*) [ $tries -lt 60 ] && sleep 5 && continue ;; esac
    printf '%s\n' "$errors" >&2
    return 1
  done 3>&2
}

# Completes the work of an interrupted apt, which otherwise refuses all further work.
finish_interrupted() {
  states=$(dpkg-query -W -f '${db:Status-Status}\n' | grep -E '^(half|unpacked)' || true)
  [ -n "$states$(ls "${SOIL_ROOT_DIRECTORY:-}/var/lib/dpkg/updates" 2>/dev/null)" ] || return 0
  say "an installation was interrupted here: finishing it"
  export DEBIAN_FRONTEND=noninteractive
  dpkg --configure -a >&2 || true
  lost=$(would_remove -f install | tr '\n' ' ')
  [ -z "$lost" ] || fail "apt would remove $lost to finish an interrupted installation; run 'apt-get -f install' yourself"
  apt-get -o DPkg::Lock::Timeout=300 -f install -q -y --no-install-recommends >&2 || fail "apt-get -f install failed, see above"
}

write_source() {
  mkdir -p "$(dirname "$source_file")" "$(dirname "$pin_file")"
  printf '# Added by Soil (make setup); make unsetup removes it.\nTypes: deb\nSuites: %s\nComponents: main\n%s\n' "$1" "$archive" >"$source_file"
  # Backports have this priority by default.
  printf '# Added by Soil (make setup); make unsetup removes it.\nPackage: *\nPin: release n=trixie\nPin-Priority: 100\n' >"$pin_file"
  case " $1 " in *' trixie '*) ;; *) rm -f "$pin_file" ;; esac
  update
}

# Adds the other releases of the machine's own mirror, at a priority at which apt takes only
# requested packages from them. $added: the new releases. Fails when there is nothing to add.
add_releases() {
  added=
  # Checks the sources: a machine of Debian 12 with one package of Debian 13 may identify as the
  # latter in /etc/os-release.
  known=" $(releases | tr '\n' ' ') "
  case $known in
  *' bookworm '*) own=bookworm more='bookworm-backports trixie' ;;
  *' trixie '*) own=trixie more=trixie-backports ;;
  *) return 1 ;;
  esac
  had=$(sed -n 's/^Suites: //p' "$source_file" 2>/dev/null || true)
  for release in $more; do
    case $known in *" $release "*) ;; *) added="$added $release" ;; esac
  done
  added=${added# }
  [ -n "$added" ] || return 1
  archive=$(own_archive "$own")
  if [ -z "$archive" ]; then
    say "no archive of Debian's '$own' in $etc/sources.list*, so no other release can be taken from it"
    return 1
  fi
  say "adding $added of this machine's own mirror, at priority 100: only what is asked for comes from there ('make unsetup' takes it back)"
  write_source "${had:+$had }$added" && return 0
  # Some mirrors have no backports.
  case "$added" in
  *' trixie')
    added=trixie
    write_source "${had:+$had }$added" && return 0
    ;;
  esac
  if [ -n "$had" ]; then write_source "$had" || true; else rm -f "$source_file" "$pin_file"; fi
  added=
  say "apt-get update failed with it, so it was taken out again: is debian-archive-keyring up to date, and does this machine's mirror carry it?"
  return 1
}

# simulate RELEASE-or-"" PACKAGE…: what apt would do. $why: the reason to reject that, or nothing;
# $removed: the packages that it would remove; $changed: the number of installed ones that would get
# another version.
simulate() {
  from=$1
  shift
  removed='' changed=0 why=''
  plan=$(LC_ALL=C apt-get -s install --no-install-recommends ${from:+-t "$from"} "$@" 2>&1) || {
    why=$(printf '%s\n' "$plan" | sed -n 's/^E: //p' | head -n 1)
    why=${why:-"apt fails"}
    return 0
  }
  # A library that Debian 13 renamed for 64-bit time (libssl3, libssl3t64) is replaced, not lost.
  removed=$(printf '%s\n' "$plan" | awk '
    $1 == "Inst" { installed[$2] }
    $1 == "Remv" { gone[$2] }
    END { for (name in gone) if (!((name "t64") in installed)) print name }' | sort | tr '\n' ' ')
  changed=$(printf '%s\n' "$plan" | awk '$1 == "Inst" && $3 ~ /^\[/ { count++ } END { print count + 0 }')
  if [ -n "$removed" ]; then
    why="removes $removed"
    return 0
  fi
  for package in "$@"; do
    minimum=$(oldest "$package")
    [ -n "$minimum" ] || continue
    version=$(printf '%s\n' "$plan" | sed -n "s/^Inst $package .*(\([^ ]*\) .*/\1/p")
    if [ -n "$version" ]; then
      at_least "$version" "$minimum" || why="has $package $version, and $minimum or later is needed"
    elif [ -n "$(missing "$package")" ]; then
      why="has no $package $minimum or later"
    fi
  done
}

# consider RELEASE-or-"" PACKAGE…: records the plan if it is acceptable and the best so far.
consider() {
  simulate "$@"
  if [ -n "$why" ]; then
    tried="$tried
  ${1:-its own choice}: $why"
  elif [ -z "$best" ] || [ "$changed" -lt "$best" ]; then
    best=$changed
    chosen=$1
  fi
}

# choose_known PACKAGE…: sets $chosen to the release, or "" for apt's own choice, that removes no
# package and changes the fewest installed ones. Fails when there is none; $tried has the reason.
choose_known() {
  best='' tried=''
  consider '' "$@"
  [ -z "$best" ] || return 0
  for release in $(releases); do consider "$release" "$@"; done
  [ -n "$best" ]
}

# choose PACKAGE…: the same, also with releases that can be added, if apt's sources have none.
choose() {
  choose_known "$@" && return 0
  add_releases || return 1
  for release in $added; do consider "$release" "$@"; done
  [ -n "$best" ]
}

installed_names() { dpkg-query -W -f '${db:Status-Status}=${Package}\n' | sed -n 's/^installed=//p' | tr '\n' ' '; }

# apt_install RELEASE-or-"" PACKAGE…
apt_install() {
  from=$1
  shift
  say "installing${from:+ from $from}: $*"
  before=$(installed_names)
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends ${from:+-t "$from"} "$@" >&2 ||
    fail "apt-get install failed, see above"
  [ -f "$source_file" ] && [ -n "$from" ] || return 0
  case " $(sed -n 's/^Suites: //p' "$source_file") " in *" $from "*) ;; *) return 0 ;; esac
  # Records the packages from an added release for `make unsetup`: the requested ones and their
  # dependencies.
  mkdir -p "$(dirname "$record")"
  for name in $(installed_names); do
    case " $before " in *" $name "*) continue ;; esac
    case " $* " in *" $name "*) echo "asked $name" ;; *) echo "came $name" ;; esac
  done >>"$record"
}

# install_together PACKAGE…: all from one release.
install_together() {
  [ $# -gt 0 ] || return 0
  choose "$@" || fail "apt finds no way to install $* that removes nothing else:$tried
setup: run 'apt-get install $*' yourself, as it suits this machine, and then this again"
  apt_install "$chosen" "$@"
}

# sort_out PACKAGE…: into $easy, for which apt's own choice removes nothing, and $hard. Splits in
# halves, so that conflicting packages end up alone.
sort_out() {
  simulate '' "$@"
  if [ -z "$why" ]; then
    easy="$easy $*"
  elif [ $# = 1 ]; then
    hard="$hard $1"
  else
    half=$(($# / 2))
    front=
    while [ $half -gt 0 ]; do
      front="$front $1"
      shift
      half=$((half - 1))
    done
    eval "sort_out $front; sort_out $*"
  fi
}

# install_any PACKAGE…: each from any release that removes nothing for it; apt's own choice comes
# first.
install_any() {
  [ $# -gt 0 ] || return 0
  easy='' hard=''
  sort_out "$@"
  install_together $easy
  [ -n "$hard" ] || return 0
  if choose $hard; then
    apt_install "$chosen" $hard
  else
    for each in $hard; do install_together "$each"; done
  fi
}

# recorded WORD: the names with this word in the record that are still installed.
recorded() {
  names=$(sed -n "s/^$1 //p" "$record" | sort -u)
  absent=" $(missing $names)"
  for name in $names; do
    case $absent in *" $name "*) ;; *) echo "$name" ;; esac
  done
}

# Prints the packages that apt would remove, one per line, sorted.
would_remove() { LC_ALL=C apt-get -s "$@" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | sort; }

restore_sources() {
  if [ ! -f "$source_file" ] && [ ! -f "$pin_file" ]; then
    say "no source of ours on this machine: nothing to take back"
    return 0
  fi
  [ "$(id -u)" = 0 ] || fail "run as root:  $here/setup.sh remove"
  export DEBIAN_FRONTEND=noninteractive
  if [ -f "$record" ]; then
    asked=$(recorded asked)
    if [ -n "$asked" ]; then
      came=$(mktemp) || fail "no file for a list: make room in ${TMPDIR:-/tmp}, or set TMPDIR"
      sed 's/^[a-z]* //' "$record" | sort -u >"$came"
      foreign=$(would_remove remove $asked | comm -23 - "$came" | tr '\n' ' ')
      if [ -z "$foreign" ]; then
        apt-get remove -q -y $asked >&2
        # Removes only dependencies that nothing needs any more; the rest is in use by now (libc6).
        unneeded=$(would_remove autoremove | comm -12 - "$came")
        if [ -n "$unneeded" ]; then apt-get remove -q -y $unneeded >&2; fi
      else
        say "left installed, because $foreign would go with them:" $asked
      fi
      rm -f "$came"
    fi
    rm -f "$record"
    rmdir "$(dirname "$record")" 2>/dev/null || true
  fi
  rm -f "$source_file" "$pin_file"
  apt-get update -q >&2 || true
  say "what was added to apt's sources is gone; libraries that the system uses by now (libc6) stay as they are: Debian has no way back to older ones"
}
