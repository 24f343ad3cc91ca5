# Debian packages that Soil needs, by purpose. Read by setup.sh, and compared with the depexts of the
# opam packages (opamtest.sh). shellcheck shell=sh disable=SC2034

# The oldest Rust that builds Soil (the workspace's rust-version), and the version for rustup where
# no release of Debian has one.
rust_minimum=1.91
rust_toolchain=1.95.0

# Soil's own packages for opam that have files to install (opam/*.opam), in the order of their
# dependencies.
opam_packages="soil soil-http soil-grpc soil-sight soil-work soil-dns soil-display soil-sim soil-cohttp soil-cmdliner soil-cstruct soil-fmt soil-ipaddr soil-mtime soil-ptime soil-mirage soil-web"

# Minimum versions, where a supported release has older ones.
oldest="ocaml=5.2 ocaml-dune=3.17 ocaml-odoc=3.0 ocamlformat=0.27 rustc=$rust_minimum cargo=$rust_minimum rustc-web=$rust_minimum cargo-web=$rust_minimum"

# OCaml and the libraries of examples/ and of the soil.* sublibraries: from one suite, since their
# versions belong together.
ocaml_run="ocaml ocaml-dune ocaml-findlib libcohttp-ocaml-dev libppx-sexp-conv-ocaml-dev libipaddr-ocaml-dev liblogs-ocaml-dev libmtime-ocaml-dev libptime-ocaml-dev libcstruct-ocaml-dev libfmt-ocaml-dev libcmdliner-ocaml-dev"
# The libraries of tests/programs/libraries have their own line, and so do those of the sublibraries
# that no example uses, of the code in docs/ and of the toplevel.
ocaml_test="libalcotest-ocaml-dev libqcheck-core-ocaml-dev libzarith-ocaml-dev libdigestif-ocaml-dev ocamlformat \
libbatteries-ocaml-dev libcontainers-ocaml-dev menhir libctypes-ocaml-dev libluv-ocaml-dev libextunix-ocaml-dev liblwt-ocaml-dev libsqlite3-ocaml-dev libre-ocaml-dev libyojson-ocaml-dev libzip-ocaml-dev \
libmirage-kv-ocaml-dev libmirage-kv-mem-ocaml-dev libmirage-clock-ocaml-dev libmirage-ptime-ocaml-dev libmirage-crypto-ocaml-dev libx509-ocaml-dev libmdx-ocaml-dev utop"
ocaml_doc="ocaml-odoc"
# The libraries of tests/programs/services, and those about domains: only their files, with all
# their OCaml dependencies. Installed on Debian 12 they would replace its OpenSSL with Debian 13's.
ocaml_unpacked="libcohttp-lwt-unix-ocaml-dev liblwt-ssl-ocaml-dev libwebsocket-lwt-unix-ocaml-dev libocsigenserver-ocaml-dev libpgocaml-ocaml-dev \
libtyxml-ocaml-dev libcsv-ocaml-dev libangstrom-ocaml-dev libuucp-ocaml-dev libuutf-ocaml-dev libppx-deriving-ocaml-dev libsexplib-ocaml-dev libbase-ocaml-dev libcryptokit-ocaml-dev libcalendar-ocaml-dev libreact-ocaml-dev \
libqcheck-lin-ocaml-dev libqcheck-stm-ocaml-dev libsaturn-ocaml-dev libdomain-local-await-ocaml-dev \
libuuidm-ocaml-dev libxmlm-ocaml-dev libjsonm-ocaml-dev libmarkup-ocaml-dev libuunf-ocaml-dev libomd-ocaml-dev libiter-ocaml-dev libpsq-ocaml-dev libhmap-ocaml-dev libextlib-ocaml-dev libbos-ocaml-dev libfileutils-ocaml-dev libduration-ocaml-dev libsha-ocaml-dev libppx-yojson-conv-ocaml-dev libppx-deriving-yojson-ocaml-dev \
liburi-ocaml-dev libbase64-ocaml-dev libhex-ocaml-dev libdomain-name-ocaml-dev libmagic-mime-ocaml-dev libstringext-ocaml-dev libbigstringaf-ocaml-dev libocplib-endian-ocaml-dev libeqaf-ocaml-dev liboptint-ocaml-dev libnum-ocaml-dev libasn1-combinators-ocaml-dev libkdf-ocaml-dev libxml-light-ocaml-dev libuuseg-ocaml-dev libsedlex-ocaml-dev libgen-ocaml-dev libgmap-ocaml-dev libcsexp-ocaml-dev libreactivedata-ocaml-dev libfpath-ocaml-dev librresult-ocaml-dev libastring-ocaml-dev libjs-of-ocaml-dev liblwt-log-ocaml-dev"

# Debian's own Rust, and the newer one that its stable releases have for their browsers; the tests'
# additions to each. The latter has no clippy.
rust_own="rustc cargo"
rust_own_test="rustfmt rust-clippy"
rust_web="rustc-web cargo-web"
rust_web_test="rustfmt-web"

# OCaml's libraries, by their findlib names, where OCaml didn't come from Debian (opam).
findlib_run="findlib cohttp ppx_sexp_conv ipaddr logs mtime ptime cstruct fmt cmdliner"
findlib_test="alcotest qcheck-core zarith digestif ocamlformat-lib batteries containers menhir ctypes luv extunix lwt sqlite3 re yojson zip mirage-kv mirage-kv-mem mirage-clock mirage-ptime mirage-crypto-rng mirage-crypto-pk mirage-crypto-ec x509 mdx utop cohttp-lwt-unix lwt_ssl websocket-lwt-unix ocsigenserver pgocaml tyxml csv angstrom uucp uutf ppx_deriving ppx_sexp_conv sexplib base cryptokit calendar react qcheck-lin qcheck-stm saturn domain-local-await uuidm xmlm jsonm markup uunf omd iter psq hmap extlib bos fileutils duration sha ppx_yojson_conv ppx_deriving_yojson uri base64 hex domain-name magic-mime stringext bigstringaf ocplib-endian eqaf optint num asn1-combinators kdf xml-light uuseg sedlex gen gmap csexp reactiveData fpath rresult astring js_of_ocaml-ppx_deriving_json lwt_log lwt_ppx"

# QEMU with this machine's own processor, and the firmware of its disks.
case $(uname -m) in
aarch64) qemu=qemu-system-arm firmware=qemu-efi-aarch64 ;;
*) qemu=qemu-system-x86 firmware=ovmf ;;
esac

# The C side of a link: the dependencies of the opam package soil. Programs that run images and make
# disks, and the process's network: those of soil-qemu. The rest fetches pages.
system_build="gcc binutils libc6-dev musl-dev musl-tools"
system_machine="$qemu dosfstools mtools e2fsprogs fdisk passt"
system_run="$system_build $system_machine curl ca-certificates git"
# Peers and checkers of the end-to-end tests, and the C libraries of ocaml_unpacked. gnuplot draws
# the benchmarks' results (4 packages of 1 MB; matplotlib: 54 of 74 MB). Windows of processes are
# TigerVNC's, those of machines QEMU's own.
system_test="g++ python3 python3-scapy python3-prometheus-client python3-grpcio protobuf-compiler nmap hping3 iperf3 dnsmasq-base iproute2 netbase procps wrk nghttp2-client cpio lz4 xz-utils zstd kmod socat strace linux-perf gdb gnuplot-nox tzdata openssl gnutls-bin pkgconf libssl-dev zlib1g-dev libgmp-dev mdbook opam rsync openssh-client debootstrap postgresql xvfb xdotool libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients tigervnc-viewer qemu-system-gui $firmware sbsigntool qemu-utils gdisk cloud-image-utils genisoimage xorriso bochs bochs-term bochsbios vgabios haproxy bind9-dnsutils redis-tools skopeo umoci crun chromium"
# DRM's headers, for the peer of the displays.
system_bench="libdrm-dev"
# Compilers for arm64 and a machine with it, on other machines.
system_aarch64="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm qemu-efi-aarch64"
# The book of docs/.
system_doc="mdbook python3"
