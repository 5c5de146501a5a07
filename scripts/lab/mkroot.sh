#!/bin/bash
# mkroot.sh ROOT DEST [PACKAGE...] - builds a small bootable Debian root in DEST WITHOUT running maintainer scripts
# (they are what makes debootstrap slow): the host's apt downloads the packages with a private state, dpkg-deb unpacks
# them, and the few configuration steps that a container needs are done by hand below.
# ROOT: SUITE (systemd), SUITE-sysv, SUITE-openrc, SUITE-rpm (systemd and rpm), SUITE-wine (trixie: systemd, wine 10,
# a ready prefix and a screen without a monitor, 1.8 GB), or SUITE-shells (systemd, and every shell that the one-liners must run under)
# Environment: ARCH (amd64)   MIRROR (else taken from this host's apt)   DEBCACHE (kept between runs)
set -euo pipefail

ROOT=${1:?root}; DEST=$(realpath -m "${2:?dest}"); EXTRA=("${@:3}")
SUITE=${ROOT%%-*} INIT=systemd ARCH=${ARCH:-amd64}
case $ROOT in
  *-wine) EXTRA+=(wine64 xvfb xdotool xkb-data x11-xkb-utils fonts-wine fonts-liberation);;
  *-shells) EXTRA+=(busybox mksh ksh93u+m zsh yash wget openssl);;
  *-rpm) EXTRA+=(rpm);;
  *-*) INIT=${ROOT#*-};;
esac
W=${DEBCACHE:-/var/tmp/lab/cache}/$SUITE-$ARCH

log() { echo "[$(date +%T)] $*" >&2; }
die() { echo "mkroot: $*" >&2; exit 1; }

# ---- packages --------------------------------------------------------------------------------------------------
BASE=(base-files base-passwd bash bsdutils coreutils dash debianutils diffutils dpkg findutils grep gzip hostname
  init-system-helpers libc-bin login mawk mount ncurses-base ncurses-bin passwd perl-base sed sysvinit-utils tar
  util-linux libpam-runtime libpam-modules libpam-modules-bin adduser procps iproute2 netbase curl sudo)
[ "$SUITE" = bullseye ] || BASE+=(usr-is-merged)
case $INIT in
  systemd) BASE+=(systemd systemd-sysv dbus apt);;
  sysv)    BASE+=(sysvinit-core initscripts insserv startpar orphan-sysvinit-scripts);;
  openrc)  BASE+=(sysvinit-core initscripts insserv startpar openrc orphan-sysvinit-scripts);;
  *) die "no root $ROOT: SUITE, SUITE-sysv, SUITE-openrc, SUITE-rpm, SUITE-wine or SUITE-shells";;
esac

# The archive this host itself uses. indextargets knows every way to write sources, but only after apt-get update.
# shellcheck disable=SC2016 # apt-get itself expands $(REPO_URI)
host_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
    sed -n 1p
}
MIRROR=${MIRROR:-$(host_mirror)}
[ -n "$MIRROR" ] || { log "no package lists yet: apt-get update"; apt-get update -qq || :; MIRROR=$(host_mirror); }
[ -n "$MIRROR" ] || die "this host's apt configuration has no Debian archive; add one or set MIRROR"

mkdir -p "$W"/{lists/partial,debs/partial}
: > "$W/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=$ARCH] $MIRROR $SUITE main" > "$W/sources.list"
APT=(apt-get -qq -o Dir::State="$W" -o Dir::State::status="$W/status" -o Dir::State::lists="$W/lists"
  -o Dir::Cache::archives="$W/debs" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
  -o Dir::Etc::sourcelist="$W/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
  -o APT::Architecture="$ARCH" -o APT::Architectures="$ARCH" -o APT::Install-Recommends=false
  -o Acquire::Languages=none -o Acquire::PDiffs=false -o APT::Sandbox::User=root -o Debug::NoLocking=1)

[ -n "$(find "$W/lists" -name '*Packages*' -mtime -1)" ] || { log "package lists"; "${APT[@]}" update; }
log "download"
"${APT[@]}" -y --download-only install "${BASE[@]}" "${EXTRA[@]}" >"$W/apt.log" 2>&1 || { cat "$W/apt.log" >&2; exit 1; }
# Unpack exactly what apt chose: the cache may hold more, such as another INIT's packages.
"${APT[@]}" -s install "${BASE[@]}" "${EXTRA[@]}" 2>/dev/null | awk '/^Inst/ {print $2, substr($3, 2)}' |
  while read -r name version; do ls "$W/debs/${name%%:*}_${version//:/%3a}"_*.deb; done > "$W/chosen"
[ -s "$W/chosen" ] || die "apt chose no packages, see $W/apt.log"

# ---- unpack ----------------------------------------------------------------------------------------------------
log "unpack $(wc -l < "$W/chosen") packages"
rm -rf "$DEST"
mkdir -p "$DEST"/usr/{bin,sbin,lib} "$DEST"/{etc,dev,proc,sys,run,tmp,root,home} "$DEST"/var/lib/dpkg/{info,updates,triggers}
for d in bin sbin lib; do ln -s "usr/$d" "$DEST/$d"; done
[ "$ARCH" != amd64 ] || { mkdir "$DEST/usr/lib64"; ln -s usr/lib64 "$DEST/lib64"; }
chmod 1777 "$DEST/tmp"; chmod 700 "$DEST/root"

# One package: its files, dpkg's list of them, its status entry. Documentation and data no test needs stay out.
unpack() {
  set -eo pipefail
  local p info=$DEST/var/lib/dpkg/info x exclude=(); p=$(basename "$1"); p=${p%%_*}
  for x in doc man locale info lintian bash-completion zsh common-licenses zoneinfo; do
    exclude+=(--exclude="./usr/share/$x/*")
  done
  dpkg-deb --fsys-tarfile "$1" | tar -xvpf - -C "$DEST" --keep-directory-symlink "${exclude[@]}" \
    --exclude='./usr/lib/udev/hwdb.d/*' --exclude='./usr/lib/*/gconv/*' --exclude='./usr/lib/*/libLLVM*' \
    --exclude='./usr/lib/*/dri/*' --exclude='./usr/lib/*/libgallium*' |
    sed 's,^\.,,;s,/$,,;s,^$,/.,' > "$info/$p.list"
  dpkg-deb -f "$1" | sed '1a Status: install ok installed' > "$info/$p.st"
  : > "$info/$p.md5sums"                       # keeps dpkg --audit quiet
}
export -f unpack; export DEST
xargs -P "$(nproc)" -I{} bash -c 'unpack {}' < "$W/chosen"

cd "$DEST"
for f in var/lib/dpkg/info/*.st; do cat "$f"; echo; done > var/lib/dpkg/status
rm -f var/lib/dpkg/info/*.st
touch var/lib/dpkg/{available,diversions,statoverride}

# ---- configure: what the maintainer scripts would have done --------------------------------------------------------
log "configure"
cp usr/share/base-passwd/passwd.master etc/passwd; cp usr/share/base-passwd/group.master etc/group
sed -i 's,^root:[^:]*:,root::,' etc/passwd     # root logs in without a password
awk -F: '{print $1 ":" ($1 == "root" ? "" : "*") ":19000:0:99999:7:::"}' etc/passwd > etc/shadow
awk -F: '{print $1 ":*::"}' etc/group > etc/gshadow
chmod 640 etc/shadow etc/gshadow; chgrp 42 etc/shadow etc/gshadow

mkdir -p var/{log,cache,tmp,spool,mail,local,opt,backups} opt srv mnt media boot usr/local/{bin,sbin,lib,etc,share} \
  etc/{opt,default,pam.d,profile.d,ssl/certs,systemd/system}
rm -rf var/run var/lock                        # some package brought folders, and a link would land inside them
chmod 1777 var/tmp; ln -s /run var/run; ln -s /run/lock var/lock
cp usr/share/base-files/profile etc/; cp usr/share/base-files/dot.profile root/.profile
cp usr/share/base-files/dot.bashrc root/.bashrc
printf 'passwd: files systemd\ngroup: files systemd\nshadow: files\nhosts: files dns\nservices: files\n' > etc/nsswitch.conf
printf '/bin/sh\n/bin/bash\n/bin/dash\n' > etc/shells
printf '127.0.0.1 localhost lab\n::1 localhost\n' > etc/hosts
: > etc/fstab; : > etc/resolv.conf; echo uninitialized > etc/machine-id; echo UTC > etc/timezone; rm -f etc/localtime
ln -sf mawk usr/bin/awk; [ -e usr/bin/which ] || ln -sf which.debianutils usr/bin/which
echo 'auth sufficient pam_unix.so nullok' > etc/pam.d/common-auth
echo 'account sufficient pam_unix.so' > etc/pam.d/common-account
echo 'password sufficient pam_unix.so' > etc/pam.d/common-password
echo 'session optional pam_unix.so' | tee etc/pam.d/common-session > etc/pam.d/common-session-noninteractive
cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ 2>/dev/null || :
if [ "$ARCH" = "$(dpkg --print-architecture)" ]; then ldconfig -r .; else chroot . ldconfig || log "ldconfig failed (binfmt?)"; fi

# ---- init ------------------------------------------------------------------------------------------------------
# Each writes /run/lab-ready when it is up: the lab waits for that file.
config_systemd() {
  local u
  systemd-sysusers --root="$DEST" 2>/dev/null || chroot . systemd-sysusers
  if ! grep -q ^messagebus: etc/passwd; then
    echo 'messagebus:x:990:990::/nonexistent:/usr/sbin/nologin' >> etc/passwd
    echo 'messagebus:x:990:' >> etc/group
    echo 'messagebus:!*:19000::::::' >> etc/shadow
  fi
  for u in getty@tty1.service getty-static.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    fstrim.timer e2scrub_all.timer e2scrub_reap.service systemd-timesyncd.service systemd-resolved.service \
    systemd-networkd.service systemd-networkd.socket systemd-firstboot.service systemd-udevd.service \
    systemd-udev-trigger.service systemd-network-generator.service console-getty.service dev-hugepages.mount \
    sys-fs-fuse-connections.mount systemd-ask-password-console.path systemd-ask-password-wall.path \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service; do
    ln -sf /dev/null "etc/systemd/system/$u"   # not needed in a container; keeps the boot short
  done
  ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target
  mkdir -p var/log/journal etc/systemd/{journald.conf.d,system.conf.d,system/multi-user.target.wants}
  printf '[Journal]\nStorage=persistent\nSyncIntervalSec=10s\nRateLimitIntervalSec=0\n' > etc/systemd/journald.conf.d/lab.conf
  printf '[Manager]\nDefaultTimeoutStopSec=20s\n' > etc/systemd/system.conf.d/lab.conf
  cat > etc/systemd/system/lab-ready.service <<-'UNIT'
	[Unit]
	Description=Tell the lab that the machine is up
	After=multi-user.target
	[Service]
	ExecStart=/bin/sh -c "systemctl is-system-running --wait; : > /run/lab-ready"
	UNIT
  ln -sf ../lab-ready.service etc/systemd/system/multi-user.target.wants/
}

# Their postinst would have linked dozens of scripts into rc*.d; a container needs none of them, so inittab does it all.
config_inittab() {                             # config_inittab BOOT-COMMAND DEFAULT-COMMAND SHUTDOWN-COMMAND
  mkdir -p etc/rc{0,1,2,3,4,5,6,S}.d
  rm -f usr/lib/systemd/systemd                # nspawn --boot prefers it to /sbin/init
  cat > etc/inittab <<-TAB
	id:2:initdefault:
	si::sysinit:/bin/sh -c "mkdir -p /run/lock /run/shm; : > /run/utmp; $1"
	l2:2:wait:$2
	rd:2:once:/bin/sh -c ": > /run/lab-ready"
	l0:0:wait:$3
	l6:6:wait:/etc/init.d/rc 6
	h0:06:wait:/bin/sh -c "killall5 -15; sleep 1; killall5 -9; sync; halt -d -f -p"
	TAB
}

case $INIT in
  systemd) config_systemd;;
  sysv)    config_inittab : '/etc/init.d/rc 2' '/etc/init.d/rc 0';;
  openrc)  config_inittab '/sbin/openrc sysinit; /sbin/openrc boot' '/sbin/openrc default' '/sbin/openrc shutdown';;
esac

# libwine's postinst: mingw's zlib1.dll, marked as one of wine's own; without it user32 and shell32 do not load
wine_zlib() {                                  # wine_zlib MINGW-ARCH WINE-ARCH
  local in=usr/$1-w64-mingw32/lib/zlib1.dll out=usr/lib/x86_64-linux-gnu/wine/$2-windows
  [ -e "$in" ] && [ -d "$out" ] || return 0
  { head -c 64 "$in"; printf 'Wine builtin DLL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'; tail -c +97 "$in"; } > "$out/zlib1.dll"
}
wine_zlib x86_64 x86_64; wine_zlib i686 i386

# Wine 10 needs no shim for Go programs. The prefix is made here once, so every machine boots with a pristine one.
add_wine() {
  cat > usr/local/bin/wine <<-'SH'
	#!/bin/sh
	export WINEDEBUG=${WINEDEBUG:--all} WINEDLLOVERRIDES=mscoree,mshtml= XDG_RUNTIME_DIR=/run
	exec /usr/lib/wine/wine64 "$@"
	SH
  ln -s /usr/lib/wine/wineserver usr/local/bin/wineserver
  chmod +x usr/local/bin/wine
  # wineboot ends with 53, because there is no 32-bit half: what counts is the prefix
  systemd-nspawn -q --directory="$DEST" --register=no --keep-unit --resolv-conf=off --timezone=off --pipe \
    sh -c 'wine wineboot -i; wineserver -w' </dev/null >/dev/null 2>&1 || :
  [ -e root/.wine/drive_c/windows/system32/bcryptprimitives.dll ] || die "wineboot made no prefix"
}
case $ROOT in *-wine) add_wine;; esac
log "done: $(du -sh "$DEST" 2>/dev/null | cut -f1)"
