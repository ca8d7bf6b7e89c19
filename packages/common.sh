# Of all scripts in this folder: run `source` from the root of the repository.

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' fastsip/__init__.py)
# As Debian sorts them: 1.0rc1 comes before 1.0, and 1.0.dev3 before both.
debian_version=$(sed -E 's/\.?(a|b|rc|dev)([0-9]+)/~\1\2/g' <<<"$version")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

say() { echo "fastsip: $*"; }
give_up() { echo "fastsip: $*" >&2; exit 1; }
need() {
    local program missing=()
    for program; do command -v "${program%:*}" >/dev/null || missing+=("${program#*:}"); done
    ((${#missing[@]} == 0)) || give_up "missing: ${missing[*]}; run: apt-get install ${missing[*]}"
}

# The files of the repository as they are now, without what was built: into the folder $1.
copy_source() {
    mkdir -p "$1"
    git ls-files -z | while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done |
        xargs -0 cp -P --parents -t "$1"
}

# A Debian 12 as small as it gets with these packages: into the archive $1.
make_base() {
    local archive=$1 packages=$2
    timeout -k 10 900 mmdebstrap --quiet --variant=minbase --include="$packages" bookworm "$archive" ||
        give_up "Debian 12 could not be fetched"
}

# Where pip and apt of this machine find certificates and settings, a closed network's for example: at the same place in
# the folder of a build, never in what is built.
settings_of_pip() {
    local place
    for place in /etc/pip.conf /etc/ssl/certs; do [[ ! -e $place ]] || echo "$place"; done
}
